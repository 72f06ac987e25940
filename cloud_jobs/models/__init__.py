"""The networks, one file each. Models share no code: a change to one must not be able to move another.

Flow: a recipe names a class of this room -> trainer -> export.
"""
