"""Which patch is taken, and what a patch must be to be taken."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.protocol.offer import SPARE_BYTES, Refused
from toolkit.protocol.patching import choose_patch, judge_patch_space, read_patch_index, read_patch_manifest
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef, Entry, Index, encode_index, file_entry
from toolkit.wire.keyring import Keyring, TrustedKey
from toolkit.wire.manifest import Makes, Manifest, Patch, encode_manifest
from toolkit.wire.signature import seal

KEY = Ed25519PrivateKey.generate()
BASE, OTHER = digest_of(b"base"), digest_of(b"other base")
REF = ChunkRef(digest_of(b"chunk"), 500)
INDEX = Index(entries=(file_entry(b"patch", [REF]),))
TARGET = Manifest(
    kind="model", name="digits", version="2", counter=2, index=digest_of(b"index"), index_bytes=100,
    total_bytes=10_000, chunks=5, model_file="model.onnx",
)  # fmt: skip
PATCH = Manifest(
    kind="patch", name="digits", version="2", counter=2, index=encode_index(INDEX)[0],
    index_bytes=len(encode_index(INDEX)[1]), total_bytes=500, chunks=1, makes=Makes(base=BASE, index=TARGET.index),
)  # fmt: skip


KEYRING = Keyring(keys=(TrustedKey(public=KEY.public_key().public_bytes_raw(), roles=("registry",)),))


def named(base: str, size: int) -> Patch:
    return Patch(base=base, artifact=digest_of(f"patch from {base} {size}".encode()), download_bytes=size)


def chosen(
    *patches: Patch, lacking: int = 1000, here: tuple[str, ...] = (BASE,), held: int = 0
) -> Patch | None:
    target = msgspec.structs.replace(TARGET, patches=patches, format=0)
    return choose_patch(
        target, lacking_bytes=lacking, is_installed=lambda base: base in here, held_bytes=lambda _: held
    )


def test_the_smallest_patch_from_what_is_here_is_chosen() -> None:
    small, large, foreign = named(BASE, 300), named(BASE, 400), named(OTHER, 1)
    assert chosen(large, small, foreign) == small
    assert chosen(large, small, foreign, here=(BASE, OTHER)) == foreign
    assert chosen(foreign) is None
    assert chosen() is None


def test_a_patch_that_is_no_smaller_than_what_is_lacking_is_left() -> None:
    assert chosen(named(BASE, 300), lacking=301) is not None
    assert chosen(named(BASE, 300), lacking=300) is None
    assert chosen(named(BASE, 300), lacking=0) is None
    assert chosen(named(BASE, 300), lacking=200, held=250) is not None, "most of it is here already"


def sealed(manifest: Manifest, key: Ed25519PrivateKey = KEY) -> tuple[bytes, Patch]:
    artifact, payload = encode_manifest(manifest)
    return seal(payload, "manifest", key), Patch(base=BASE, artifact=artifact, download_bytes=500)


def test_the_patch_that_was_promised_is_taken() -> None:
    data, patch = sealed(PATCH)
    assert read_patch_manifest(data, KEYRING, TARGET, patch) == PATCH
    assert read_patch_index(encode_index(INDEX)[1], PATCH) == INDEX


@pytest.mark.parametrize(
    "fields",
    [
        {"makes": Makes(base=OTHER, index=TARGET.index)},
        {"makes": Makes(base=BASE, index=digest_of(b"other index"))},
        {"kind": "model", "makes": None, "model_file": "m"},
        {"total_bytes": 10_001},
        {"index_bytes": 0},
        {"index_bytes": 1 << 40},
        {"chunks": 0},
    ],
)
def test_a_patch_to_something_else_is_refused(fields: dict[str, object]) -> None:
    data, patch = sealed(msgspec.structs.replace(PATCH, **fields))
    assert isinstance(read_patch_manifest(data, KEYRING, TARGET, patch), Refused)


def test_a_patch_of_a_stranger_or_under_another_name_is_refused() -> None:
    data, patch = sealed(PATCH, Ed25519PrivateKey.generate())
    assert isinstance(read_patch_manifest(data, KEYRING, TARGET, patch), Refused)
    data, patch = sealed(PATCH)
    wrong = msgspec.structs.replace(patch, artifact=digest_of(b"x"))
    refused = read_patch_manifest(data, KEYRING, TARGET, wrong)
    assert isinstance(refused, Refused)
    assert refused.code == "manifest-mismatch"
    assert isinstance(read_patch_manifest(b"noise", KEYRING, TARGET, patch), Refused)


@pytest.mark.parametrize(
    "index",
    [
        Index(),
        Index(entries=(file_entry(b"other", [REF]),)),
        Index(entries=(file_entry(b"a", []), file_entry(b"patch", [REF]))),
        Index(entries=(Entry(b"patch", "link", 0, 0o777, 0, b"", b"../x"),)),
        Index(entries=(file_entry(b"patch", [REF, REF]),)),
    ],
)
def test_an_index_of_anything_but_one_patch_is_refused(index: Index) -> None:
    digest, data = encode_index(index)
    manifest = msgspec.structs.replace(PATCH, index=digest)
    assert isinstance(read_patch_index(data, manifest), Refused)
    assert isinstance(read_patch_index(data + b"x", manifest), Refused)


def test_there_must_be_room_for_all_of_it() -> None:
    needed = PATCH.total_bytes + PATCH.index_bytes + 2 * TARGET.total_bytes + SPARE_BYTES
    assert judge_patch_space(PATCH, TARGET, free_bytes=needed, held_bytes=0) is None
    refused = judge_patch_space(PATCH, TARGET, free_bytes=needed - 1, held_bytes=0)
    assert refused is not None
    assert refused.code == "no-space"
    assert judge_patch_space(PATCH, TARGET, free_bytes=needed - 1, held_bytes=1) is None
