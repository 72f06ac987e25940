"""Under any order of what happens, no answer of another version and no old one: a machine that tries, and fails where
it must.

The world changes (each label has an epoch), versions are activated, questions come together, engines fail, clients go,
time passes and the daemon is killed. Each answer carries the version, the epoch and the moment that it was computed
with, so that whoever asked can tell. The order of everything that is ready to run is drawn from a seed.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from edge_runtime.serving.ask import Answer, Ask, Priority
from edge_runtime.serving.cache.answers import KeptAnswers
from edge_runtime.serving.cache.disk import Disk
from edge_runtime.serving.cache.keep import NEGATIVE_SECONDS, Clocks, Keep, Parts
from edge_runtime.serving.cache.key import Key, KeyOf, Source, question_key
from edge_runtime.serving.cache.lifetime import Lifetime
from edge_runtime.serving.cache.memory import Memory
from edge_runtime.serving.refusals import DeadlineError, OverloadedError
from tests.contracts.seeded_loop import SeededLoop
from toolkit.errors import EngineError
from toolkit.wire.forget import Forget

TTL = 30.0
LABELS = ("", "p", "q")
FEW = st.sampled_from([0, 0, 0, 1])
MARK = "0" * 16


class AnotherVersionError(AssertionError):
    """An answer came from a version that was not asked."""


class OldAnswerError(AssertionError):
    """An answer was older than what its question could know to be wrong."""


@dataclass(frozen=True)
class System:
    """What is under test."""

    key_of: KeyOf = question_key
    obeys: bool = True
    """Whether it is told what to forget."""
    ttl: float = TTL
    disk: bool = True


def key_without_version(source: Source, ask: Ask) -> Key:
    return question_key(Source("", source.stages), ask)


@dataclass(eq=False)
class Asked:
    """A question, and what it may expect."""

    version: int
    x: int
    label: str
    deadline: float
    task: asyncio.Task[Answer] = field(init=False)
    began: float = math.nan
    epoch: int = 0


@dataclass(frozen=True)
class Version:
    """What answers carry the name of."""

    version: str
    artifact: str
    name: str = "m"


@dataclass(frozen=True)
class Inner:
    """What the cache stands before."""

    machine: Machine
    version: int

    async def answer(self, ask: Ask) -> Answer:
        return await self.machine.compute(self.version, ask)


class Machine(RuleBasedStateMachine):
    """The world."""

    def __init__(self, system: System) -> None:
        super().__init__()
        self.system = system
        self.folder = Path(tempfile.mkdtemp())

    @initialize(seed=st.integers(0, 2**32))
    def start(self, seed: int) -> None:
        self.loop = SeededLoop(seed)
        self.jobs: list[tuple[Callable[[], object], asyncio.Future[object]]] = []
        self.epochs = dict.fromkeys(LABELS, 0)
        self.version = 0
        self.asked: list[Asked] = []
        self.computing: list[tuple[asyncio.Future[str], tuple[int, int, int, float]]] = []
        self.unfinished: list[tuple[asyncio.Task[None], Forget]] = []
        self.overloads = 0
        self.turn_on()

    def teardown(self) -> None:
        try:
            if hasattr(self, "loop"):
                self.all_come_to_an_end()
        finally:
            shutil.rmtree(self.folder)

    # ------------------------------------------------------------ the parts
    def turn_on(self) -> None:
        clocks = Clocks(self.loop.time, self.loop.time)
        lifetime = Lifetime(self.system.ttl, follow=False, now=self.loop.time())
        disk = Disk(self.folder, 1 << 20, self.run_on_disk) if self.system.disk else None
        self.keep = Keep("m", Parts(Memory(4096), lifetime, disk, clocks=clocks))
        self.activate()

    def run_on_disk(self, job: Callable[[], object], /) -> asyncio.Future[object]:
        future = self.loop.create_future()
        self.jobs.append((job, future))
        self.loop.call_soon(self.do_job, self.jobs)
        return future

    @staticmethod
    def do_job(jobs: list[tuple[Callable[[], object], asyncio.Future[object]]]) -> None:
        """Do the first job; a kill has emptied the list."""
        if jobs:
            job, future = jobs.pop(0)
            result = job()
            if not future.done():
                future.set_result(result)

    def activate(self) -> None:
        version = self.version
        named = Source(f"artifact{version}")
        self.loop.call_now(partial(self.keep.activated, named))

        self.front = KeptAnswers(
            Version(version=str(version), artifact=named.artifact),
            Inner(self, version),
            self.keep,
            key_of=self.system.key_of,
        )

    async def compute(self, version: int, ask: Ask) -> Answer:
        """Look at the world now, answer later: what a model does in the worst case."""
        label = str(ask.parameters.get("cache_id", ""))
        seen = (version, int(ask.inputs["x"][0]), self.epochs[label], self.loop.time())
        verdict: asyncio.Future[str] = self.loop.create_future()
        self.computing.append((verdict, seen))
        said = await verdict
        if said == "fails":
            raise EngineError(" ".join(map(str, (*seen[:-1], self.loop.time()))))
        if said == "is full":
            raise OverloadedError("no room")
        return Answer("m", str(version), {"y": np.array(seen)})

    # ------------------------------------------------------------ what happens
    @rule(
        x=FEW,
        label=st.sampled_from(LABELS),
        priority=st.sampled_from(Priority),
        patience=st.sampled_from([math.inf, math.inf, 5.0]),
        begin=st.booleans(),
    )
    def somebody_asks(
        self, x: int, label: str, priority: Priority, patience: float = math.inf, *, begin: bool = True
    ) -> None:
        deadline = self.loop.time() + patience
        parameters = {"cache_id": label} if label else {}
        ask = Ask("m", {"x": np.array([x])}, priority=priority, deadline=deadline, parameters=parameters)
        asked = Asked(self.version, x, label, deadline)
        asked.task = (self.loop.begin_now if begin else self.loop.create_task)(self.ask(asked, ask))
        self.asked.append(asked)

    @rule(x=FEW, label=st.sampled_from(LABELS))
    def somebody_asks_and_is_answered(self, x: int, label: str) -> None:
        self.somebody_asks(x, label, Priority.NORMAL)
        self.loop.settle()
        while self.computing:
            self.the_engine(0, "is done")
            self.loop.settle()
        self.look()

    async def ask(self, asked: Asked, ask: Ask) -> Answer:
        # What it may expect is what holds at the moment at which it meets the version.
        asked.version, asked.began, asked.epoch = self.version, self.loop.time(), self.epochs[asked.label]
        return await self.front.answer(ask)

    @precondition(lambda self: self.computing)
    @rule(
        which=st.integers(0), verdict=st.sampled_from(["is done", "is done", "is done", "fails", "is full"])
    )
    def the_engine(self, which: int, verdict: str) -> None:
        future, _ = self.computing.pop(which % len(self.computing))
        if not future.done():
            self.overloads += verdict == "is full"
            future.set_result(verdict)

    @rule(steps=st.integers(1, 30))
    def things_go_on(self, steps: int) -> None:
        for _ in range(steps):
            self.loop.step()
        self.look()

    @rule()
    def it_becomes_quiet(self) -> None:
        self.loop.settle()
        self.look()

    @rule(seconds=st.sampled_from([1.0, NEGATIVE_SECONDS, TTL - 1, TTL]))
    def time_passes(self, seconds: float) -> None:
        self.loop.advance(seconds)

    @rule()
    def another_version_is_activated(self) -> None:
        self.version = 1 - self.version
        self.activate()

    @rule(x=FEW, label=st.sampled_from(LABELS))
    def an_urgent_one_overtakes(self, x: int, label: str) -> None:
        self.somebody_asks(x, label, Priority.BATCH)
        self.somebody_asks(x, label, Priority.EMERGENCY)

    @rule(x=FEW, label=st.sampled_from(LABELS))
    def it_is_activated_while_somebody_waits(self, x: int, label: str) -> None:
        self.somebody_asks(x, label, Priority.NORMAL)
        self.another_version_is_activated()
        self.somebody_asks(x, label, Priority.NORMAL)

    @rule(label=st.sampled_from(LABELS[1:]), by_pattern=st.booleans())
    def facts_of_one_label_change(self, label: str, by_pattern: bool) -> None:
        self.epochs[label] += 1
        self.forget(
            Forget(mark=MARK, pattern=f"*{label}*") if by_pattern else Forget(mark=MARK, labels=(label,))
        )

    @rule()
    def everything_changes(self) -> None:
        for label in LABELS:
            self.epochs[label] += 1
        self.forget(Forget(mark=MARK))

    def forget(self, what: Forget) -> None:
        if self.system.obeys:
            # From the call on, not from its end, so its first part is done here.
            task = self.loop.begin_now(self.keep.forget(what))
            self.unfinished.append((task, what))

    @precondition(lambda self: self.asked)
    @rule(which=st.integers(0))
    def a_client_goes(self, which: int) -> None:
        self.asked[which % len(self.asked)].task.cancel()

    @precondition(lambda self: self.system.disk)
    @rule()
    def it_notes_what_is_hot(self) -> None:
        self.loop.begin_now(self.keep.note_hot())

    @rule()
    def it_is_activated_again(self) -> None:
        self.activate()

    @precondition(lambda self: self.system.disk)
    @rule(jobs=st.integers(0, 4), really=st.sampled_from([True, False, False, False]))
    def it_is_killed(self, jobs: int, really: bool) -> None:
        """End everything at once; of what waits for the disk only the first few are done."""
        if not really:
            return
        for _ in range(jobs):
            self.do_job(self.jobs)
        lost, self.jobs = [future for _, future in self.jobs], []
        for future in lost:
            future.cancel()
        again = [what for task, what in self.unfinished if not task.done()]
        for asked in self.asked:
            asked.task.cancel()
        for task, _ in self.unfinished:
            task.cancel()
        self.loop.settle()
        self.look()
        self.asked, self.computing, self.unfinished = [], [], []
        self.turn_on()
        for what in again:  # the broker has kept it
            self.forget(what)

    # ------------------------------------------------------------ what must hold
    def look(self) -> None:
        """Look at what was answered since the last time."""
        for asked in [each for each in self.asked if each.task.done()]:
            self.asked.remove(asked)
            if not asked.task.cancelled():
                self.judge(asked)
        self.unfinished = [each for each in self.unfinished if not each[0].done()]
        assert not self.loop.errors, self.loop.errors

    def judge(self, asked: Asked) -> None:
        error = asked.task.exception()
        if isinstance(error, DeadlineError):
            assert self.loop.time() >= asked.deadline
            return
        if isinstance(error, OverloadedError):
            self.overloads -= 1
            assert self.overloads >= 0, "somebody was refused for what happened to another"
            return
        longest = TTL
        if error is None:
            answer = asked.task.result()
            seen = answer.outputs["y"].tolist()
            assert answer.version == str(asked.version)
        elif isinstance(error, EngineError):
            seen, longest = [float(word) for word in error.message.split()], NEGATIVE_SECONDS
        else:
            raise error
        version, x, epoch, moment = seen
        assert x == asked.x
        if version != asked.version:
            raise AnotherVersionError(f"{asked} was answered with {seen}")
        if epoch < asked.epoch or asked.began - moment >= longest:
            raise OldAnswerError(f"{asked} was answered with {seen}")

    def all_come_to_an_end(self) -> None:
        """Let every engine finish: nobody waits for ever."""
        self.loop.settle()
        for _ in range(1000):
            if not self.computing:
                break
            future, _ = self.computing.pop()
            if not future.done():
                future.set_result("is done")
            self.loop.settle()
        self.loop.advance(1000)
        self.loop.settle()
        self.look()
        assert not self.asked, "somebody was never answered"


SETTINGS = settings(
    max_examples=60,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
FINDING = settings(SETTINGS, max_examples=5000, phases=[Phase.generate], report_multiple_bugs=False)


@pytest.mark.parametrize("disk", [True, False], ids=["disk", "memory"])
def test_no_answer_is_of_another_version_or_old(disk):
    run_state_machine_as_test(lambda: Machine(System(disk=disk)), settings=SETTINGS)


@pytest.mark.faults
def test_nor_in_many_more_worlds():
    run_state_machine_as_test(lambda: Machine(System()), settings=settings(SETTINGS, max_examples=200))


@pytest.mark.parametrize("disk", [True, False], ids=["disk", "memory"])
@pytest.mark.parametrize(
    ("system", "error"),
    [
        (System(key_of=key_without_version), AnotherVersionError),
        (System(obeys=False), OldAnswerError),
        (System(ttl=10 * TTL), OldAnswerError),
    ],
    ids=["key without the version", "nothing is forgotten", "kept for too long"],
)
def test_the_same_suite_notices(system, error, disk):
    with pytest.raises(error):
        run_state_machine_as_test(
            lambda: Machine(System(system.key_of, system.obeys, system.ttl, disk)), settings=FINDING
        )


def test_the_order_is_the_seeds():
    def order(seed: int) -> list[int]:
        loop, seen = SeededLoop(seed), []
        for number in range(20):
            loop.call_soon(seen.append, number)
        loop.settle()
        return seen

    assert order(1) == order(1) != order(2)
    assert sorted(order(3)) == list(range(20))
    assert Random(1).random() == Random(1).random()


def test_what_is_on_its_way_from_the_disk_is_not_kept_after_it_was_forgotten():
    """Forget at each moment of a warm start: one of them lies between a file's being read and its being put away."""
    warm = 0
    for seed, steps in itertools.product(range(3), range(24)):
        machine = Machine(System())
        machine.start(seed=seed)
        machine.somebody_asks_and_is_answered(x=0, label="p")
        machine.it_notes_what_is_hot()
        machine.it_becomes_quiet()
        machine.it_is_killed(jobs=0, really=True)
        for _ in range(steps):
            machine.loop.step()
        warm += machine.keep.figures.foreseen
        machine.facts_of_one_label_change(label="p", by_pattern=False)
        machine.it_becomes_quiet()
        machine.somebody_asks_and_is_answered(x=0, label="p")
        machine.teardown()
    assert warm, "it never was warm before it forgot"


@pytest.mark.parametrize("disk", [True, False], ids=["disk", "memory"])
def test_one_that_was_overtaken_keeps_nothing_that_was_forgotten(disk):
    machine = Machine(System(disk=disk))
    machine.start(seed=1)
    machine.it_becomes_quiet()
    machine.an_urgent_one_overtakes(x=0, label="p")
    machine.facts_of_one_label_change(label="p", by_pattern=False)
    while machine.computing:
        machine.the_engine(which=0, verdict="is done")
        machine.it_becomes_quiet()
    machine.somebody_asks_and_is_answered(x=0, label="p")
    machine.teardown()
