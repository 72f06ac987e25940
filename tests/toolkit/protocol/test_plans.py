"""What a plan's manifest and index must say before a byte of it is fetched; the rest is in tests/edge_runtime."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolkit.protocol.offer import SPARE_BYTES, Refused
from toolkit.protocol.plans import judge_plan_space, read_plan_index, read_plan_manifest
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef, Index, encode_index, file_entry
from toolkit.wire.keyring import Keyring, TrustedKey
from toolkit.wire.manifest import Manifest, encode_manifest
from toolkit.wire.plan import PLAN_FILE, PlanFor, PlanMachine
from toolkit.wire.signature import seal

KEY = Ed25519PrivateKey.generate()
MACHINE = PlanMachine(
    settings="00", tensorrt="10.3.0", capability="8.7", gpu="Orin", device_model="Jetson Orin NX", l4t="36.4.3",
    driver=12060, architecture="aarch64",
)  # fmt: skip
MODEL = Manifest(
    kind="model", name="digits", version="2", counter=2, index=digest_of(b"index"), index_bytes=100,
    total_bytes=10_000, chunks=5, model_file="model.onnx",
)  # fmt: skip
MADE_FOR = PlanFor(artifact=encode_manifest(MODEL)[0], model="ab" * 32, machine=MACHINE)
INDEX = Index(entries=(file_entry(PLAN_FILE.encode(), [ChunkRef(digest_of(b"chunk"), 500)]),))
PLAN = Manifest(
    kind="plan", name="digits", version="2", counter=2, index=encode_index(INDEX)[0],
    index_bytes=len(encode_index(INDEX)[1]), total_bytes=500, chunks=1, plan=MADE_FOR,
)  # fmt: skip


def keyring(role: str = "registry") -> Keyring:
    return Keyring(keys=(TrustedKey(public=KEY.public_key().public_bytes_raw(), roles=(role,)),))


def read(manifest: Manifest, ring: Keyring | None = None) -> object:
    sealed = seal(encode_manifest(manifest)[1], "manifest", KEY)
    return read_plan_manifest(sealed, ring or keyring(), MODEL, MADE_FOR)


def test_one_for_this_model_on_this_machine_is_taken() -> None:
    assert read(PLAN) == (encode_manifest(PLAN)[0], PLAN)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": "3"}, "wrong-plan"),
        ({"name": "other"}, "wrong-plan"),
        ({"kind": "model", "plan": None, "model_file": "m.onnx"}, "wrong-plan"),
        ({"index_bytes": 1 << 40}, "bad-manifest"),
        ({"chunks": 0}, "bad-manifest"),
        ({"total_bytes": 0}, "bad-manifest"),
    ],
)
def test_anything_else_is_not(changes: dict[str, object], code: str) -> None:
    refused = read(msgspec.structs.replace(PLAN, format=0, **changes))
    assert isinstance(refused, Refused)
    assert refused.code == code


def test_a_builders_key_is_not_enough() -> None:
    refused = read(PLAN, keyring("builder"))
    assert isinstance(refused, Refused)
    assert refused.code == "bad-manifest"


def test_its_chunks_and_itself_must_fit_the_disk() -> None:
    needed = 2 * 500 + PLAN.index_bytes + SPARE_BYTES
    assert judge_plan_space(PLAN, free_bytes=needed, held_bytes=0) is None
    assert judge_plan_space(PLAN, free_bytes=needed - 500, held_bytes=500) is None
    refused = judge_plan_space(PLAN, free_bytes=needed - 1, held_bytes=0)
    assert refused is not None
    assert refused.code == "no-space"


def test_an_index_with_other_sizes_is_refused() -> None:
    data = encode_index(INDEX)[1]
    assert read_plan_index(data, PLAN) == INDEX
    for changes in ({"total_bytes": 501}, {"chunks": 2}, {"index": digest_of(b"other")}):
        refused = read_plan_index(data, msgspec.structs.replace(PLAN, format=0, **changes))
        assert isinstance(refused, Refused)
        assert refused.code == "bad-index"
