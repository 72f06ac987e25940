"""Do the sound parts of a site fit together? One subject a file, one rule a function.

Comes after `shape`, before `load` decides. A rule looks at nouns, reports through Site.report with the path of the
value to change, and stays silent about what `shape` has cut out.
"""
