"""Models by name and version: signed artifacts in a Remote, found through Refs `models/NAME/VERSION`."""
