"""Where recipes get their samples: one file per data set, each a function that returns a Split.

Flow: a recipe names a function of this room -> Split -> trainer (training part) and scores (held-out part).
"""
