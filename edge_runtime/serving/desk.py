"""Where every question arrives: it may answer with another model, on another machine, or not at all.

The doors call `answer` here and not the table's. While nothing presses, that is one look-up more. A `Ladder` for each
model says how far its service is cut back (see there); the desk measures what it goes by, some times a second:

    fill        the waiting rooms of the model and of its fallback
    misses      requests of the last two seconds whose deadline came first
    heat        the hottest zone of the machine, and whether it is throttled

Also when nothing presses, the fallback answers for a model that cannot be loaded or refuses for want of places, and the
other machine for one that cannot be loaded. What a question may ask for in its parameters: `tiers_exact`, which lets no
other model stand in (nor does one that names a version), and `tiers_local`, which keeps it on this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from edge_runtime.engine.base import find_mismatch
from edge_runtime.serving.ask import Answer, Answerer, Ask, Priority
from edge_runtime.serving.ladder import Ladder, Limits, Pressure, Rung, Step
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.refusals import NotReadyError, OffloadError, OverloadedError
from edge_runtime.serving.served import ServedModel
from edge_runtime.serving.stats import ModelStats
from toolkit.wire.device_config import ModelConfig

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.25
_LOOKS: Final = 8
"""Looks whose misses count together."""
_LARGER_SECONDS: Final = 0.02
"""On LARGER and above: how long an engine that stands still waits for company."""
NO_HEAT: Final = (None, None)


@dataclass
class _Post:
    """What the desk knows of one model."""

    config: ModelConfig
    ladder: Ladder
    elsewhere: Answerer | None
    counted: ModelStats | None = None
    before: tuple[list[int], list[int]] = ([], [])
    """Turns and misses of `counted` at the last look."""
    looks: deque[tuple[list[int], list[int]]] = field(default_factory=lambda: deque(maxlen=_LOOKS))


class Desk:
    """Passes questions on."""

    def __init__(
        self,
        models: Iterable[ModelConfig],
        table: ModelTable,
        *,
        elsewhere: Mapping[str, Answerer] | None = None,
        heat: Callable[[], tuple[float | None, bool | None]] = lambda: NO_HEAT,
        limits: Limits | None = None,
    ) -> None:
        """Stand before this table.

        Args:
            models: of the configuration.
            table: answers here.
            elsewhere: who answers on another machine, for models that have that.
            heat: gives the machine's hottest zone in °C and whether it is throttled; None for what it does not tell.
            limits: what counts as pressure.
        """
        self._table = table
        self._heat = heat
        others = elsewhere or {}
        self._posts = {
            config.name: _Post(
                config,
                Ladder(_rungs(config, elsewhere=config.name in others), limits),
                others.get(config.name),
            )
            for config in models
        }
        self.steps: Counter[tuple[str, str, str]] = Counter()
        """Steps of the ladders: model, rung that was reached in lower case, reason."""
        self.offloaded: Counter[tuple[str, str]] = Counter()
        """Questions that went to another machine: model, and ok or failed."""
        self._looking: asyncio.Task[None] | None = None

    @property
    def rungs(self) -> dict[str, Rung]:
        """Where each model stands."""
        return {name: post.ladder.rung for name, post in self._posts.items()}

    def start(self) -> None:
        """Look at the pressure from now on."""
        self._looking = asyncio.get_running_loop().create_task(self._keep_looking())

    async def stop(self) -> None:
        """Look no more. Repeating it is harmless."""
        if self._looking is not None:
            self._looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._looking

    # ------------------------------------------------------------ questions
    async def reach(
        self, name: str, version: str = "", until: Callable[[], float] = lambda: math.inf
    ) -> ServedModel | None:
        """Look up the model that a question is for, as the table does, or the one that stands in for it.

        None when only another machine can answer.

        Raises:
            RequestError: as the table's `reach`.
        """
        try:
            return await self._table.reach(name, version, until)
        except NotReadyError:
            post = self._posts.get(name)
            if post is None:
                raise
            if not version and (stand_in := self._fallback(post)) is not None:
                return stand_in
            if post.elsewhere is None:
                raise
            return None

    async def answer(self, ask: Ask) -> Answer:
        """Answer, or pass the question on.

        Raises:
            RequestError: this question gets no answer.
            EngineError: the model failed.
        """
        post = self._posts.get(ask.model)
        if post is None:
            return await self._table.answer(ask)
        rung = post.ladder.rung
        if rung is not Rung.FULL and ask.priority != Priority.EMERGENCY:
            self._refuse(post, rung, ask)
            if rung >= Rung.OFFLOAD and (answer := await self._offload(post, ask)) is not None:
                return answer
            if rung >= Rung.FALLBACK and (answer := await self._stand_in(post, ask)) is not None:
                return answer
        try:
            return await self._table.answer(ask)
        except (NotReadyError, OverloadedError) as exc:
            if (answer := await self._stand_in(post, ask)) is not None:
                return answer
            if isinstance(exc, NotReadyError) and (answer := await self._offload(post, ask)) is not None:
                return answer
            raise

    def _refuse(self, post: _Post, rung: Rung, ask: Ask) -> None:
        if rung < Rung.SHED_BATCH or (rung is Rung.SHED_BATCH and ask.priority < Priority.BATCH):
            return
        served = self._served(post.config.name)
        if served is not None:
            served.stats.shed["ladder", ask.priority.name] += 1
        raise OverloadedError(
            f"model {ask.model} takes no {ask.priority.name.lower()} requests while its machine is under pressure",
            hint="ask again later, or elsewhere",
            retry_seconds=math.ceil(post.ladder.limits.down_seconds),
        )

    async def _stand_in(self, post: _Post, ask: Ask) -> Answer | None:
        """Let the fallback answer, if there is one that can answer this question."""
        stand_in = self._fallback(post)
        if stand_in is None or ask.version or ask.parameters.get("tiers_exact") is True:
            return None
        wanted = ask.wanted or self._outputs(post) or stand_in.output_names
        if find_mismatch(stand_in.inputs, ask.inputs) or not {*wanted} <= {*stand_in.output_names}:
            return None
        answer = await self._table.answer(replace(ask, model=stand_in.name))
        outputs = {name: answer.outputs[name] for name in wanted}
        return replace(answer, outputs=outputs, served_by="fallback")

    async def _offload(self, post: _Post, ask: Ask) -> Answer | None:
        """Let another machine answer, if it may and can."""
        if post.elsewhere is None or ask.forwarded or ask.parameters.get("tiers_local") is True:
            return None
        try:
            answer = await post.elsewhere.answer(ask)
        except OffloadError as exc:
            self.offloaded[ask.model, "failed"] += 1
            log.debug("%s is not answered elsewhere: %s", ask.model, exc.message)
            return None
        self.offloaded[ask.model, "ok"] += 1
        return replace(answer, served_by="offload")

    def _fallback(self, post: _Post) -> ServedModel | None:
        return self._served(post.config.fallback) if post.config.fallback else None

    def _served(self, name: str) -> ServedModel | None:
        return self._table.find(name) if self._table.loaded(name) else None

    def _outputs(self, post: _Post) -> tuple[str, ...]:
        served = self._served(post.config.name)
        return served.output_names if served is not None else ()

    # ------------------------------------------------------------ pressure
    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        """Measure the pressure on each model at this moment (seconds, any steady clock), and step where it is time."""
        celsius, throttled = self._heat()
        for name, post in self._posts.items():
            pressure = replace(self._pressure(post), celsius=celsius, throttled=throttled)
            if step := post.ladder.step(pressure, now):
                self._note(name, step, pressure)
            if (served := self._served(name)) is not None:
                served.batcher.gather(_LARGER_SECONDS if post.ladder.rung >= Rung.LARGER else 0.0)

    def _pressure(self, post: _Post) -> Pressure:
        served, fallback = self._served(post.config.name), self._fallback(post)
        fills = [each.admission.fill for each in (served, fallback) if each is not None]
        if served is not None:
            self._count(post, served.stats)
        misses = tuple(_share(post.looks, up_to) for up_to in Priority)
        return Pressure(
            fill=tuple(map(max, *fills)) if len(fills) > 1 else fills[0] if fills else (0.0, 0.0, 0.0),
            misses=(misses[0], misses[1], misses[2]),
        )

    def _count(self, post: _Post, stats: ModelStats) -> None:
        now = (list(stats.turns), list(stats.missed))
        if post.counted is stats:
            turns, missed = (
                [count - before for count, before in zip(new, old, strict=True)]
                for new, old in zip(now, post.before, strict=True)
            )
            post.looks.append((turns, missed))
        post.counted, post.before = stats, now

    def _note(self, name: str, step: Step, pressure: Pressure) -> None:
        rung = step.after.name.lower()
        self.steps[name, rung, step.reason] += 1
        level = logging.WARNING if step.after > step.before else logging.INFO
        log.log(
            level,
            "%s goes from %s to %s: %s (%s)",
            name,
            step.before.name.lower(),
            rung,
            step.reason,
            pressure,
        )


def _share(looks: Iterable[tuple[list[int], list[int]]], up_to: Priority) -> float:
    """Give the share of the requests of this class and more urgent ones whose deadline came first."""
    turns = missed = 0
    for turned, missing in looks:
        turns += sum(turned[: up_to + 1])
        missed += sum(missing[: up_to + 1])
    return missed / (turns + missed) if missed else 0.0


def _rungs(config: ModelConfig, *, elsewhere: bool) -> list[Rung]:
    """Give the rungs that there are means for; shedding needs none."""
    means = {
        Rung.FALLBACK: bool(config.fallback),
        Rung.LARGER: config.max_batch > 1,
        Rung.OFFLOAD: elsewhere,
        Rung.SHED_BATCH: True,
        Rung.SHED_NORMAL: True,
    }
    return [rung for rung, there in means.items() if there]
