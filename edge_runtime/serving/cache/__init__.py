"""Answers that are kept and given again: the outermost dress of a version.

    question -> key -> memory -> (a flight of others that ask the same) -> disk -> the version itself

`key` says when two questions are the same, `keep` owns what is kept of one model, `answers` stands before a version,
`caches` makes them for the daemon and hears what shall be forgotten.
"""
