"""What overlays and drifts lean on: collections keep it, verify names what hangs on it, repair mends it.

One large file in two states: all chunks of the first one lie whole, some of the second as overlays of them, or as what
has drifted from them.
"""

from __future__ import annotations

import random

import pytest

from tests.toolkit.sync.faults.stepping import HOUR_MS, ClockedRemote
from tests.toolkit.sync.layouts.test_overlays import changed, drifted, noise, whole
from tests.toolkit.sync.trees import storage, task_of
from toolkit.errors import IntegrityError, SyncError
from toolkit.sync.collecting import Sweep
from toolkit.sync.gc import Rules, collect
from toolkit.sync.layouts.pack import StoredChunk, decode_pack, encode_pack
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.other_copies import MirrorCopy, PackCopy
from toolkit.sync.ref import Ref
from toolkit.sync.repair import repair_store
from toolkit.sync.run import run_task
from toolkit.sync.survey import survey
from toolkit.sync.task import Storage
from toolkit.sync.used import Used
from toolkit.sync.verify import verify_packs
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.document import encode_json
from toolkit.wire.index import ChunkRef, Index, file_entry
from toolkit.wire.overlay import NEW, Run, encode_overlay

PACKS = Storage(tier="cold", url="memory://here", layout="packs")
NOW = Rules(grace_seconds=0, repack_below=0)
MIB = 1024 * 1024


class Store:
    """A store with whole chunks and overlays or drifts, and Refs to one chunk each."""

    def __init__(self, kind: str = "overlay") -> None:
        self.kind = kind
        self.remote = ClockedRemote()
        self.old = [noise(number) for number in range(4)]
        self.made = [
            changed(old, 5000, 100 + number) if kind == "overlay" else drifted(old, 100 + number)
            for number, old in enumerate(self.old)
        ]
        store = PackStore(self.remote)
        for data in self.old:  # a pack each
            store.add([whole(data)])
        for _, overlay in self.made:
            store.add([overlay])

    def ref(self, name: str, *datas: bytes) -> None:
        store = PackStore(self.remote)
        refs = [ChunkRef(digest_of(data), len(data)) for data in datas]
        digest = store.put_index(Index(entries=(file_entry(b"file", refs),)))
        store.write_ref(name, Ref(kind="index", digest=digest))

    def pack_with(self, digest: Digest, *, overlay: bool = False) -> str:
        (key,) = [
            key
            for key, data in self.remote.objects.items()
            if key.startswith("packs/")
            and any(
                each.digest == digest and bool(each.bases) == overlay for each in decode_pack(data, what=key)
            )
        ]
        return key

    def packs(self) -> int:
        return sum(key.startswith("packs/") for key in self.remote.objects)

    def spoil(self, key: str) -> None:
        data = bytearray(self.remote.objects[key])
        data[3000] ^= 1
        self.remote.objects[key] = bytes(data)

    def collect(self, rules: Rules = NOW) -> None:
        for _ in range(2):  # marked, then deleted
            self.remote.now_ms += HOUR_MS
            collect(PackStore(self.remote), rules)


@pytest.fixture(params=["overlay", "drift"])
def site(request):
    return Store(request.param)


def test_a_collection_keeps_what_overlays_lean_on_and_only_that(site):
    data, overlay = site.made[0]
    site.ref("a/new", data)
    site.collect()
    assert site.packs() == 2
    store = PackStore(site.remote)
    assert store.read_chunk(overlay.digest) == data
    assert store.has(digest_of(site.old[0]))
    assert verify_packs(store) == []
    store.delete_ref("a/new")
    site.collect()
    assert site.packs() == 0


def test_who_has_a_chunk_whole_needs_no_overlay_and_then_no_base(site):
    data, overlay = site.made[0]
    site.ref("a/new", data)
    PackStore(site.remote).add_again([whole(data)])
    site.collect()
    assert site.packs() == 2, "first the overlay goes, its base only after it"
    site.collect()
    assert site.packs() == 1
    assert PackStore(site.remote).read_chunk(overlay.digest) == data


