"""Patches between versions of an artifact: what to write instead of chunks that a device lacks.

`encode` makes a patch out of two sets of files (`tensors` says where numbers lie, `planes` and `prefix` are the two
codecs), `replay` makes the files again. The byte format is `toolkit.wire.delta`. `registry.patches` decides which
patches are worth publishing; `edge_runtime.patching` replays them.
"""
