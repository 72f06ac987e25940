"""Objects → Problems, for our own objects and for anybody's files.

    files, rendered objects → document (parsed, with positions) → rules (one a function, one subject a file) → Problems

`check.lint` runs all rules. Before it stands `toolkit.render` or a file of the user; after it a person, or `cluster`.
"""
