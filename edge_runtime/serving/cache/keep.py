"""What is kept of one model's answers, whichever version gave them: memory over disk, and the flights between.

`answers` asks it with a key; `caches` makes it and passes on what shall be forgotten. All on the event loop. Three
rules keep an old answer from being given:

- the key names the bytes of the model, so another version never finds it (`key`);
- its time begins when the model is asked, not when it has answered (`lifetime`);
- forgetting takes effect at once: entries go, a flight that is under way is good only for those that follow it already
  and is not kept, and what is just being read from the disk is not put into memory.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from edge_runtime.engine.base import Tensors
from edge_runtime.serving.ask import Priority
from edge_runtime.serving.cache.disk import Disk
from edge_runtime.serving.cache.entry import Kept, keepable, own
from edge_runtime.serving.cache.flight import Flight, Result
from edge_runtime.serving.cache.foresee import Foresight, Wanted
from edge_runtime.serving.cache.key import Key, Source
from edge_runtime.serving.cache.lifetime import Lifetime
from edge_runtime.serving.cache.memory import Held, Memory
from edge_runtime.serving.refusals import BadRequestError
from toolkit.errors import EngineError, TiersError
from toolkit.wire.forget import Forget

NEGATIVE_SECONDS: Final = 10.0
"""How long it is believed that the model fails for a question: long enough against a storm of it, and no more."""
_NEGATIVE_BYTES: Final = 512
HOT_KEYS: Final = 1024
_HOT_EVERY: Final = 500
"""Answers between two times that the hottest keys are written down."""
_HOT_BYTES: Final = 512 * 1024
_HOT: Final = "hot"
_STANDING: Final = 2
"""Versions that may serve at the same time."""
_GUESSES: Final = 8
"""Answers that are fetched at the same time before they are asked for."""
_hot_decoder: Final = msgspec.msgpack.Decoder(list[tuple[bytes, str]])


@dataclass(frozen=True)
class Clocks:
    """What time it is."""

    steady: Callable[[], float] = time.perf_counter
    """Never set; deadlines of questions are on it."""
    wall: Callable[[], float] = time.time
    """Seconds since 1970, for what outlives the process."""


@dataclass(slots=True)
class CacheFigures:
    """Counts since the start."""

    hits: int = 0
    """Answers out of memory."""
    disk_hits: int = 0
    misses: int = 0
    """Questions that the model was asked."""
    shared: int = 0
    """Questions that took the answer of another that was in flight."""
    refused: int = 0
    """Questions that were refused without the model, because it failed for the same a moment ago."""
    forgotten: int = 0
    """Messages to forget that were obeyed."""
    foreseen: int = 0
    """Answers that were brought into memory before they were asked for."""


@dataclass(frozen=True)
class Parts:
    """What a keep is made of."""

    memory: Memory
    lifetime: Lifetime
    disk: Disk | None = None
    foresight: Foresight | None = None
    clocks: Clocks = Clocks()


@dataclass(frozen=True, slots=True)
class Question:
    """What `answers` knows of a question."""

    source: Source
    key: Key
    label: str
    priority: Priority = Priority.NORMAL
    deadline: float = math.inf
    client: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """An answer, and whether the model was asked for just this question."""

    kept: Kept
    computed: bool


class Keep:
    """Answers of one model."""

    def __init__(self, model: str, parts: Parts) -> None:
        """Begin with what the disk has, once a version is activated."""
        self.model = model
        self.figures = CacheFigures()
        self.memory = parts.memory
        self.disk = parts.disk
        self._lifetime = parts.lifetime
        self._foresight = parts.foresight
        self._clocks = parts.clocks
        self._flights: dict[Key, Flight] = {}
        """Those that a question may follow."""
        self._under_way: set[Flight] = set()
        """All of them, also those that an urgent question has overtaken."""
        self._forgets = 0
        """How often something was forgotten; who began to read before it must not keep what was read."""
        self.paused = False
        """Whether nothing is given and nothing kept."""
        self._standing: tuple[str, ...] = ()
        """Artifacts whose answers are worth their room, the latest first."""
        self._until_hot = _HOT_EVERY
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------ questions
    async def find(self, question: Question, compute: Callable[[], Awaitable[Tensors]]) -> Found:
        """Give the answer that is kept, or that another waits for, or have one computed.

        Raises:
            RequestError: this question gets no answer.
            EngineError: the model failed, now or a moment ago for the same question.
        """
        if self.paused:
            return Found(Kept(await compute(), 0.0, 0.0), computed=True)
        if self._foresight is not None:
            self._foresee(self._foresight, question)
        while True:
            now = self._clocks.steady()
            held = self.memory.get(question.key, now)
            if held is not None:
                if isinstance(held.value, Kept):
                    self.figures.hits += 1
                else:
                    self.figures.refused += 1
                return Found(_or_raise(held.value), computed=False)
            flight = self._flights.get(question.key)
            holds = self._lifetime.seconds(question.label, now)
            if flight is None or not flight.may_carry(question.priority, now, holds):
                return await self._lead(question, compute)
            result = await flight.follow(question.deadline, now)
            if result is not None:
                self.figures.shared += 1
                return Found(_or_raise(result), computed=False)

    async def _lead(self, question: Question, compute: Callable[[], Awaitable[Tensors]]) -> Found:
        flight = Flight(question.label, question.priority, self._clocks.steady())
        self._flights[question.key] = flight
        self._under_way.add(flight)
        former = self.memory.pop(question.key)
        result: Result = None
        try:
            kept = result = await self._from_disk(question, flight)
            if kept is not None:
                return Found(kept, computed=False)
            self.figures.misses += 1
            try:
                kept = result = await self._compute(question, flight, compute)
            except (BadRequestError, EngineError) as error:
                result = error
                left = NEGATIVE_SECONDS - (self._clocks.steady() - flight.began)
                self._hold(question, flight, error, _NEGATIVE_BYTES, left)
                raise
            if former is not None and isinstance(former.value, Kept) and not _same(former.value, kept):
                self._lifetime.changed(question.label, self._clocks.steady())
            return Found(kept, computed=True)
        finally:
            self._under_way.discard(flight)
            if self._flights.get(question.key) is flight:
                del self._flights[question.key]
            flight.land(result)

    async def _from_disk(self, question: Question, flight: Flight) -> Kept | None:
        if self.disk is None or not self.disk.may_have(question.key):
            return None
        kept = await self.disk.get(question.source, question.key, question.label)
        seconds = self._left(kept)
        if kept is None or seconds <= 0:
            return None
        self.figures.disk_hits += 1
        self._hold(question, flight, kept, kept.size, seconds)
        return kept

    async def _compute(
        self, question: Question, flight: Flight, compute: Callable[[], Awaitable[Tensors]]
    ) -> Kept:
        # The answer is as old as the question: what the model knew when it began may have changed since.
        began, made = self._clocks.steady(), self._clocks.wall()
        outputs = await compute()
        seconds = self._lifetime.seconds(question.label, began)
        kept = Kept(own(outputs), made, made + seconds, question.label)
        if flight.valid and keepable(outputs):
            left = seconds - (self._clocks.steady() - began)
            self._hold(question, flight, kept, kept.size, left)
            if self.disk is not None:
                self.disk.put(question.source, question.key, kept)
                self._until_hot -= 1
                if not self._until_hot:
                    self._start(self.note_hot())
        return kept

    def _hold(
        self, question: Question, flight: Flight, value: Kept | TiersError, size: int, seconds: float
    ) -> None:
        if flight.valid and seconds > 0:
            until = self._clocks.steady() + seconds
            self.memory.put(question.key, Held(value, until, question.source.artifact, question.label, size))

    def _left(self, kept: Kept | None) -> float:
        """Give the seconds that an answer from the disk still holds: none where by the clock it is not made yet."""
        now = self._clocks.wall()
        if kept is None or now < kept.made:
            return 0.0
        longest = self._lifetime.seconds(kept.label, self._clocks.steady())
        return min(kept.expires, kept.made + longest) - now

    # ------------------------------------------------------------ before it is asked for
    def activated(self, source: Source) -> None:
        """Hear that this version answers from now on: what was hot of it comes, what older ones gave goes.

        The one before it may serve on beside it, while this one is on trial, or come back; the key keeps them apart.
        """
        others = [artifact for artifact in self._standing if artifact != source.artifact]
        self._standing = (source.artifact, *others[: _STANDING - 1])
        self.memory.drop(lambda held: held.artifact not in self._standing)
        if self.disk is not None:
            self.disk.open(self._standing)
            self._start(self._warm(self.disk, source))

    async def _warm(self, disk: Disk, source: Source) -> None:
        try:
            hot = _hot_decoder.decode(await disk.noted(_HOT, _HOT_BYTES) or b"\x90")
        except msgspec.DecodeError:
            return
        for key, label in hot[:HOT_KEYS]:
            await self._fetch(disk, source, (key, label))

    def _foresee(self, foresight: Foresight, question: Question) -> None:
        wanted = foresight.asked(question.client, (question.key, question.label))
        disk = self.disk
        if wanted is None or disk is None or wanted[0] in self.memory or not disk.may_have(wanted[0]):
            return
        if len(self._tasks) < _GUESSES:
            self._start(self._fetch(disk, question.source, wanted))

    async def _fetch(self, disk: Disk, source: Source, wanted: Wanted) -> None:
        """Bring an answer from the disk into memory, unless something was forgotten meanwhile."""
        key, label = wanted
        forgets = self._forgets
        kept = await disk.get(source, key, label)
        seconds = self._left(kept)
        if kept is None or seconds <= 0 or forgets != self._forgets or key in self.memory:
            return
        self.figures.foreseen += 1
        until = self._clocks.steady() + seconds
        self.memory.put(key, Held(kept, until, source.artifact, label, kept.size))

    # ------------------------------------------------------------ forgetting
    async def forget(self, what: Forget) -> None:
        """Forget: from this call on nobody gets what was meant; when it returns, the disk has none of it either.

        Raises:
            OSError: the disk does not let go of it.
        """
        self.figures.forgotten += 1
        self._forget_memory(what.means)
        now = self._clocks.steady()
        for label in what.labels or ("",):
            self._lifetime.changed(label, now)
        if self.disk is None:
            return
        if what.everything:
            await self.disk.clear()
        else:
            await self.disk.forget(what.means, None if what.pattern else frozenset(what.labels))

    def pause(self) -> None:
        """Give and keep nothing until `resume`, and forget what is in memory."""
        self.paused = True
        self._forget_memory(lambda _: True)

    def resume(self) -> None:
        """Go on. What the disk has must have been forgotten before."""
        self.paused = False

    def _forget_memory(self, means: Callable[[str], bool]) -> None:
        self._forgets += 1
        self.memory.drop(lambda held: means(held.label))
        for flight in self._under_way:
            flight.valid = flight.valid and not means(flight.label)
        self._flights = {key: flight for key, flight in self._flights.items() if flight.valid}

    # ------------------------------------------------------------ the end
    async def close(self) -> None:
        """Write down what was asked for most, and wait until the disk has all of it."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self.disk is not None:
            await self.note_hot()
            await self.disk.settle()

    async def note_hot(self) -> None:
        """Write down what was asked for most, for the next start."""
        self._until_hot = _HOT_EVERY
        if self.disk is not None:
            await self.disk.note(_HOT, msgspec.msgpack.encode(self.memory.hottest(HOT_KEYS)))

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task)  # noqa: S101 -- of a coroutine
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _or_raise(value: Kept | TiersError) -> Kept:
    """Give an answer; what the model raised is raised as new, since each raising adds to an error's traceback."""
    if isinstance(value, TiersError):
        raise type(value)(value.message, hint=value.hint)
    return value


def _same(one: Kept, other: Kept) -> bool:
    return one.outputs.keys() == other.outputs.keys() and all(
        np.array_equal(array, other.outputs[name]) for name, array in one.outputs.items()
    )
