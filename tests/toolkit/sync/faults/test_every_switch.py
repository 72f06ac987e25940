"""A writer that wants what a collection is about to delete, the two switched at every pair of their operations.

What is stopped where is enumerated, not drawn: writer i, collection j, writer to its end, collection to its end; the
other way round; and a writer that sleeps at each operation while collections come and go for weeks.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.toolkit.sync.faults.stepping import HOUR_MS, Actor, ClockedRemote
from tests.toolkit.sync.trees import task_of
from toolkit.sync.gc import Rules, collect
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.result import SyncResult
from toolkit.sync.retention import Keep
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage
from toolkit.sync.verify import verify_packs

PACKS = Storage(tier="cold", url="memory://test", layout="packs")
NOW = Rules(grace_seconds=0, keep=Keep(last=1), repack_below=0.5)
OLD, NEW, OTHER, HELD, HELD_TOO = (word * 500 for word in (b"old", b"new", b"other", b"held", b"too"))
EVERY = 4
"""`make test` looks at every so many pairs."""


class Case:
    """A store whose garbage is due, and a source that wants it back."""

    def __init__(self, root, wanted: dict[str, bytes]) -> None:
        self.root = root
        self.task = task_of(root, PACKS)
        self.store = ClockedRemote()
        other = task_of(root, PACKS, route="other", path="other")
        (root / "edge/other").mkdir()
        (root / "edge/other/one").write_bytes(HELD)
        (root / "edge/other/two").write_bytes(HELD_TOO)
        assert run_task(other, remotes=lambda _: self.store).exit_code == 0
        for state in ({"1": OLD, "2": OTHER}, {"1": HELD}, {"1": NEW}):
            self._fill(state)
            assert run_task(self.task, remotes=lambda _: self.store).exit_code == 0
        assert collect(PackStore(self.store), NOW, ticks=self._ticks).waiting > 0
        self.store.now_ms += HOUR_MS
        self._fill(wanted)
        self.wanted = wanted
        self._start = dict(self.store.objects), dict(self.store.modified), self.store.now_ms

    def again(self) -> None:
        """Go back to the beginning."""
        objects, modified, self.store.now_ms = self._start
        self.store.objects, self.store.modified = dict(objects), dict(modified)

    def writer(self) -> Actor:
        return Actor("writer", self.store, lambda remote: run_task(self.task, remotes=lambda _: remote))

    def collection(self) -> Actor:
        return Actor(
            "collection", self.store, lambda remote: collect(PackStore(remote), NOW, ticks=self._ticks)
        )

    def check(self, writer: Actor, *collections: Actor) -> str:
        """See that nothing was lost, and that the writer got there or gets there the next time."""
        for each in collections:
            if each.error is not None:
                raise each.error
        if writer.error is not None:
            raise writer.error
        assert isinstance(writer.result, SyncResult)
        assert verify_packs(PackStore(self.store)) == []
        error = writer.result.targets[0].error
        if error:
            assert "garbage was collected" in error
            assert "run it again" in writer.result.targets[0].hint
            assert run_task(self.task, remotes=lambda _: self.store).exit_code == 0
        store = PackStore(self.store)
        index = store.get_index(store.read_ref("routes/frames/head").digest)
        held = {
            entry.path.decode(): b"".join(store.read_chunk(ref.digest) for ref in entry.refs())
            for entry in index.entries
        }
        assert held == self.wanted
        assert verify_packs(store) == []
        return error

    def _fill(self, state: dict[str, bytes]) -> None:
        folder = self.root / "edge/frames"
        for path in folder.iterdir():
            path.unlink()
        for name, content in state.items():
            (folder / name).write_bytes(content)
            os.utime(folder / name, ns=(0, len(name + content.decode())))  # equal states give equal indexes
        os.utime(folder, ns=(0, 0))

    def _ticks(self) -> float:
        return self.store.now_ms / 1000


WANTED = {
    "the same index": {"1": OLD, "2": OTHER},
    "the same pack in another index": {"3": OLD, "4": OTHER},
    "a part of a pack": {"1": NEW, "2": OTHER},
    "an index whose chunks stay": {"1": HELD},
}


@pytest.fixture(params=WANTED)
def case(tmp_path, request):
    return Case(tmp_path, WANTED[request.param])


def places(make: Callable[[], Actor]) -> list[int]:
    """Where an actor may be stopped: before each operation that changes or lists something, and at the end."""
    actor, count, found = make(), 0, []
    while not actor.done:
        if not actor.at.startswith("read "):
            found.append(count)
        actor.step()
        count += 1
    return [*found, count]


def switched(case: Case, first: str, every: int, begin: int) -> list[str]:
    makers = {"writer": case.writer, "collection": case.collection}
    second = next(name for name in makers if name != first)
    stops = {}
    for name, make in makers.items():
        case.again()
        stops[name] = places(make)
    errors = []
    pairs = [(i, j) for i in stops[first] for j in stops[second]]
    for i, j in pairs[begin::every]:
        case.again()
        actors = {first: makers[first]()}
        for _ in range(i):
            actors[first].step()
        actors[second] = makers[second]()
        for _ in range(j):
            actors[second].step()
        actors[first].finish()
        actors[second].finish()
        errors.append(case.check(actors["writer"], actors["collection"]))
    return errors


@pytest.mark.parametrize("first", ["writer", "collection"])
def test_one_switch_each(case, first):
    switched(case, first, every=EVERY, begin=0)


@pytest.mark.faults
@pytest.mark.parametrize("begin", range(1, EVERY))
@pytest.mark.parametrize("first", ["writer", "collection"])
def test_one_switch_each_at_all_pairs(case, first, begin):
    switched(case, first, every=EVERY, begin=begin)


def test_a_writer_that_sleeps_for_weeks_at_any_operation(case):
    case.again()
    errors = []
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
        errors.append(case.check(writer, *others))
    assert not all(errors)  # those that were not too late got there
