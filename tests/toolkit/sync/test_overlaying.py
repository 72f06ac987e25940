"""Large files that come again with changes here and there: little moves, and what comes back is what was sent."""

from __future__ import annotations

import random
import sqlite3

import pytest

from tests.contracts.remote import MemoryRemote
from tests.toolkit.sync.trees import storage, task_of
from toolkit.sync.blocks import BlockMemory, Laid, Whole, block_edges, block_names
from toolkit.sync.layouts.pack import StoredChunk, decode_pack
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.overlaying import Overlaying
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask
from toolkit.sync.verify import verify_packs
from toolkit.wire.chunk import store_chunk
from toolkit.wire.digest import digest_of, raw_digest_of
from toolkit.wire.index import ChunkRef, file_entry
from toolkit.wire.tree import tree_of

MIB = 1024 * 1024
SIZE = 16 * MIB
PACKS = Storage(tier="cold", url="memory://test", layout="packs")


class Site:
    """A large file, and the store that it is sent to."""

    def __init__(self, root) -> None:
        self.root = root
        self.remote = MemoryRemote()
        self.file = root / "edge/frames/volume"
        self.file.parent.mkdir(parents=True)
        self.draw = random.Random(7)
        self.data = bytearray(self.draw.randbytes(SIZE))
        self.task = task_of(root, PACKS)

    def write(self, extent: int = 0, count: int = 0) -> int:
        """Write the file with extents of noise at their multiples; give the bytes that differ."""
        for place in self.draw.sample(range(SIZE // extent), count) if extent else ():
            self.data[place * extent : (place + 1) * extent] = self.draw.randbytes(extent)
        self.file.write_bytes(self.data)
        return extent * count

    def send(self) -> int:
        """Sync; give the bytes of packs that were written."""
        before = self.pack_bytes()
        result = run_task(self.task, remotes=lambda _: self.remote)
        assert result.exit_code == 0, result
        return self.pack_bytes() - before

    def pack_bytes(self) -> int:
        return sum(len(data) for key, data in self.remote.objects.items() if key.startswith("packs/"))

    def overlays(self) -> int:
        packs = [data for key, data in self.remote.objects.items() if key.startswith("packs/")]
        return sum(bool(entry.bases) for data in packs for entry in decode_pack(data, what="pack"))

    def back(self, name: str = "back") -> bytes:
        """Restore into a new folder."""
        task = SyncTask(route="recall", source=PACKS, targets=(storage(self.root / name),), path="frames")
        result = run_task(task, remotes=lambda _: self.remote)
        assert result.exit_code == 0, result
        return (self.root / name / "frames/volume").read_bytes()


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.mark.parametrize(("extent", "count"), [(4096, 82), (65_536, 5)])
def test_what_moves_is_little_more_than_what_changed(site, extent, count):
    site.write()
    assert site.send() > SIZE
    for most in (1.5, 2.5, 2.5):  # what changed before is sent again, until a chunk goes whole
        changed = site.write(extent, count)
        assert site.send() <= most * changed
        assert site.overlays()
    assert site.back() == site.data
    assert verify_packs(PackStore(site.remote)) == []
    assert site.send() == 0


def test_every_earlier_state_comes_back(site):
    states = []
    for _ in range(3):
        site.write(4096, 82)
        states.append(bytes(site.data))
        site.send()
    store = PackStore(site.remote)
    for name, data in zip(store.list_refs("routes/frames/at/"), states, strict=True):
        (entry,) = store.entries(store.read_ref(name).digest)
        assert (
            b"".join(bytes(each) for _, each in store.read_open(ref.digest for ref in entry.refs())) == data
        )
    assert [store.read_ref(name).format for name in store.list_refs("routes/frames/at/")] == [1, 3, 3]


@pytest.mark.faults
def test_a_lost_or_damaged_memory_costs_bytes_and_nothing_else(site):
    memory = site.root / "edge/.tiers/blocks.sqlite"
    site.write()
    site.send()
    memory.unlink()
    site.write(4096, 82)
    assert site.send() > 10 * 82 * 4096
    assert site.overlays() == 0
    assert site.back("first") == site.data
    with sqlite3.connect(memory) as database:
        rows = database.execute("SELECT chunk, said FROM blocks").fetchall()
        assert rows
        spoiled = [(bytes([said[0] ^ 1]) + said[1:] if at % 2 else said[:9] + b"?" + said[10:], raw)
                   for at, (raw, said) in enumerate(rows)]  # fmt: skip
        database.executemany("UPDATE blocks SET said = ? WHERE chunk = ?", spoiled)
    database.close()
    site.write(4096, 20)
    site.send()
    assert site.back("second") == site.data
    memory.write_bytes(b"no database at all" * 1000)
    site.write(4096, 20)
    site.send()
    site.write(4096, 20)
    site.send()
    assert site.back("third") == site.data
    assert verify_packs(PackStore(site.remote)) == []


@pytest.mark.parametrize("zeros", [pytest.param(0, marks=pytest.mark.faults), 9000])
def test_what_moved_or_was_put_in_is_not_confused(site, zeros):
    for at in range(0, SIZE - 16_384 if zeros else 0, 16_384):  # zeros look the same wherever they lie
        site.data[at : at + zeros] = bytes(zeros)
    site.write()
    site.send()
    site.data[5 * MIB : 5 * MIB] = site.draw.randbytes(1234)
    site.data[9 * MIB : 9 * MIB + 5000] = b""
    site.write(4096, 30)
    assert site.send() < SIZE // 4
    assert site.back("one") == site.data
    site.write(4096, 30)
    site.send()
    assert site.back("two") == site.data


def test_a_chunk_that_has_become_another_one_goes_whole_and_is_a_base_again(site):
    site.write()
    site.send()
    for _ in range(2):
        site.data[MIB : 3 * MIB] = site.draw.randbytes(2 * MIB)
        site.write()
        sent = site.send()
        assert 2 * MIB < sent < 3 * MIB
    site.data[2 * MIB] ^= 1
    site.write()
    assert site.send() < 20_000
    assert site.back() == site.data


def test_bases_that_the_store_has_not_are_not_leaned_on(site):
    site.write()
    site.send()
    for key in [key for key in site.remote.objects if key.startswith("packs/")]:
        site.remote.delete(key)
    site.write(4096, 10)
    assert site.send() > SIZE
    assert site.overlays() == 0
    assert site.back() == site.data


def test_blocks_that_lay_otherwise_in_their_file_are_not_taken_for_others(tmp_path):
    draw = random.Random(3)
    noise = [draw.randbytes(4096) for _ in range(6)]
    base = b"".join(each + bytes(4096) for each in noise)
    new = b"".join(each[:2862] + bytes(8192 - 2862) for each in noise)
    refs = [ChunkRef(digest_of(each), len(each)) for each in (base, new)]
    store = PackStore(MemoryRemote())
    store.add([StoredChunk(*refs[0], store_chunk(base))])
    memory = BlockMemory(str(tmp_path / "blocks.sqlite"))
    Overlaying(store, tree_of(()), memory).code(refs[0], b"file", 0, memoryview(base))
    for start in (0, 1234, 4096):  # where the chunk lay in the earlier version, and where the new one does
        before = ChunkRef(digest_of(b"x" * start), start)
        old = tree_of((file_entry(b"file", [before, refs[0]] if start else [refs[0]]),))
        made = Overlaying(store, old, memory).code(refs[1], b"file", start, memoryview(new))
        assert made.bases
        assert len(made.stored) < 30_000
        fresh = PackStore(MemoryRemote())
        fresh.add([StoredChunk(*refs[0], store_chunk(base)), made])
        assert fresh.read_chunk(refs[1].digest) == new
    memory.close()


def test_small_files_are_sent_as_ever(tmp_path):
    remote = MemoryRemote()
    file = tmp_path / "edge/frames/small"
    file.parent.mkdir(parents=True)
    file.write_bytes(random.Random(1).randbytes(2 * MIB))
    run_task(task_of(tmp_path, PACKS), remotes=lambda _: remote)
    assert not (tmp_path / "edge/.tiers/blocks.sqlite").exists()


# ---------------------------------------------------------------- the memory
def whole(seed: int, size: int = 30_000, offset: int = 5000) -> tuple[bytes, Whole]:
    data = random.Random(seed).randbytes(size)
    return raw_digest_of(data), Whole(
        offset % 4096, size, block_names(memoryview(data), block_edges(offset, size))
    )


def test_what_is_remembered_is_recalled_also_by_the_next_run(tmp_path):
    file = str(tmp_path / "blocks.sqlite")
    raw, known = whole(1)
    laid = Laid(((bytes(32), -7), (raw, 1 << 40)))
    memory = BlockMemory(file)
    assert memory.recall(raw) is None
    memory.remember(raw, known)
    memory.remember(b"x" * 32, laid)
    assert memory.recall(raw) == known
    memory.close()
    again = BlockMemory(file)
    assert (again.recall(raw), again.recall(b"x" * 32), again.recall(b"y" * 32)) == (known, laid, None)
    again.close()


def test_edges_are_those_of_the_blocks_of_the_file():
    assert block_edges(5000, 10_000) == [0, 3192, 7288, 10_000]
    assert block_edges(4096, 8192) == [0, 4096, 8192]
    assert block_edges(4090, 6) == [0, 6]
    assert block_edges(4090, 3) == [0, 3]


def test_it_stays_small_and_forgets_the_oldest(tmp_path):
    file = tmp_path / "blocks.sqlite"
    for run in range(8):
        memory = BlockMemory(str(file), most_bytes=100_000)
        for number in range(200):
            memory.remember(*whole(1000 * run + number))
        memory.close()
        assert file.stat().st_size <= 100_000
    memory = BlockMemory(str(file))
    assert memory.recall(whole(7199)[0]) or memory.recall(whole(7100)[0])
    assert memory.recall(whole(0)[0]) is None
    memory.close()


def test_where_nothing_can_be_written_nothing_is_remembered(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "blocks.sqlite").symlink_to(tmp_path / "there/other")
    raw, known = whole(1)
    for file in (
        None,
        str(tmp_path / "no/such/folder"),
        str(tmp_path / "there"),
        str(tmp_path / "blocks.sqlite"),
    ):
        memory = BlockMemory(file)
        memory.remember(raw, known)
        memory.close()
    assert not list((tmp_path / "there").iterdir())
