"""A turned bit in any object of a store of packs is found and the object named; a whole store is found whole."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.contracts.remote import MemoryRemote
from tests.toolkit.sync.trees import make_tree, task_of
from toolkit.errors import SyncError
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.ref import Ref
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage
from toolkit.sync.verify import verify_packs, verify_target
from toolkit.wire.keyring import Keyring, TrustedKey
from toolkit.wire.manifest import Manifest, encode_manifest
from toolkit.wire.signature import seal

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEYRING = Keyring(keys=(TrustedKey(public=KEY.public_key().public_bytes_raw(), roles=("registry",)),))
PACKS = Storage(tier="cold", url="memory://test", layout="packs")


@pytest.fixture
def filled(tmp_path):
    """A store with a route's data and an artifact that stands on the same index."""
    make_tree(tmp_path / "edge/frames")
    remote = MemoryRemote()
    task = task_of(tmp_path, PACKS)
    run_task(task, remotes=lambda _: remote)
    store = PackStore(remote)
    head = store.read_ref("routes/frames/head")
    manifest = Manifest(
        kind="config",
        name="a",
        version="1",
        counter=1,
        index=head.digest,
        index_bytes=1,
        total_bytes=1,
        chunks=1,
    )
    artifact, payload = encode_manifest(manifest)
    store.put_sealed(artifact, seal(payload, "manifest", KEY))
    store.write_ref("models/a/1", Ref(kind="manifest", digest=artifact))
    return remote, task


def test_a_whole_store_is_whole(filled):
    remote, task = filled
    assert verify_packs(PackStore(remote), KEYRING) == []
    assert [damage.what for damage in verify_packs(PackStore(remote), Keyring())] == ["refs/models/a/1"]
    found = verify_target(task, PACKS, lambda _: remote)
    assert (found.files, found.damage, found.exit_code) == (60, (), 0)


@pytest.mark.parametrize(
    "prefix", ["packs/", "indexes/", "manifests/", "refs/models/", "refs/routes/frames/head"]
)
def test_a_turned_bit_is_found_wherever_it_is(filled, prefix):
    remote, _ = filled
    draw = random.Random(1)
    keys = [key for key in remote.objects if key.startswith(prefix)]
    assert keys
    for key in keys:
        whole = remote.objects[key]
        for _ in range(8):
            damaged = bytearray(whole)
            damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
            remote.objects[key] = bytes(damaged)
            damage = verify_packs(PackStore(remote), KEYRING)
            # Of a Ref, a time that is another time is no damage; whatever is wrong is named, or nothing is.
            assert damage or prefix.startswith("refs/"), (key, bytes(damaged)[:80])
            if prefix == "packs/":
                assert damage[0].what == key
        remote.objects[key] = whole
    assert verify_packs(PackStore(remote)) == []


@pytest.mark.parametrize("prefix", ["packs/", "indexes/", "manifests/"])
def test_a_missing_object_is_found_by_the_refs_that_need_it(filled, prefix):
    remote, _ = filled
    remote.delete(next(key for key in remote.objects if key.startswith(prefix)))
    damage = verify_packs(PackStore(remote))
    assert "refs/models/a/1" in {found.what for found in damage}


def test_files_of_a_damaged_pack_are_named(filled):
    remote, task = filled
    key = next(key for key in remote.objects if key.startswith("packs/"))
    data = bytearray(remote.objects[key])
    data[100] ^= 1
    remote.objects[key] = bytes(data)
    found = verify_target(task, PACKS, lambda _: remote)
    assert found.exit_code == 6
    assert 1 <= len(found.damage) < found.files
    assert key.removeprefix("packs/")[:12] in found.damage[0].reason


def test_a_route_that_brought_nothing_is_no_damage(tmp_path):
    for place in (PACKS, task_of(tmp_path).targets[0]):
        with pytest.raises(SyncError, match="brought nothing") as caught:
            verify_target(task_of(tmp_path), place, lambda _: MemoryRemote())
        assert caught.value.hint == "tiers sync run frames"
