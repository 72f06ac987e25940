"""Which version of which model is served. The daemon declares and swaps; `routes` looks up and infers.

A swap is one assignment on the event loop: requests that were submitted before it finish on the old engine, those after
it go to the new one, and the old engine is closed when its last request is done. No request fails because of a swap.
Where memory does not hold two, the old version is closed first (`pause`) and questions wait at a gate; there they wait
also for a version that is loaded only when somebody asks for it (`sleep`). Use it only on the loop's thread (from
elsewhere: `asyncio.run_coroutine_threadsafe`).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence

from edge_runtime.engine.base import Engine
from edge_runtime.serving.ask import Answer, Answerer, Ask
from edge_runtime.serving.company import Company
from edge_runtime.serving.gate import HOLD_SECONDS, Gate
from edge_runtime.serving.refusals import NotReadyError, UnknownModelError
from edge_runtime.serving.served import ServedModel
from edge_runtime.serving.shadow import Comparison, Shadow
from edge_runtime.serving.slot import Asleep, Slot, Standing
from edge_runtime.serving.stats import ModelStats
from toolkit.errors import UsageError
from toolkit.wire.device_config import ModelConfig, ShadowConfig
from toolkit.wire.report import Served

KEPT_STATS = 4
"""Versions of one model whose counts are still shown; a scrape in the middle of a swap sees both."""


class ModelTable:
    """Name -> the version that is served now."""

    def __init__(
        self,
        models: Iterable[ModelConfig] = (),
        dress: Callable[[ServedModel], Answerer] = lambda model: model,
        *,
        hold_seconds: float = HOLD_SECONDS,
    ) -> None:
        """Declare the models of the configuration; each is not ready until its first `swap`.

        Args:
            models: what this device serves.
            dress: puts around a version what answers with it or instead of it: its cache, its stages.
            hold_seconds: longest time that a question waits for an engine.
        """
        self._dress = dress
        self._hold_seconds = hold_seconds
        self._slots = {model.name: Slot(model) for model in models}
        self._company = Company()
        self._retiring: set[asyncio.Task[None]] = set()
        self.started = time.time()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all declared models."""
        return tuple(self._slots)

    @property
    def ready(self) -> bool:
        """Whether every declared model has a version that is loaded, or will be for whoever asks."""
        return all(map(self.version, self._slots))

    @property
    def engines(self) -> dict[str, str]:
        """Give what runs each model that is loaded now."""
        served = {name: slot.served for name, slot in self._slots.items()}
        return {name: model.engine for name, model in served.items() if model is not None}

    def version(self, name: str) -> str:
        """Give the version of a model that is served now, or is when somebody asks; "" when none is."""
        slot = self._slots.get(name)
        version = None if slot is None else slot.served or slot.asleep
        return "" if version is None else version.version

    def loaded(self, name: str) -> bool:
        """Say whether a version of this model is in memory."""
        slot = self._slots.get(name)
        return slot is not None and slot.served is not None

    def idle_since(self, name: str) -> float | None:
        """Give the moment of perf_counter's clock of its last question; None where it must stay in memory.

        That is while a question is on its way, and for good once an emergency has asked.
        """
        slot = self._slots.get(name)
        served = slot.served if slot is not None else None
        return None if served is None or served.users or served.urgent else served.last_asked

    def served(self, name: str, version: str) -> Served:
        """Say how this version has done since it serves; nothing yet where it is not the one that serves now."""
        slot = self._slots.get(name)
        serving = slot.served if slot is not None else None
        return serving.stats.served if serving is not None and serving.version == version else Served()

    def stats(self) -> Sequence[ModelStats]:
        """Give the counts of the versions that are served now and of the last ones before them."""
        for slot in self._slots.values():
            for served in slot.in_memory:
                served.stats.waiting = served.admission.waiting
        return [stats for slot in self._slots.values() for stats in slot.stats]

    def comparisons(self) -> list[tuple[str, str, Comparison]]:
        """Give model, version and figures of what was in the shadow last."""
        return [(name, *slot.compared) for name, slot in self._slots.items() if slot.compared is not None]

    def answering(self) -> list[ServedModel]:
        """Give the versions that answer clients now."""
        return [served for slot in self._slots.values() for served in slot.answering]

    def find(self, name: str, version: str = "") -> ServedModel:
        """Look up the model that answers a request; an empty version means the one that is served.

        Raises:
            UnknownModelError: no such model is declared, or another version of it is served.
            NotReadyError: no version of it is loaded.
        """
        return self._find(name, version)[0]

    async def reach(
        self, name: str, version: str = "", until: Callable[[], float] = lambda: math.inf
    ) -> ServedModel:
        """Look up as `find` does, after waiting for a version that is on its way into memory.

        Args:
            name: the model.
            version: that must answer; empty takes the one that is served.
            until: gives the deadline of the question, on perf_counter's clock; asked only where there is to wait.

        Raises:
            UnknownModelError: no such model is declared, or another version of it is served.
            NotReadyError: no version of it is loaded, nor was in time.
            OverloadedError: too many wait for it.
            DeadlineError: the deadline came first.
        """
        slot = self._slots.get(name)
        if slot is not None and slot.served is None:
            await self._await_engine(slot, version, until)
        return self.find(name, version)

    async def answer(self, ask: Ask) -> Answer:
        """Let the version that serves answer.

        Raises:
            RequestError: this question gets no answer.
            EngineError: the model failed.
        """
        slot = self._slots.get(ask.model)
        if slot is not None and slot.served is None:
            await self._await_engine(slot, ask.version, lambda: ask.deadline)
        other = slot.choose(ask) if slot is not None and slot.former is not None else None
        served, front = self._find(ask.model, ask.version) if other is None else (other.served, other.front)
        served.enter(ask)
        try:
            answer = await front.answer(ask)
        finally:
            served.leave()
        if served.stats.first_seconds is None:
            served.note_first(ask)
        if slot is not None and slot.shadow is not None and not answer.cached:
            slot.shadow.see(ask, answer)
        return answer

    async def _await_engine(self, slot: Slot, version: str, until: Callable[[], float]) -> None:
        """Wait until something is served, if there is hope; the first one wakes a version that sleeps."""
        asleep = slot.asleep
        if asleep is not None and version and version != asleep.version:
            raise UnknownModelError(_other_version(slot.config.name, asleep.version, version))
        if asleep is None and slot.gate is None:
            return
        deadline = until()
        if slot.gate is None and asleep is not None:
            slot.gate = Gate(slot.config.name, slot.config.queue, "it is being loaded", self._hold_seconds)
            asleep.wake()
        if slot.gate is not None:
            await slot.gate.wait(deadline)

    def _find(self, name: str, version: str) -> tuple[ServedModel, Answerer]:
        slot = self._slots.get(name)
        if slot is None:
            raise UnknownModelError(
                f"no model is named {name[:80]!r}; here are: {', '.join(self._slots) or 'none'}"
            )
        if slot.served is None or slot.front is None:
            raise NotReadyError(
                f"model {name} has no version loaded yet", hint="wait for its rollout to arrive"
            )
        if version and version != slot.served.version:
            raise UnknownModelError(_other_version(name, slot.served.version, version))
        return slot.served, slot.front

    async def swap(
        self, name: str, version: str, engine: Engine, artifact: str = "", share: float | None = None
    ) -> None:
        """Warm this engine up and serve it from then on. The table owns the engine now and closes it.

        Args:
            name: the model.
            version: of it.
            engine: loaded.
            artifact: what it was loaded from.
            share: share of clients that it answers, while the version before it answers the others until `settle`;
                None closes that one.

        Raises:
            UsageError: no such model is declared.
            EngineError: the engine does not run; it is closed, and what was served before still is.
        """
        slot = self._declared(name, engine)
        async with slot.turn:
            fresh = await self._start(slot, version, engine, artifact)
            self._seat(slot, Standing(fresh, self._dress(fresh)), share)

    async def rehearse(
        self, name: str, version: str, engine: Engine, artifact: str, settings: ShadowConfig
    ) -> Comparison:
        """Let this engine answer in the shadow of the version that serves; then `promote` or `dismiss` it.

        Raises:
            UsageError: no such model is declared.
            EngineError: the engine does not run; it is closed.
        """
        slot = self._declared(name, engine)
        async with slot.turn:
            fresh = await self._start(slot, version, engine, artifact)
            candidate = Standing(fresh, self._dress(fresh))
            for each in slot.take_candidate():
                self._retire(each)
            if slot.served is None:
                self._retire(fresh)
                return Comparison()
            slot.candidate = candidate
            slot.stats = [*slot.stats[-KEPT_STATS + 1 :], fresh.stats]
            slot.shadow = shadow = Shadow(candidate.front, slot.served.stats, fresh.stats, settings.requests)
        try:
            found = await shadow.over(settings.seconds)
            slot.compared = version, found
            return found
        finally:
            if slot.shadow is shadow:
                slot.end_shadow()

    async def promote(self, name: str, artifact: str, share: float | None = None) -> bool:
        """Serve the version that was in the shadow, as `swap` would; tell whether it is still there."""
        slot = self._slots[name]
        async with slot.turn:
            candidate = slot.candidate
            if candidate is None or candidate.served.artifact != artifact:
                return False
            slot.end_shadow()
            slot.candidate = None
            self._seat(slot, candidate, share)
        return True

    async def dismiss(self, name: str) -> None:
        """Close the version that was in the shadow, if there is one."""
        slot = self._slots.get(name)
        if slot is not None:
            for each in slot.take_candidate():
                self._retire(each)

    async def accompany(self, name: str, version: str, engine: Engine, artifact: str, share: float) -> None:
        """Let this engine answer the clients outside of `share` until `settle`, beside a version that serves.

        Raises:
            UsageError: no such model is declared.
            EngineError: the engine does not run; it is closed.
        """
        slot = self._declared(name, engine)
        async with slot.turn:
            fresh = await self._start(slot, version, engine, artifact)
            leaving = [fresh] if slot.served is None else slot.take_former()
            if slot.served is not None:
                slot.former, slot.share = Standing(fresh, self._dress(fresh)), share
                fresh.batcher.share_loop(self._company)
                slot.stats = [*slot.stats[-KEPT_STATS + 1 :], fresh.stats]
        for each in leaving:
            self._retire(each)

    async def settle(self, name: str) -> None:
        """Let the version that serves answer all clients, and close the one before it."""
        slot = self._slots.get(name)
        if slot is not None:
            for each in slot.take_former():
                self._retire(each)

    async def revert(self, name: str, artifact: str) -> bool:
        """Let the version before answer all clients again, and close the newer one; tell whether it is still there."""
        slot = self._slots[name]
        async with slot.turn:
            former = slot.former
            if former is None or former.served.artifact != artifact:
                return False
            slot.former = None
            self._seat(slot, former, None)
        return True

    def _declared(self, name: str, engine: Engine) -> Slot:
        slot = self._slots.get(name)
        if slot is None:
            engine.close()
            raise UsageError(
                f"model {name!r} is not one of this device's", hint="add it to the configuration"
            )
        return slot

    async def _start(self, slot: Slot, version: str, engine: Engine, artifact: str) -> ServedModel:
        fresh = ServedModel(slot.config, version, engine, artifact)
        try:
            await fresh.batcher.start()
        except asyncio.CancelledError:
            self._retire(fresh)
            raise
        return fresh

    def _seat(self, slot: Slot, fresh: Standing, share: float | None) -> None:
        """Let a version serve from now on: one assignment."""
        leaving = [*slot.take_former(), *slot.take_candidate()]
        if slot.served is not None and slot.front is not None:
            if share is None:
                leaving.append(slot.served)
            else:
                slot.former = Standing(slot.served, slot.front)
                slot.share = share
        slot.served, slot.front, slot.asleep = fresh.served, fresh.front, None
        fresh.served.batcher.share_loop(self._company)
        slot.open()
        if fresh.served.stats not in slot.stats:
            slot.stats = [*slot.stats[-KEPT_STATS + 1 :], fresh.served.stats]
        for each in leaving:
            self._retire(each)

    async def sleep(self, name: str, version: str, wake: Callable[[], None]) -> None:
        """Keep nothing of this model in memory until somebody asks for it; returns when what was served is closed.

        Args:
            name: the model; one that is not declared is left alone.
            version: that answers once it is loaded.
            wake: called on the event loop for the first question; a `swap` or a `resume` must follow.
        """
        slot = self._slots.get(name)
        if slot is not None:
            for each in await self._clear(slot, Asleep(version, wake)):
                await each.retire()

    async def pause(self, name: str) -> None:
        """Close what is served, so that its memory is free, and let questions wait for the `swap` or `resume` to come.

        Returns when the engine is closed: after the last question that it had taken.
        """
        slot = self._slots.get(name)
        if slot is None:
            return
        async with slot.turn:
            if slot.gate is None:
                slot.gate = Gate(name, slot.config.queue, "a new version takes its place", self._hold_seconds)
            leaving = slot.take_all()
        for each in leaving:
            await each.retire()

    def resume(self, name: str, problem: str = "") -> None:
        """Let wait nobody any longer, though nothing is loaded; `problem` says why."""
        slot = self._slots.get(name)
        if slot is not None:
            slot.open(problem)

    async def withdraw(self, name: str) -> None:
        """Serve this model no longer; it stays declared and is not ready. Repeating it is harmless."""
        slot = self._slots.get(name)
        if slot is not None:
            for each in await self._clear(slot, None):
                self._retire(each)

    async def _clear(self, slot: Slot, asleep: Asleep | None) -> list[ServedModel]:
        """Take everything out of a slot, and give what is to be closed."""
        async with slot.turn:
            leaving, slot.asleep = slot.take_all(), asleep
            slot.open()
        return leaving

    async def close(self) -> None:
        """Withdraw every model and wait until each engine has done its last request and is closed."""
        for name in self._slots:
            await self.withdraw(name)
        while self._retiring:
            await asyncio.wait(self._retiring)

    def _retire(self, model: ServedModel) -> None:
        """Let the old version finish in the background, so that a slow request does not hold up the swap."""
        task = asyncio.get_running_loop().create_task(model.retire())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


def _other_version(name: str, serves: str, wanted: str) -> str:
    return f"model {name} is served as {serves}, not as {wanted[:80]!r}"
