"""Manifests: what a device decides by before it asks for the first chunk."""

from __future__ import annotations

import msgspec
import pytest

from toolkit.errors import IntegrityError, UnsafePathError
from toolkit.wire.digest import digest_of
from toolkit.wire.manifest import (
    NAME,
    VERSION,
    Golden,
    Makes,
    Manifest,
    Patch,
    decode_manifest,
    encode_manifest,
)

GOOD = Manifest(
    kind="model", name="us-seg", version="1.4.0", counter=1, index=digest_of(b""), index_bytes=10, total_bytes=10,
    chunks=1, model_file="model.onnx", golden=Golden(file="golden.npz"),
)  # fmt: skip


def test_an_artifact_is_named_by_its_manifest():
    artifact, data = encode_manifest(GOOD)
    assert artifact == digest_of(data)
    assert decode_manifest(data) == (artifact, GOOD)


@pytest.mark.parametrize(
    "fields",
    [{"name": ""}, {"name": "A"}, {"name": "a/b"}, {"name": "../a"}, {"name": "a" * 64}, {"name": "a\n"},
     {"version": ""}, {"version": "1/2"}, {"version": ".."}, {"version": "-1"}, {"version": "1\n"},
     {"index": "0" * 63}, {"counter": -1},
     {"floor": -1}, {"index_bytes": -1}, {"total_bytes": -1}, {"chunks": -1}, {"model_file": ""}],
)  # fmt: skip
def test_what_cannot_be_is_refused(fields):
    with pytest.raises(IntegrityError):
        decode_manifest(encode_manifest(msgspec.structs.replace(GOOD, **fields))[1])


@pytest.mark.parametrize("fields", [{"model_file": "../x"}, {"golden": Golden(file="/etc/x")}])
def test_a_file_that_leaves_is_refused(fields):
    with pytest.raises(UnsafePathError):
        decode_manifest(encode_manifest(msgspec.structs.replace(GOOD, **fields))[1])


def test_only_models_name_a_model_file():
    config = msgspec.structs.replace(GOOD, kind="config", model_file="", golden=None)
    assert decode_manifest(encode_manifest(config)[1])[1] == config


MAKES = Makes(base=digest_of(b"base"), index=digest_of(b"index"))
PATCH = Patch(base=digest_of(b"base"), artifact=digest_of(b"patch"), download_bytes=7)


def test_a_patch_says_what_it_makes_and_a_target_names_its_patches():
    patch = msgspec.structs.replace(GOOD, kind="patch", model_file="", golden=None, makes=MAKES, format=2)
    target = msgspec.structs.replace(GOOD, patches=(PATCH,), format=2)
    for manifest in (patch, target):
        assert decode_manifest(encode_manifest(manifest)[1])[1] == manifest


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "patch", "model_file": "", "golden": None},
        {"makes": MAKES},
        {"kind": "patch", "makes": Makes(base="../x", index=MAKES.index)},
        {"kind": "patch", "makes": Makes(base=MAKES.base, index="")},
        {"patches": (msgspec.structs.replace(PATCH, base="x"),)},
        {"patches": (msgspec.structs.replace(PATCH, artifact="../../x"),)},
        {"patches": (msgspec.structs.replace(PATCH, download_bytes=-1),)},
    ],
)
def test_a_patch_that_cannot_be_is_refused(fields):
    with pytest.raises(IntegrityError):
        decode_manifest(encode_manifest(msgspec.structs.replace(GOOD, format=2, **fields))[1])


def test_a_manifest_above_its_limit_is_refused():
    with pytest.raises(IntegrityError, match="at most 65536"):
        decode_manifest(encode_manifest(GOOD)[1].ljust(65537))


@pytest.mark.parametrize(
    ("pattern", "text"), [(NAME, "us-segmentation-2"), (VERSION, "1.4.0-rc.1+build_7"), (VERSION, "1")]
)
def test_usual_names_and_versions_are_taken(pattern, text):
    assert pattern.fullmatch(text)