def test_an_overlay_and_its_base_stay_while_the_whole_chunk_is_rotten(site):
    data, overlay = site.made[0]
    site.ref("a/new", data)
    PackStore(site.remote).add_again([whole(data)])
    site.spoil(site.pack_with(overlay.digest))
    site.collect()
    site.collect()
    site.remote.delete(site.pack_with(overlay.digest))
    assert PackStore(site.remote).read_chunk(overlay.digest) == data


def test_of_two_overlays_of_one_chunk_the_one_that_stays_keeps_its_base():
    site = Store()
    data, overlay = site.made[0]
    filler = site.made[1][1]
    store = PackStore(site.remote)
    site.remote.delete(site.pack_with(overlay.digest, overlay=True))
    # The pack that is looked at first is not the one that a collection keeps, of which more is needed.
    for seed in range(100):
        twin = data[:9000] + noise(seed, 100) + data[9100:]
        runs = [Run(0, 0, 9000), Run(NEW, 0, 100), Run(0, 9100, len(data) - 9100)]
        other = StoredChunk(overlay.digest, overlay.size, encode_overlay(data, runs), (digest_of(twin),))
        if encode_pack([overlay, filler])[0] < encode_pack([other])[0]:
            break
    store.add([whole(twin)])
    store.add_again([overlay, filler])
    store.add_again([other])
    site.ref("a/new", data)
    site.collect()
    assert PackStore(site.remote).read_chunk(overlay.digest) == data
    site.collect()
    site.collect()
    assert site.packs() == 2
    assert PackStore(site.remote).read_chunk(overlay.digest) == data


def test_overlays_of_a_pack_that_is_mostly_garbage_are_rewritten_as_overlays(site):
    store = PackStore(site.remote)
    store.add_again([overlay for _, overlay in site.made])
    for _, overlay in site.made:
        for key in [key for key, data in site.remote.objects.items() if key.startswith("packs/")]:
            entries = decode_pack(site.remote.objects[key], what=key)
            if [each.digest for each in entries] == [overlay.digest]:
                site.remote.delete(key)
    site.ref("a/new", site.made[2][0])
    for _ in range(2):
        site.collect(Rules(grace_seconds=0, repack_below=0.5))
    assert site.packs() == 2
    assert verify_packs(PackStore(site.remote)) == []
    assert PackStore(site.remote).read_chunk(site.made[2][1].digest) == site.made[2][0]


def test_a_writer_does_not_count_on_an_overlay_whose_base_is_being_deleted(site):
    data, overlay = site.made[0]
    store = PackStore(site.remote)
    assert store.missing([overlay.digest]) == []
    base = site.pack_with(digest_of(site.old[0]))
    site.remote.write("gc/sweeps/0000000001", encode_json(Sweep(began_ms=1, condemned=(base,))))
    assert PackStore(site.remote).missing([overlay.digest]) == [overlay.digest]
    with pytest.raises(SyncError, match="garbage was collected"):
        store.confirm([overlay.digest], [])
    # It sends the chunk whole, and then nothing leans on what goes.
    store.add([whole(data)])
    store.confirm([overlay.digest], [])


def test_a_promise_that_stands_before_a_collection_reads_keeps_the_base(site):
    data, _ = site.made[0]
    site.ref("a/new", data)
    ref = site.remote.objects["refs/a/new"]
    site.remote.objects["pending/0123456789abcdef"] = ref
    site.remote.delete("refs/a/new")
    site.collect()
    assert PackStore(site.remote).has(digest_of(data))


def test_a_collection_that_knows_no_overlays_stops_at_the_ref(site):
    site.ref("a/new", site.made[0][0])
    told = {"overlay": b'"format":3', "drift": b'"format":5'}[site.kind]
    assert told in site.remote.objects["refs/a/new"]
    site.remote.objects["refs/a/new"] = site.remote.objects["refs/a/new"].replace(told, b'"format":9')
    with pytest.raises(IntegrityError, match="has format 9; this version reads Ref 1, 2, 3, 4, 5"):
        collect(PackStore(site.remote), NOW)


