"""Which version of which model is served. The daemon declares and swaps; `routes` looks up and infers.

A swap is one assignment on the event loop: requests that were submitted before it finish on the old engine, those after
it go to the new one, and the old engine is closed when its last request is done. No request fails because of a swap.
Use it only on the loop's thread (from elsewhere: `asyncio.run_coroutine_threadsafe`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edge_runtime.engine.base import Array, Engine, Tensors, TensorSpec, find_mismatch
from edge_runtime.serving.admission import Admission
from edge_runtime.serving.batcher import Batcher, Ticket
from edge_runtime.serving.refusals import (
    BadRequestError,
    DeadlineError,
    NotReadyError,
    UnknownModelError,
)
from edge_runtime.serving.stats import ModelStats
from toolkit.errors import UsageError
from toolkit.wire.device_config import ModelConfig
from toolkit.wire.report import Served

UNRANKED = 1 << 32
"""Rank of a request without a priority: after all that have one, since 1 is the most urgent."""
KEPT_STATS = 4
"""Versions of one model whose counts are still shown; a scrape in the middle of a swap sees both."""


class ServedModel:
    """One version of one model with its engine, queue and counts."""

    def __init__(self, config: ModelConfig, version: str, engine: Engine) -> None:
        """Take the engine over."""
        self.name = config.name
        self.version = version
        self.inputs: tuple[TensorSpec, ...] = engine.inputs
        self.outputs: tuple[TensorSpec, ...] = engine.outputs
        self.output_names = tuple(spec.name for spec in engine.outputs)
        self.stats = ModelStats(config.name, version)
        self.admission = Admission(config.queue)
        self.batcher = Batcher(engine, self.admission, self.stats, max_batch=config.max_batch)
        self._max_rows = config.max_batch
        self._batched = all(spec.shape and spec.shape[0] is None for spec in engine.inputs)

    async def infer(
        self, inputs: Mapping[str, Array], *, priority: int = 0, timeout_seconds: float = 0.0
    ) -> Tensors:
        """Run the model on these inputs; priority 1 is the most urgent, 0 is none; a time-out of 0 is none.

        Raises:
            BadRequestError: the inputs are not what the model takes.
            OverloadedError: too many requests wait.
            DeadlineError: the time-out came first.
            EngineError: the model failed.
        """
        self._check(inputs)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Tensors] = loop.create_future()
        self.admission.enter()
        rows = next(iter(inputs.values())).shape[0] if self._batched and inputs else 1
        self.batcher.submit(Ticket(inputs, rows, priority or UNRANKED, future))
        if not timeout_seconds:
            return await future
        timer = loop.call_later(timeout_seconds, _expire, future, timeout_seconds)
        try:
            return await future
        finally:
            timer.cancel()

    def _check(self, inputs: Mapping[str, Array]) -> None:
        if mismatch := find_mismatch(self.inputs, inputs):
            raise BadRequestError(f"model {self.name}: {mismatch}")
        if not self._batched:
            return
        lengths = {array.shape[0] for array in inputs.values()}
        if len(lengths) > 1:
            raise BadRequestError(f"model {self.name}: its inputs must have the same number of rows (axis 0)")
        if self._max_rows and max(lengths, default=0) > self._max_rows:
            raise BadRequestError(
                f"model {self.name}: {max(lengths)} rows in one request; at most {self._max_rows} are taken"
            )


def _expire(future: asyncio.Future[Tensors], seconds: float) -> None:
    if not future.done():
        future.set_exception(DeadlineError(f"no result within the request's time-out of {seconds} s"))


@dataclass
class _Slot:
    """A model that this device is to serve, with or without a version."""

    config: ModelConfig
    served: ServedModel | None = None
    stats: list[ModelStats] = field(default_factory=list)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class ModelTable:
    """Name -> the version that is served now."""

    def __init__(self, models: Iterable[ModelConfig] = ()) -> None:
        """Declare the models of the configuration; each is not ready until its first `swap`."""
        self._slots = {model.name: _Slot(model) for model in models}
        self._retiring: set[asyncio.Task[None]] = set()
        self.started = time.time()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all declared models."""
        return tuple(self._slots)

    @property
    def ready(self) -> bool:
        """Whether every declared model has a version."""
        return all(slot.served is not None for slot in self._slots.values())

    def version(self, name: str) -> str:
        """Give the version of a model that is served now, "" when none is."""
        slot = self._slots.get(name)
        return slot.served.version if slot is not None and slot.served is not None else ""

    def served(self, name: str, version: str) -> Served:
        """Say how this version has done since it serves; nothing yet where it is not the one that serves now."""
        slot = self._slots.get(name)
        serving = slot.served if slot is not None else None
        return serving.stats.served if serving is not None and serving.version == version else Served()

    def stats(self) -> Sequence[ModelStats]:
        """Give the counts of the versions that are served now and of the last ones before them."""
        for slot in self._slots.values():
            if slot.served is not None:
                slot.served.stats.waiting = slot.served.admission.waiting
        return [stats for slot in self._slots.values() for stats in slot.stats]

    def find(self, name: str, version: str = "") -> ServedModel:
        """Look up the model that answers a request; an empty version means the one that is served.

        Raises:
            UnknownModelError: no such model is declared, or another version of it is served.
            NotReadyError: no version of it is loaded.
        """
        slot = self._slots.get(name)
        if slot is None:
            raise UnknownModelError(
                f"no model is named {name[:80]!r}; here are: {', '.join(self._slots) or 'none'}"
            )
        if slot.served is None:
            raise NotReadyError(
                f"model {name} has no version loaded yet", hint="wait for its rollout to arrive"
            )
        if version and version != slot.served.version:
            raise UnknownModelError(
                f"model {name} is served as {slot.served.version}, not as {version[:80]!r}"
            )
        return slot.served

    async def swap(self, name: str, version: str, engine: Engine) -> None:
        """Warm this engine up and serve it from then on. The table owns the engine now and closes it.

        Raises:
            UsageError: no such model is declared.
            EngineError: the engine does not run; it is closed, and what was served before still is.
        """
        slot = self._slots.get(name)
        if slot is None:
            engine.close()
            raise UsageError(
                f"model {name!r} is not one of this device's", hint="add it to the configuration"
            )
        async with slot.turn:
            fresh = ServedModel(slot.config, version, engine)
            try:
                await fresh.batcher.start()
            except asyncio.CancelledError:
                self._retire(fresh)
                raise
            former, slot.served = slot.served, fresh
            slot.stats = [*slot.stats[-KEPT_STATS + 1 :], fresh.stats]
        if former is not None:
            self._retire(former)

    async def withdraw(self, name: str) -> None:
        """Serve this model no longer; it stays declared and is not ready. Repeating it is harmless."""
        slot = self._slots.get(name)
        if slot is None:
            return
        async with slot.turn:
            former, slot.served = slot.served, None
        if former is not None:
            self._retire(former)

    async def close(self) -> None:
        """Withdraw every model and wait until each engine has done its last request and is closed."""
        for name in self._slots:
            await self.withdraw(name)
        while self._retiring:
            await asyncio.wait(self._retiring)

    def _retire(self, model: ServedModel) -> None:
        """Let the old version finish in the background, so that a slow request does not hold up the swap."""
        task = asyncio.get_running_loop().create_task(model.batcher.stop())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
