"""One thread per model version that owns its engine and works off what `models` submits.

Batching adapts by itself: an idle engine takes a request at once; while it works, requests gather, and those that fit
together along axis 0 go to the engine in one call. There is no delay to tune: waiting for company only adds latency
when there is little to do, and when there is much to do the company comes by itself.

A call that fails with several requests in it is repeated one by one, so that nobody fails for what another one sent.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_runtime.engine.base import Array, Engine, Tensors
from edge_runtime.serving.admission import Admission
from edge_runtime.serving.stats import ModelStats
from toolkit.errors import EngineError, TiersError

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Ticket:
    """One request on its way through the engine."""

    inputs: Mapping[str, Array]
    rows: int
    """Length of axis 0."""
    rank: int
    """Lower goes first; equal ranks keep their order."""
    future: asyncio.Future[Tensors]
    arrived: float = field(default_factory=time.perf_counter)

    @property
    def mould(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """What must be equal for two requests to share a call: names and all axes but the first."""
        return tuple(sorted((name, array.shape[1:]) for name, array in self.inputs.items()))


@dataclass(slots=True)
class Call:
    """What one call of the engine gave, for the event loop."""

    tickets: Sequence[Ticket]
    results: Sequence[Tensors | TiersError]
    began: float
    seconds: float
    rows: int


def take_batch(waiting: list[Ticket], max_rows: int) -> list[Ticket]:
    """Take the first ticket out of `waiting`, and those behind it that fit into one call with it."""
    first = waiting.pop(0)
    batch, rows, mould = [first], first.rows, None
    if first.rows >= max_rows or not waiting:
        return batch
    mould = first.mould
    left: list[Ticket] = []
    for ticket in waiting:
        if rows + ticket.rows <= max_rows and ticket.mould == mould:
            batch.append(ticket)
            rows += ticket.rows
        else:
            left.append(ticket)
    waiting[:] = left
    return batch


class Batcher:
    """The thread that owns one engine."""

    def __init__(self, engine: Engine, admission: Admission, stats: ModelStats, *, max_batch: int) -> None:
        """Take the engine over; `max_batch` is the most rows of one call, 0 or 1 means one request a call."""
        self._engine = engine
        self._admission = admission
        self._stats = stats
        self._max_rows = max_batch if _can_batch(engine) else 0
        self._arrivals: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._waiting: list[Ticket] = []
        self._stopping = False
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        name = f"model {stats.model} {stats.version}"
        # A daemon: an engine that hangs in a driver must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    async def start(self) -> None:
        """Start the thread and wait until it has warmed the engine up.

        Raises:
            EngineError: the engine cannot run; it is closed.
        """
        self._thread.start()
        await asyncio.shield(self._ready)

    def submit(self, ticket: Ticket) -> None:
        """Queue a request that was admitted; its future gets the result, on the event loop."""
        self._arrivals.put(ticket)

    async def stop(self) -> None:
        """Work off what was submitted, close the engine, end the thread. Submit nothing afterwards."""
        self._arrivals.put(None)
        await asyncio.shield(self._gone)

    # ------------------------------------------------------------ on the thread
    def _work(self) -> None:
        try:
            self._engine.warm_up()
        except Exception as exc:  # noqa: BLE001 - an engine's surprise is a failed version, not a dead daemon
            error = exc if isinstance(exc, TiersError) else EngineError(f"the warm-up failed: {exc!r}")
            self._tell(_settle, self._ready, error)
        else:
            self._tell(_settle, self._ready, None)
            while batch := self._next_batch():
                self._serve(batch)
        try:
            self._engine.close()
        except Exception:
            log.exception("closing the engine of %s %s failed", self._stats.model, self._stats.version)
        self._tell(_settle, self._gone, None)

    def _next_batch(self) -> list[Ticket]:
        """Wait for work; an empty list ends the thread."""
        while True:
            if not self._waiting and not self._stopping:
                self._accept(self._arrivals.get())
            while not self._arrivals.empty():  # this thread alone takes, so what is there stays there
                self._accept(self._arrivals.get())
            if not self._waiting:
                if self._stopping:
                    return []
                continue
            batch = take_batch(self._waiting, self._max_rows)
            self._admission.leave(len(batch))
            # A client that left, or whose deadline is over, needs no answer any more.
            if alive := [ticket for ticket in batch if not ticket.future.done()]:
                return alive

    def _accept(self, ticket: Ticket | None) -> None:
        if ticket is None:
            self._stopping = True
        elif not self._waiting or self._waiting[-1].rank <= ticket.rank:
            self._waiting.append(ticket)
        else:
            insort(self._waiting, ticket, key=lambda each: each.rank)

    def _serve(self, batch: Sequence[Ticket]) -> None:
        if len(batch) > 1:
            try:
                call = self._call_together(batch)
            except Exception as exc:  # noqa: BLE001 - whatever it was, each request gets its own chance
                log.info("a batch of %d failed and is repeated one by one: %s", len(batch), exc)
            else:
                self._tell(self._deliver, call)
                return
        for ticket in batch:
            self._tell(self._deliver, self._call_alone(ticket))

    def _call_together(self, batch: Sequence[Ticket]) -> Call:
        began = time.perf_counter()
        rows = sum(ticket.rows for ticket in batch)
        names = batch[0].inputs
        outputs = self._engine.infer(
            {name: np.concatenate([t.inputs[name] for t in batch]) for name in names}
        )
        for name, array in outputs.items():
            if array.ndim == 0 or array.shape[0] != rows:
                self._max_rows = 0
                raise EngineError(
                    f"output {name!r} does not have a row for each row of the input; no more batches"
                )
        results: list[Tensors] = []
        start = 0
        for ticket in batch:
            results.append({name: array[start : start + ticket.rows] for name, array in outputs.items()})
            start += ticket.rows
        return Call(batch, results, began, time.perf_counter() - began, rows)

    def _call_alone(self, ticket: Ticket) -> Call:
        began = time.perf_counter()
        result: Tensors | TiersError
        try:
            result = self._engine.infer(ticket.inputs)
        except TiersError as exc:
            result = exc
        except Exception as exc:
            log.exception("the engine of %s %s failed", self._stats.model, self._stats.version)
            result = EngineError(f"the engine failed: {type(exc).__name__}")
        return Call((ticket,), (result,), began, time.perf_counter() - began, ticket.rows)

    def _tell(self, function: object, *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)  # type: ignore[arg-type]
        except RuntimeError:
            log.debug("the event loop is closed; nobody is left to be told")

    # ------------------------------------------------------------ on the loop
    def _deliver(self, call: Call) -> None:
        stats = self._stats
        stats.batch.observe(call.rows)
        stats.computed.observe(call.seconds)
        for ticket, result in zip(call.tickets, call.results, strict=True):
            stats.queued.observe(call.began - ticket.arrived)
            if ticket.future.done():
                continue
            if isinstance(result, TiersError):
                ticket.future.set_exception(result)
            else:
                ticket.future.set_result(result)


def _settle(future: asyncio.Future[None], error: TiersError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _can_batch(engine: Engine) -> bool:
    """Say whether axis 0 is free in every input and output, which is how a model says that rows are independent."""
    return all(spec.shape and spec.shape[0] is None for spec in (*engine.inputs, *engine.outputs))
