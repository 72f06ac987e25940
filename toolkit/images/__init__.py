"""Container images: which ones rendering names, what their registries call them, and tiers.lock that pins them.

    rendered objects -> used (images, keys, who runs them) -> registry asks for digests -> lock -> tiers.lock

`render` reads tiers.lock and asks nobody. Made for `tiers images list` and `tiers images lock`.
"""
