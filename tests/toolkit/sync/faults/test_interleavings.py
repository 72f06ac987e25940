"""Writers and collections at once, advanced operation by operation in an order that hypothesis draws.

No Ref ever points to a chunk that is gone, what was pushed can be restored, and in the end no garbage is left.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.toolkit.sync.faults.stepping import HOUR_MS, Actor, ClockedRemote
from tests.toolkit.sync.trees import storage
from toolkit.sync.collecting import PENDING
from toolkit.sync.gc import Rules, collect
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.result import SyncResult
from toolkit.sync.retention import Keep
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask
from toolkit.sync.verify import verify_packs

PACKS = Storage(tier="cold", url="memory://test", layout="packs")
ROUTES = ("a", "b", "a")
"""The route of each writer; the first and the third one run the same."""
FILES, BLOBS = 1, 2
"""So few that a route soon wants back what has just become garbage."""
BLOB_BYTES = 600
writers = st.integers(0, len(ROUTES) - 1)
collections = st.sampled_from(["g0", "g1"])
STOPS = {
    "w": ("list packs/", "write_new pending/", "write_new refs/"),
    "g": ("write_new gc/sweeps/", "list indexes/", "delete packs/"),
}
"""Where it matters who comes first."""


def content(writer: int, which: int) -> bytes:
    return (ROUTES[writer] + str(which)).encode() * BLOB_BYTES


class Interleaved(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="interleaved-"))
        self.store = ClockedRemote()
        self.running: dict[str, Actor] = {}
        self.tasks = [self._task(number) for number in range(len(ROUTES))]
        for blob in (0, 1):  # each route has left something behind
            for writer in (0, 1):
                self.edit(writer, 0, blob)
                run_task(self.tasks[writer], remotes=lambda _: self.store)
        self.mark(Keep(last=1))

    def _task(self, number: int) -> SyncTask:
        home = self.root / f"w{number}"
        (home / "data").mkdir(parents=True)
        return SyncTask(route=ROUTES[number], source=storage(home), targets=(PACKS,), path="data")

    # ------------------------------------------------------------ what people do
    @rule(writer=writers, file=st.integers(0, FILES - 1), blob=st.integers(0, BLOBS - 1))
    def edit(self, writer: int, file: int, blob: int) -> None:
        path = self.root / f"w{writer}/data/{file}"
        if f"w{writer}" in self.running:
            return  # torn files are the subject of others
        path.write_bytes(content(writer, blob))
        os.utime(path, ns=(blob, blob))  # equal states give equal indexes
        os.utime(path.parent, ns=(0, 0))

    @rule(writer=writers, blob=st.integers(0, BLOBS - 1))
    def push(self, writer: int, blob: int) -> None:
        name = f"w{writer}"
        self.edit(writer, 0, blob)
        if name not in self.running:
            self._start(name, lambda remote: run_task(self.tasks[writer], remotes=lambda _: remote))

    @rule(
        which=collections,
        keep=st.sampled_from([Keep(last=1), Keep(last=1), None]),
        grace=st.sampled_from([0.0, 0.0, 0.0, 86400.0]),
        repack=st.sampled_from([0.0, 0.5, 1.0]),
    )
    def collect(self, which: str, keep: Keep | None, grace: float, repack: float) -> None:
        if which not in self.running:
            rules = Rules(grace_seconds=grace, keep=keep, repack_below=repack)
            self._start(which, lambda remote: collect(PackStore(remote), rules, ticks=self._ticks))

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 4), steps=st.sampled_from([1, 1, 2, 3, 5, 8, 20, 60]))
    def go_on(self, which: int, steps: int) -> None:
        actor = sorted(self.running.items())[which % len(self.running)][1]
        for _ in range(steps):
            actor.step()
        self._take_stock()

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 4), stop=st.integers(0, 2))
    def go_on_until(self, which: int, stop: int) -> None:
        name, actor = sorted(self.running.items())[which % len(self.running)]
        actor.step()
        while not actor.done and not actor.at.startswith(STOPS[name[0]][stop]):
            actor.step()
        self._take_stock()

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 4))
    def finish(self, which: int) -> None:
        sorted(self.running.items())[which % len(self.running)][1].finish()
        self._take_stock()

    @rule(
        writer=writers, blob=st.integers(0, BLOBS - 1), stops=st.tuples(st.integers(0, 2), st.integers(0, 3)),
        writer_first=st.booleans(),
    )  # fmt: skip
    def race(self, writer: int, blob: int, stops: tuple[int, int], writer_first: bool) -> None:
        """A collection and a push that want the same, each stopped where it matters; who was first goes on last."""
        if self.running:
            return

        def begin_collection() -> None:
            self.collect("g0", Keep(last=1), 0.0, 0.0)
            self._until("g0", stops[0])

        def begin_push() -> None:
            self.push(writer, blob)
            self._until(f"w{writer}", stops[1])

        begin = [begin_push, begin_collection] if writer_first else [begin_collection, begin_push]
        names = [f"w{writer}", "g0"] if writer_first else ["g0", f"w{writer}"]
        for each in begin:
            each()
        for name in reversed(names):
            if name in self.running:
                self.running[name].finish()
                self._take_stock()

    def _until(self, name: str, stop: int) -> None:
        actor, wanted = self.running.get(name), STOPS[name[0]]
        while actor and not actor.done and not (stop < len(wanted) and actor.at.startswith(wanted[stop])):
            actor.step()
        self._take_stock()

    @rule(keep=st.sampled_from([Keep(last=1), None]))
    def mark(self, keep: Keep | None) -> None:
        """A whole collection that deletes nothing yet: so that the next one finds something that is due."""
        collect(PackStore(self.store), Rules(grace_seconds=1e9, keep=keep), ticks=self._ticks)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 4))
    def kill(self, which: int) -> None:
        actor = sorted(self.running.items())[which % len(self.running)][1]
        actor.kill()
        self._take_stock()

    @rule(hours=st.sampled_from([1, 2, 25, 24 * 8]))
    def wait(self, hours: int) -> None:
        for name, actor in self.running.items():
            # The one thing that must not be stopped for an hour: a deletion that has looked at its clock already.
            if name.startswith("g") and actor.at.startswith("delete"):
                actor.step()
        self.store.now_ms += hours * HOUR_MS
        self._take_stock()

    # ------------------------------------------------------------ what must hold
    @invariant()
    def every_ref_is_whole(self) -> None:
        if not hasattr(self, "store"):
            return
        raw = PackStore(self.store)
        # A writer that was stopped for so long that its promise was forgotten takes its Ref back before it goes on.
        promised = any(key.startswith(PENDING) for key in self.store.objects)
        late = set() if promised else {ROUTES[int(name[1:])] for name in self.running if name[0] == "w"}
        damage = [each for each in verify_packs(raw) if not any(f"/{route}/" in each.what for route in late)]
        assert damage == [], damage

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        try:
            for actor in list(self.running.values()):
                actor.finish()
            self._take_stock()
            self.every_ref_is_whole()
            self._everybody_gets_there()
            self._nothing_is_left()
        finally:
            for actor in self.running.values():
                actor.kill()
            shutil.rmtree(self.root)

    def _everybody_gets_there(self) -> None:
        self.store.now_ms += 2 * HOUR_MS
        collect(PackStore(self.store), ticks=self._ticks)  # closes the list of a collection that was killed
        for number, task in enumerate(self.tasks):
            result = run_task(task, remotes=lambda _: self.store)
            assert result.exit_code == 0, result.targets
            source = {path.name: path.read_bytes() for path in (self.root / f"w{number}/data").iterdir()}
            assert self._held(task.route) == source

    def _held(self, route: str) -> dict[str, bytes]:
        """What somebody who restores the route gets, each chunk proven."""
        store = PackStore(self.store)
        index = store.get_index(store.read_ref(f"routes/{route}/head").digest)
        return {
            entry.path.decode(): b"".join(store.read_chunk(ref.digest) for ref in entry.refs())
            for entry in index.entries
        }

    def _nothing_is_left(self) -> None:
        for _ in range(4):
            self.store.now_ms += 8 * 24 * HOUR_MS
            done = collect(PackStore(self.store), Rules(keep=Keep(last=1)), ticks=self._ticks)
            assert done.problems == ()
        assert done.waiting == 0
        assert done.deleted == ()
        assert done.promises == 0

    # ------------------------------------------------------------ the machinery
    def _ticks(self) -> float:
        return self.store.now_ms / 1000

    def _start(self, name: str, work: object) -> None:
        self.running[name] = Actor(name, self.store, work)
        self._take_stock()

    def _take_stock(self) -> None:
        for name, actor in list(self.running.items()):
            if actor.done:
                del self.running[name]
                if actor.error is not None:
                    raise AssertionError(f"{name} failed") from actor.error
                if isinstance(actor.result, SyncResult):
                    assert actor.result.exit_code in {0, 1}, actor.result


def check(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Interleaved,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_writers_and_collections_at_once():
    check(examples=12, steps=30)


@pytest.mark.faults
def test_writers_and_collections_at_once_for_longer():
    check(examples=60, steps=50)
