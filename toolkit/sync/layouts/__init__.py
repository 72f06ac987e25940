"""How data rests in a Remote. packs: many chunks in one object; mirror: files as they are, with a sidecar.

Both hold the same documents (`documents`): indexes, sealed manifests, and Refs that are written last.
"""