def test_verify_names_the_broken_base_and_what_hangs_on_it(site):
    data, overlay = site.made[0]
    site.ref("a/new", data)
    base, hanging = site.pack_with(digest_of(site.old[0])), site.pack_with(overlay.digest, overlay=True)
    site.spoil(base)
    damage = {each.what: each.reason for each in verify_packs(PackStore(site.remote))}
    assert damage.keys() == {base, hanging}
    assert overlay.digest[:12] in damage[hanging]
    assert digest_of(site.old[0])[:12] in damage[hanging]


def test_an_overlay_without_its_base_is_a_fault_only_if_a_ref_needs_it(site):
    _, overlay = site.made[0]
    site.remote.delete(site.pack_with(digest_of(site.old[0])))
    assert verify_packs(PackStore(site.remote)) == []
    site.ref("a/new", site.made[0][0])
    (damage,) = verify_packs(PackStore(site.remote))
    assert damage.what == "refs/a/new"
    assert overlay.digest[:12] in damage.reason


@pytest.mark.parametrize("which", ["base", "overlay", "both"])
@pytest.mark.parametrize("old_is_known", [True, False])
def test_repair_mends_what_overlays_lean_on_and_overlays(site, which, old_is_known):
    data, overlay = site.made[0]
    site.ref("a/new", data)
    if old_is_known:
        site.ref("a/old", site.old[0])
    other = ClockedRemote()
    PackStore(other).add([whole(site.old[0]), whole(data)])
    spoiled = [site.pack_with(digest_of(site.old[0])), site.pack_with(overlay.digest, overlay=True)]
    spoiled = {"base": spoiled[:1], "overlay": spoiled[1:], "both": spoiled}[which]
    for key in spoiled:
        data_there = bytearray(site.remote.objects[key])
        data_there[40] ^= 1
        site.remote.objects[key] = bytes(data_there)
    assert repair_store(PackStore(site.remote), []).exit_code != 0
    assert site.remote.objects.keys() >= set(spoiled), "the last copy is never deleted"
    done = repair_store(PackStore(site.remote), [PackCopy(PackStore(other))])
    assert done.exit_code == 0, done
    assert verify_packs(PackStore(site.remote)) == []
    assert PackStore(site.remote).read_chunk(overlay.digest) == data


def test_a_copy_without_the_base_mends_what_lay_upon_it(site):
    data, overlay = site.made[0]
    site.ref("a/new", data)
    other = ClockedRemote()
    PackStore(other).add([whole(data)])
    site.spoil(site.pack_with(digest_of(site.old[0])))
    done = repair_store(PackStore(site.remote), [PackCopy(PackStore(other))])
    assert done.exit_code == 0, done
    assert verify_packs(PackStore(site.remote)) == []
    assert PackStore(site.remote).read_chunk(overlay.digest) == data


def test_a_route_with_overlays_is_mended_from_a_mirror(tmp_path):
    remote = ClockedRemote()
    draw = random.Random(5)
    data = bytearray(draw.randbytes(9 * MIB))
    file = tmp_path / "edge/frames/volume"
    file.parent.mkdir(parents=True)
    task = task_of(tmp_path, PACKS, storage(tmp_path / "hot"))
    for _ in range(2):
        file.write_bytes(data)
        assert run_task(task, remotes=lambda _: remote).exit_code == 0
        for place in draw.sample(range(9 * 256), 20):
            data[place * 4096 : place * 4096 + 4096] = draw.randbytes(4096)
    store = PackStore(remote)
    assert store.packs_of_overlays
    state, head = store.read_ref("routes/frames/at/0000000001"), store.read_ref("routes/frames/head")
    assert (state.format, head.format) == (1, 3)
    store.delete_ref("routes/frames/at/0000000001")
    before = {key: bytes(each) for key, each in remote.objects.items() if key.startswith("packs/")}
    for key, data_there in before.items():  # a chunk of each
        spoiled = bytearray(data_there)
        spoiled[20] ^= 1
        remote.objects[key] = bytes(spoiled)
    done = repair_store(PackStore(remote), [MirrorCopy(str(tmp_path / "hot"))])
    assert done.exit_code == 0, done
    assert verify_packs(PackStore(remote)) == []
    used = Used(PackStore(remote))
    used.look()
    assert survey(PackStore(remote), used).missing == 0
