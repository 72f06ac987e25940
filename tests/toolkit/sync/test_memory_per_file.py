"""What a run and a recall hold in memory for each of very many files.

A million files may take 600 MiB in all, and objects of Python take a kilobyte each. Entries are cut into short parts,
so that what does not grow with their number (the parts read last, one pack, one window) is soon reached.
"""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from functools import partial

import pytest

from tests.contracts.remote import MemoryRemote
from toolkit.sync.layouts.pack import StoredChunk
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.push import PackTarget
from toolkit.sync.ref import Ref
from toolkit.sync.selection import EVERYTHING
from toolkit.sync.source import StoreTree
from toolkit.sync.target import Wish
from toolkit.sync.task import Storage, SyncTask
from toolkit.sync.tree_change import Changes, changed
from toolkit.wire.digest import from_raw
from toolkit.wire.entry import PACKED
from toolkit.wire.index import Entry
from toolkit.wire.tree import Tree, ends_part, tree_of

FEW, MANY = 24_000, 48_000
MOST_BYTES = 9_500_000
"""Of a run with few: some 6 MB are the parts that were read last. Objects for each file made it 16 and more."""
MOST_FOR_ONE = 140
"""Bytes for each file more; an entry as it is written has some 90."""
TASK = SyncTask(
    route="bench",
    source=Storage(tier="warm", url="file:///nowhere", layout="packs"),
    targets=(Storage(tier="cold", url="file:///nowhere-else", layout="packs"),),
    path="data",
)


def entries(files: int, seed: int = 1) -> list[Entry]:
    """Make entries of one chunk each, in order of path, that are cut into short parts."""
    draw = random.Random(seed)
    found: list[Entry] = []
    for number in range(files):
        path = b"%04d/%07d" % (number // 100, number)
        while number % 260 == 259 and not ends_part(path):
            path = b"%04d/%07d-%d" % (number // 100, number, draw.randrange(10**6))
        chunks = PACKED.pack(draw.randbytes(32), 1000)
        found.append(Entry(path, "file", 1000, 0o644, 1_700_000_000_000_000_000 + number, chunks))
    return found


def stored(tree: Tree, *, with_chunks: bool) -> MemoryRemote:
    """Put an index and its chunks into a store; nobody opens the chunks, so any bytes will do."""
    remote = MemoryRemote()
    store = PackStore(remote)
    if with_chunks:
        store.add(
            StoredChunk(from_raw(entry.chunks[:32]), 1000, b"\0" + bytes(1000)) for entry in tree.entries
        )
    digest = store.put_index(tree)
    if with_chunks:
        store.write_ref("routes/bench/head", Ref(kind="index", digest=digest, path="data", sequence=1))
    return remote


def first_sync(remote: MemoryRemote, tree: Tree) -> None:
    target = PackTarget(remote, TASK)
    plan = target.plan(Wish(tree))
    assert plan.chunks == plan.files == tree.files


def nothing_to_do(remote: MemoryRemote, tree: Tree) -> None:
    target = PackTarget(remote, TASK)
    plan = target.plan(Wish(tree))
    assert (plan.chunks, plan.files, plan.deletions) == (0, 0, 0)
    assert not target.commit(()).changed


def recall(remote: MemoryRemote, tree: Tree) -> None:
    found = StoreTree(PackStore(remote), TASK, EVERYTHING).look()
    assert found.files == tree.files
    assert found.index == tree


def peak_of(work: Callable[[], None]) -> int:
    tree_of(entries(FEW, seed=2))  # the parts that were read last are not those of the tree that is looked at
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def peak_in_a_store(work: Callable[[MemoryRemote, Tree], None], files: int) -> int:
    tree = tree_of(entries(files))
    remote = stored(tree, with_chunks=work is not first_sync)
    tree = PackStore(remote).get_tree(tree.digest)
    return peak_of(lambda: work(remote, tree))


@pytest.mark.slow
@pytest.mark.parametrize("work", [first_sync, nothing_to_do, recall])
def test_a_run_holds_no_objects_for_each_file(work):
    assert peak_in_a_store(work, FEW) < MOST_BYTES


@pytest.mark.slow
def test_an_index_takes_the_place_of_what_was_scanned():
    """What was found is let go of folder by folder, as the index grows."""

    def index(found: list[Entry]) -> None:
        changes, files = Changes(), len(found)
        while found:
            changes.put(found.pop())
        tree, _ = changed(tree_of(()), changes.in_order())
        assert tree.files == files

    few, many = (peak_of(partial(index, entries(files))) for files in (FEW, MANY))
    assert (many - few) / (MANY - FEW) < MOST_FOR_ONE
