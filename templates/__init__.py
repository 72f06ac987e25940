"""The jinja2 templates that toolkit.render fills, one object a file; a package, so that every install finds them."""
