"""A writer that leans on what a collection is about to delete, the two switched at every pair of operations.

The base is garbage, and due. The writer finds it and sends an overlay or a drift, or finds that of one that died
before; whoever comes second sees the first: in the end the chunk can be read, and nothing needed was deleted.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.toolkit.sync.faults.stepping import HOUR_MS, Actor, ClockedRemote
from tests.toolkit.sync.faults.test_every_switch import places
from tests.toolkit.sync.layouts.test_overlays import changed, drifted, noise, whole
from toolkit.errors import SyncError
from toolkit.sync.gc import Rules, collect
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.promise import write_promised
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.verify import verify_packs
from toolkit.wire.digest import to_raw
from toolkit.wire.index import ChunkRef, Index, file_entry

NOW = Rules(grace_seconds=0, repack_below=0)
OLD = noise(1)
MADE = {"overlay": changed(OLD, 5000, 2), "drift": drifted(OLD, 2)}
EVERY = 3
"""`make test` looks at every so many pairs."""


class Case:
    def __init__(self, kind: str, *, is_there: bool) -> None:
        self.data, self.made = MADE[kind]
        self.store = ClockedRemote()
        store = PackStore(self.store)
        store.add([whole(OLD)])
        if is_there:
            store.add([self.made])
        collect(PackStore(self.store), NOW, ticks=self._ticks)
        self.store.now_ms += HOUR_MS
        self._start = dict(self.store.objects), dict(self.store.modified), self.store.now_ms

    def again(self) -> None:
        objects, modified, self.store.now_ms = self._start
        self.store.objects, self.store.modified = dict(objects), dict(modified)

    def writer(self) -> Actor:
        return Actor("writer", self.store, self.send)

    def collection(self) -> Actor:
        return Actor(
            "collection", self.store, lambda remote: collect(PackStore(remote), NOW, ticks=self._ticks)
        )

    def check(self, writer: Actor, *collections: Actor) -> bool:
        """See that nothing was lost; say whether the writer got there at once."""
        for each in (writer, *collections):
            if each.error is not None and not (each is writer and isinstance(each.error, SyncError)):
                raise each.error
        assert verify_packs(PackStore(self.store)) == []
        if writer.error is not None:
            assert "garbage was collected" in str(writer.error)
            self.send(self.store)
        store = PackStore(self.store)
        assert store.read_chunk(self.made.digest) == self.data
        assert store.has(self.made.digest)
        assert verify_packs(store) == []
        return writer.error is None

    def send(self, remote: Remote) -> None:
        """Do what a run does with a chunk that differs a little from one that the store may have."""
        store, made = PackStore(remote), self.made
        if store.missing([made.digest]):
            store.add([made if store.keeps_whole(to_raw(made.bases[0])) else whole(self.data)])
        entries = (file_entry(b"file", [ChunkRef(made.digest, made.size)]),)
        write_promised(store, "a/new", Ref(kind="index", digest=store.put_index(Index(entries=entries))))

    def _ticks(self) -> float:
        return self.store.now_ms / 1000


@pytest.fixture(params=["base", "overlay too"])
def case(request):
    return Case("overlay", is_there=request.param != "base")


@pytest.fixture(params=["base", "drift too"])
def case_of_drifts(request):
    return Case("drift", is_there=request.param != "base")


def switched(case: Case, first: str, every: int, begin: int) -> list[bool]:
    makers: dict[str, Callable[[], Actor]] = {"writer": case.writer, "collection": case.collection}
    second = next(name for name in makers if name != first)
    stops = {}
    for name, make in makers.items():
        case.again()
        stops[name] = places(make)
    at_once = []
    for i, j in [(i, j) for i in stops[first] for j in stops[second]][begin::every]:
        case.again()
        actors = {first: makers[first]()}
        for _ in range(i):
            actors[first].step()
        actors[second] = makers[second]()
        for _ in range(j):
            actors[second].step()
        actors[first].finish()
        actors[second].finish()
        at_once.append(case.check(actors["writer"], actors["collection"]))
    return at_once


@pytest.mark.parametrize("first", ["writer", "collection"])
def test_one_switch_each(case, first):
    at_once = switched(case, first, every=EVERY, begin=0)
    assert any(at_once)
    assert not all(at_once)


@pytest.mark.faults
@pytest.mark.parametrize("begin", range(1, EVERY))
@pytest.mark.parametrize("first", ["writer", "collection"])
def test_one_switch_each_at_all_pairs(case, first, begin):
    switched(case, first, every=EVERY, begin=begin)


@pytest.mark.faults
@pytest.mark.parametrize("first", ["writer", "collection"])
def test_one_switch_each_with_a_drift(case_of_drifts, first):
    at_once = switched(case_of_drifts, first, every=EVERY, begin=0)
    assert any(at_once)
    assert not all(at_once)


def test_a_writer_that_sleeps_for_weeks_at_any_operation(case):
    _asleep(case)


def test_a_writer_of_a_drift_that_sleeps_for_weeks(case_of_drifts):
    _asleep(case_of_drifts)


def _asleep(case: Case) -> None:
    case.again()
    at_once = []
    for i in places(case.writer):
        case.again()
        writer = case.writer()
        for _ in range(i):
            writer.step()
        others = []
        for _ in range(4):
            others.append(case.collection())
            others[-1].finish()
            case.store.now_ms += 8 * 24 * HOUR_MS
        writer.finish()
        at_once.append(case.check(writer, *others))
    assert any(at_once)
