"""Whether an offer is taken: each reason to refuse has its word, and what is right is taken."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import IntegrityError
from toolkit.protocol.installation import Offer
from toolkit.protocol.offer import (
    SPARE_BYTES,
    Ability,
    Refused,
    judge,
    lies_within,
    read_index,
    read_manifest,
)
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef, Entry, Index, encode_index, file_entry, pack_refs
from toolkit.wire.keyring import Keyring, TrustedKey
from toolkit.wire.manifest import Golden, Manifest, Range, Requires, decode_manifest, encode_manifest
from toolkit.wire.signature import seal
from toolkit.wire.stages import Stage, Stages

KEY, STRANGER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
KEYRING = Keyring(keys=(TrustedKey(public=KEY.public_key().public_bytes_raw(), roles=("registry",)),))
CHUNK = ChunkRef(digest_of(b"x" * 100), 100)
INDEX = Index(entries=(file_entry(b"golden.npz", [CHUNK]), file_entry(b"model.onnx", [CHUNK])))
DIGEST, INDEX_BYTES = encode_index(INDEX)
MANIFEST = Manifest(
    kind="model",
    name="digits",
    version="1.0",
    counter=5,
    index=DIGEST,
    index_bytes=len(INDEX_BYTES),
    total_bytes=200,
    chunks=1,
    model_file="model.onnx",
    golden=Golden(file="golden.npz"),
)
ABLE = Ability(
    architecture="aarch64",
    onnx_ir=10,
    free_memory_bytes=1000,
    free_disk_bytes=SPARE_BYTES + 10_000,
    l4t="36.4.3",
    tensorrt="10.3.0.post1",
    compute_capability="8.7",
    stages=frozenset({"argmax@1", "resize@1"}),
)


def offer_of(manifest: Manifest = MANIFEST) -> tuple[Offer, bytes]:
    artifact, payload = encode_manifest(manifest)
    return Offer(version=manifest.version, artifact=artifact, rollout="r"), payload


def changed(manifest: Manifest = MANIFEST, **changes: object) -> Manifest:
    return msgspec.structs.replace(manifest, **changes)


def code(answer: object) -> str:
    assert isinstance(answer, Refused), answer
    assert answer.reason
    return answer.code


def test_a_manifest_that_is_sealed_and_named_is_taken() -> None:
    offer, payload = offer_of()
    assert read_manifest(seal(payload, "manifest", KEY), KEYRING, "digits", offer) == MANIFEST


def test_each_wrong_manifest_has_its_word() -> None:
    offer, payload = offer_of()
    good = seal(payload, "manifest", KEY)
    assert code(read_manifest(b"junk", KEYRING, "digits", offer)) == "bad-manifest"
    assert code(read_manifest(good.replace(b'"value":"', b'"value":"A', 1), KEYRING, "digits", offer)) in {
        "bad-manifest",
        "bad-seal",
    }
    assert code(read_manifest(seal(payload, "manifest", STRANGER), KEYRING, "digits", offer)) == "bad-seal"
    assert code(read_manifest(seal(payload, "desired", KEY), KEYRING, "digits", offer)) == "bad-seal"
    assert code(read_manifest(good, KEYRING, "other", offer)) == "wrong-model"
    other = msgspec.structs.replace(offer, artifact=digest_of(b"other"))
    assert code(read_manifest(good, KEYRING, "digits", other)) == "manifest-mismatch"
    _, unsafe = encode_manifest(changed(model_file="../../etc/passwd"))
    named = msgspec.structs.replace(offer, artifact=digest_of(unsafe))
    assert code(read_manifest(seal(unsafe, "manifest", KEY), KEYRING, "digits", named)) == "bad-manifest"


def test_a_manifest_that_the_device_can_run_is_taken() -> None:
    requires = Requires(architectures=("aarch64",), onnx_ir=10, memory_bytes=1000)
    assert judge(changed(requires=requires), ABLE, floor=5, held_bytes=0) is None


@pytest.mark.parametrize(
    ("manifest", "word"),
    [
        (changed(kind="plan"), "wrong-kind"),
        (changed(counter=4), "below-floor"),
        (changed(index_bytes=0), "bad-manifest"),
        (changed(index_bytes=1 << 40), "bad-manifest"),
        (changed(requires=Requires(architectures=("x86_64",))), "wrong-architecture"),
        (changed(requires=Requires(onnx_ir=11)), "onnx-too-new"),
        (changed(requires=Requires(memory_bytes=1001)), "no-memory"),
        (changed(requires=Requires(l4t=Range(at_least="36.10"))), "wrong-l4t"),
        (changed(requires=Requires(l4t=Range(below="36.4.3"))), "wrong-l4t"),
        (changed(requires=Requires(tensorrt=Range(at_least="10.3.1"))), "wrong-tensorrt"),
        (changed(requires=Requires(compute_capabilities=("8.6", "8.9"))), "wrong-gpu"),
        (changed(stages=Stages(post=(Stage(name="nms", of=("a", "b")),))), "unknown-stage"),
        (changed(stages=Stages(post=(Stage(name="argmax", version=2, of=("y",)),))), "unknown-stage"),
        (changed(stages=Stages(post=(Stage(name="argmax", of=("y",), params={"axis": 0}),))), "bad-manifest"),
        (changed(requires=Requires(disk_bytes=20_000)), "no-space"),
        (changed(total_bytes=5_001), "no-space"),
    ],
)
def test_each_thing_that_is_lacking_has_its_word(manifest: Manifest, word: str) -> None:
    assert code(judge(manifest, ABLE, floor=5, held_bytes=0)) == word


def test_what_the_device_has_is_compared_number_by_number() -> None:
    requires = Requires(
        l4t=Range(at_least="36.4", below="36.10"),
        tensorrt=Range(at_least="10.3", below="11"),
        compute_capabilities=("7.2", "8.7"),
    )
    assert judge(changed(requires=requires), ABLE, floor=0, held_bytes=0) is None


def test_a_device_that_has_none_of_it_is_refused_and_told_so() -> None:
    bare = replace(ABLE, l4t="", tensorrt="", compute_capability="")
    for requires, word in (
        (Requires(l4t=Range(at_least="36")), "wrong-l4t"),
        (Requires(tensorrt=Range(below="11")), "wrong-tensorrt"),
        (Requires(compute_capabilities=("8.7",)), "wrong-gpu"),
    ):
        answer = judge(changed(requires=requires), bare, floor=0, held_bytes=0)
        assert code(answer) == word
        assert "this device has no" in answer.reason
    assert judge(changed(requires=Requires()), bare, floor=0, held_bytes=0) is None


def test_a_stage_that_a_package_would_bring_is_refused_with_that_package() -> None:
    for stage, cure in (("decode-dicom", "install tiers[dicom]"), ("decode-film", "update tiers-edge")):
        answer = judge(
            changed(stages=Stages(pre=(Stage(name=stage, of=("x",)),))), ABLE, floor=0, held_bytes=0
        )
        assert code(answer) == "unknown-stage"
        assert f"{stage}@1" in answer.reason
        assert cure in answer.reason
    known = Stages(post=(Stage(name="argmax", of=("y",)),))
    assert judge(changed(stages=known), ABLE, floor=0, held_bytes=0) is None


NUMBERS = st.lists(st.integers(0, 40), min_size=1, max_size=4)


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_range_takes_what_lies_between_its_ends(found, low, high) -> None:
    """Against the numbers filled up with zeros, which is what a missing one means."""
    dotted = [".".join(map(str, each)) for each in (found, low, high)]
    padded = [each + [0] * (4 - len(each)) for each in (found, low, high)]
    wanted = Range(at_least=dotted[1], below=dotted[2])
    assert lies_within(dotted[0], wanted) == (padded[1] <= padded[0] < padded[2])
    assert lies_within(dotted[0], Range(below=dotted[2])) == (padded[0] < padded[2])


@pytest.mark.parametrize("end", ["36.x", "36.", "-1", "9" * 10, ".".join(["1"] * 9), "36.4 "])
def test_a_manifest_whose_range_is_no_version_is_damaged(end: str) -> None:
    _, payload = encode_manifest(changed(requires=Requires(l4t=Range(at_least=end))))
    with pytest.raises(IntegrityError, match=r"no version such as 36\.4\.3"):
        decode_manifest(payload)


def test_space_is_counted_to_the_byte_and_what_is_held_counts() -> None:
    needed = 2 * 200 + len(INDEX_BYTES) + SPARE_BYTES
    assert judge(MANIFEST, replace(ABLE, free_disk_bytes=needed), floor=0, held_bytes=0) is None
    assert (
        code(judge(MANIFEST, replace(ABLE, free_disk_bytes=needed - 1), floor=0, held_bytes=0)) == "no-space"
    )
    assert judge(MANIFEST, replace(ABLE, free_disk_bytes=needed - 200), floor=0, held_bytes=200) is None


def index_with(*entries: Entry) -> tuple[bytes, Manifest]:
    index = Index(entries=entries)
    digest, data = encode_index(index)
    sizes = {
        "total_bytes": index.total_bytes,
        "chunks": len({ref for each in entries for ref in each.refs()}),
    }
    return data, changed(index=digest, index_bytes=len(data), **sizes)


def test_an_index_that_agrees_with_its_manifest_is_taken() -> None:
    assert read_index(INDEX_BYTES, MANIFEST) == INDEX


def test_each_wrong_index_has_its_word() -> None:
    assert code(read_index(INDEX_BYTES[:-1] + b"?", MANIFEST)) == "bad-index"
    assert code(read_index(INDEX_BYTES, changed(total_bytes=201))) == "bad-index"
    assert code(read_index(INDEX_BYTES, changed(chunks=2))) == "bad-index"
    assert code(read_index(INDEX_BYTES, changed(model_file="absent.onnx"))) == "bad-index"
    assert code(read_index(INDEX_BYTES, changed(golden=Golden(file="absent.npz")))) == "bad-index"
    evil = Entry(b"../evil", "file", 100, 0o644, 0, pack_refs([CHUNK]))
    assert code(read_index(*index_with(evil))) == "unsafe-path"
    link = Entry(b"model.onnx", "link", 0, 0o777, 0, b"", b"/etc/passwd")
    assert code(read_index(*index_with(file_entry(b"golden.npz", [CHUNK]), link))) == "unsafe-path"
    folder = Entry(b"model.onnx", "folder", 0, 0o755, 0)
    assert code(read_index(*index_with(file_entry(b"golden.npz", [CHUNK]), folder))) == "bad-index"
