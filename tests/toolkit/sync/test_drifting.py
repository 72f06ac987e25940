"""Weights that all moved a little: how far they moved is what is sent, and every state comes back."""

from __future__ import annotations

import numpy as np
import pytest

from tests.contracts.remote import MemoryRemote
from tests.toolkit.sync.trees import storage, task_of
from toolkit.sync.drifting import Drifting
from toolkit.sync.layouts.pack import decode_pack
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.pace import Pace
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask
from toolkit.sync.verify import verify_packs
from toolkit.wire.digest import digest_of
from toolkit.wire.entry import PACKED
from toolkit.wire.index import ChunkRef

MIB = 1024 * 1024
SIZE = 8 * MIB + 300_000
PACKS = Storage(tier="cold", url="memory://test", layout="packs")
HEAD = b"an odd number of bytes as in ONNX.."


class Site:
    """A file of weights, and the store that it is sent to."""

    def __init__(self, root) -> None:
        self.root = root
        self.remote = MemoryRemote()
        self.file = root / "edge/frames/last.ckpt"
        self.file.parent.mkdir(parents=True)
        self.draw = np.random.default_rng(7)
        self.numbers = self.draw.standard_normal(SIZE // 2).astype("f4")
        self.task = task_of(root, PACKS, grid="weights")

    def train(self, drift: float = 1e-3) -> bytes:
        self.numbers *= 1 + drift * self.draw.standard_normal(len(self.numbers), "f4")
        data = HEAD + self.numbers.astype("<f2").tobytes()
        self.file.write_bytes(data)
        return data

    def send(self) -> int:
        """Sync; give the bytes of packs that were written."""
        before = self.pack_bytes()
        result = run_task(self.task, remotes=lambda _: self.remote)
        assert result.exit_code == 0, result
        return self.pack_bytes() - before

    def pack_bytes(self) -> int:
        return sum(len(data) for key, data in self.remote.objects.items() if key.startswith("packs/"))

    def entries(self):
        packs = [data for key, data in self.remote.objects.items() if key.startswith("packs/")]
        return [entry for data in packs for entry in decode_pack(data, what="pack")]

    def back(self, name: str) -> bytes:
        """Restore into a new folder."""
        task = SyncTask(route="recall", source=PACKS, targets=(storage(self.root / name),), path="frames")
        result = run_task(task, remotes=lambda _: self.remote)
        assert result.exit_code == 0, result
        return (self.root / name / "frames/last.ckpt").read_bytes()


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_of_each_checkpoint_its_drift_is_sent_and_every_state_comes_back(site):
    states = [site.train()]
    assert site.send() > 0.9 * SIZE
    for most in (0.2, 0.22):
        states.append(site.train())
        assert site.send() < most * SIZE
    assert site.send() == 0
    store = PackStore(site.remote)
    whole = {entry.digest for entry in site.entries() if not entry.bases}
    drifts = [entry for entry in site.entries() if entry.bases]
    assert len(drifts) == 2 * 9
    assert all(entry.drifts and len(entry.bases) == 1 and entry.bases[0] in whole for entry in drifts)
    names = store.list_refs("routes/frames/at/")
    assert [store.read_ref(name).format for name in names] == [1, 5, 5]
    for name, data in zip(names, states, strict=True):
        (entry,) = store.entries(store.read_ref(name).digest)
        assert [size for _, size in PACKED.iter_unpack(entry.chunks)] == [MIB] * 8 + [len(data) - 8 * MIB]
        read = store.read_open(ref.digest for ref in entry.refs())
        assert b"".join(bytes(each) for _, each in read) == data
    assert site.back("back") == states[-1]
    assert verify_packs(store) == []


@pytest.mark.faults
def test_what_moved_too_far_goes_whole_and_is_a_base_then(site):
    site.train()
    site.send()
    site.train(drift=1.0)
    assert site.send() > 0.9 * SIZE
    assert not any(entry.bases for entry in site.entries())
    data = site.train()
    assert site.send() < 0.2 * SIZE
    assert site.back("back") == data


@pytest.mark.faults
def test_a_file_that_was_cut_by_its_content_goes_whole_once(site):
    site.task = task_of(site.root, PACKS)
    site.train()
    site.send()
    site.task = task_of(site.root, PACKS, grid="weights")
    site.train()
    assert site.send() > 0.9 * SIZE
    data = site.train()
    assert site.send() < 0.2 * SIZE
    assert site.back("back") == data


@pytest.mark.faults
def test_a_base_that_is_lost_or_damaged_costs_bytes_and_nothing_else(site):
    site.train()
    site.send()
    for key in [key for key in site.remote.objects if key.startswith("packs/")]:
        spoiled = bytearray(site.remote.objects[key])
        spoiled[5000] ^= 1
        site.remote.objects[key] = bytes(spoiled)
    data = site.train()
    first = site.send()
    assert 0.3 * SIZE > first > 0.25 * SIZE, "of the damaged pack one chunk goes whole"
    assert site.back("back") == data


@pytest.mark.faults
def test_a_small_file_and_a_route_that_does_not_ask_for_it_know_no_drifts(site):
    site.numbers = site.numbers[: SIZE // 4]
    for _ in range(2):
        site.train()
        assert site.send() > 0.4 * SIZE
    site.task = task_of(site.root, PACKS)
    site.train()
    site.send()
    assert not any(entry.drifts for entry in site.entries())


def test_what_is_read_for_a_drift_counts_against_the_limit(site):
    site.train()
    site.send()
    store = PackStore(site.remote)
    old = store.get_tree(store.read_ref("routes/frames/head").digest)
    waits = []
    pace = Pace(MIB, clock=lambda: 0.0, sleep=waits.append)
    base = next(old.get(b"last.ckpt").refs())
    data = memoryview(bytes(MIB))
    stored = Drifting(store, old, pace).code(ChunkRef(digest_of(data), MIB), b"last.ckpt", 0, data)
    assert not stored.bases, "zeros are smaller than any drift"
    assert 0 < sum(waits) <= store.stored_size_of(base.digest) / MIB
    waits.clear()
    for path, offset in ((b"last.ckpt", MIB // 2), (b"other", 0)):
        Drifting(store, old, pace).code(ChunkRef(digest_of(data), MIB), path, offset, data)
    assert waits == [], "nothing lay there, so nothing is read"


def test_a_checkpoint_under_another_number_drifted_from_the_one_before(site):
    site.train()
    site.file.rename(site.file.with_name("step-900.ckpt"))
    site.send()
    data = site.train()
    site.file.rename(site.file.with_name("step-1000.ckpt"))
    assert site.send() < 0.2 * SIZE
    store = PackStore(site.remote)
    entry = store.get_tree(store.read_ref("routes/frames/head").digest).get(b"step-1000.ckpt")
    assert b"".join(store.read_chunk(ref.digest) for ref in entry.refs()) == data
