"""One thread per model version that owns its engine and works off what `models` submits, where the loop does not.

An engine that any thread may call runs on the event loop's own thread while its calls are short (`company`) and all
that waits goes with one: handing a question to a thread and its answer back costs two wake-ups, which is more than a
small model takes. It runs at the end of the loop's turn, so what came in together goes together; what came in alone,
as the door knows, runs at once. Longer calls and longer queues are the thread's, and so is an engine that asks for it.
`_hands` is held by who calls the engine.

Batching adapts by itself: an idle engine takes a request at once; while it works, requests gather, and those that fit
together along axis 0 go to the engine in one call. Waiting for company (`delay_seconds`) only pays where calls are so
dear that a half-empty one is a waste, so it is off unless a configuration asks for it. Who goes first is `admission`'s.

A call that fails with several requests in it is repeated one by one, so that nobody fails for what another one sent.

Why each batch left, as `edge_inference_batches_total` counts it:
    idle         the engine stood still
    gathered     all that had come while the engine worked
    loop         all that had come by the end of the loop's turn, and the loop ran it
    full         no row more, or nobody else who fits
    urgent       an emergency, which takes nobody along
    other_shape  those that stayed are of another shape
    delay        nobody else came in the time that the first may wait
    deadline     waiting longer would have cost the nearest deadline
    stop         the version is on its way out
    repeated     one of a call that failed, alone
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from edge_runtime.engine.base import Engine
from edge_runtime.serving.admission import Admission, Batch
from edge_runtime.serving.call import Call, UnevenError, call_alone, call_together
from edge_runtime.serving.company import Company
from edge_runtime.serving.pace import Pace
from edge_runtime.serving.refusals import DeadlineError, OverloadedError
from edge_runtime.serving.stats import ModelStats
from edge_runtime.serving.ticket import Ticket
from toolkit.errors import EngineError, TiersError

log = logging.getLogger(__name__)

_LONGEST_SLEEP: Final = 60.0
"""Seconds; a wait that is longer goes on after it."""
_SOON: Final = 0.001
"""Seconds; deadlines are looked at this often at most, and one that is nearer waits for the next look."""


class Batcher:
    """The thread that owns one engine."""

    def __init__(
        self,
        engine: Engine,
        admission: Admission,
        stats: ModelStats,
        *,
        max_batch: int,
        delay_seconds: float = 0.0,
    ) -> None:
        """Take the engine over.

        Args:
            engine: what runs; nobody else may touch it from now on.
            admission: where requests wait.
            stats: where calls are counted.
            max_batch: most rows of one call; 0 or 1 means one request a call.
            delay_seconds: how long a request may wait for others while the engine has nothing to do.
        """
        self._engine = engine
        self._admission = admission
        self._stats = stats
        self._max_rows = max_batch if _can_batch(engine) else 0
        self._usual_delay = delay_seconds if self._max_rows > 1 else 0.0
        self._delay = self._usual_delay
        self._pace = Pace(self._max_rows)
        self._company: Company | None = None
        self._hands = threading.Lock()
        self._turn_comes = False
        """Whether the loop is to look for work soon."""
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._asleep = False
        """Whether the thread listens for the bell; set by it before its last look, cleared by who rings."""
        self._stopping = False
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._look: asyncio.TimerHandle | None = None
        self._look_at = math.inf
        """When the timer goes off, on `perf_counter`'s clock."""
        self._name = f"{stats.model} {stats.version}"
        # A daemon: an engine that hangs in a driver must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name=f"model {self._name}", daemon=True)

    async def start(self) -> None:
        """Start the thread and wait until it has warmed the engine up.

        Raises:
            EngineError: the engine cannot run; it is closed.
        """
        self._thread.start()
        await asyncio.shield(self._ready)

    def submit(self, ticket: Ticket, *, alone: bool = False) -> None:
        """Let a request wait for the engine; its future gets the result, on the event loop.

        Where nobody comes with it (`alone`) the future may have its result when this returns.

        Raises:
            OverloadedError: there is no place for it.
        """
        try:
            shed = self._admission.enter(ticket)
        except OverloadedError:
            self._stats.shed["full", ticket.priority.name] += 1
            raise
        if shed is not None:
            self._stats.shed["displaced", shed.priority.name] += 1
            _fail(shed, self._admission.refusal())
        if ticket.deadline < self._look_at:
            self._look_again(ticket.deadline)
        if not self._asleep:
            return
        if not self._is_quick(ticket.arrived):
            self._ring()
        elif self._turn_comes:
            return
        elif alone:
            self._serve_here(ticket.arrived, self._deliver_at_once)
        else:
            self._turn_comes = True
            self._loop.call_soon(self._take_turn)

    def share_loop(self, company: Company) -> None:
        """Run here, on the event loop, what is short; `company` says what that is, and hears of every question.

        Until then everything is the thread's: a version in the shadow makes nobody wait.
        """
        if self._engine.any_thread:
            self._company = company

    def withdraw(self, ticket: Ticket) -> None:
        """Compute this request no more; nobody waits for it."""
        self._admission.forget(ticket)

    @property
    def batches(self) -> bool:
        """Whether several requests can share a call."""
        return self._max_rows > 1

    def gather(self, seconds: float) -> None:
        """Let an engine that stands still wait at least so long for company, until told otherwise; 0 is as usual."""
        self._delay = max(self._usual_delay, seconds) if self._max_rows > 1 else 0.0

    async def stop(self) -> None:
        """Work off what was submitted, close the engine, end the thread. Submit nothing afterwards."""
        self._stopping = True
        self._ring()
        await asyncio.shield(self._gone)
        if self._look is not None:
            self._look.cancel()

    def _ring(self) -> None:
        self._asleep = False
        self._bell.put(None)

    def _most(self) -> int:
        """Most rows of the next call: all that may be where somebody asked for waiting, else what is worth it."""
        return self._max_rows if self._delay or self._max_rows <= 1 else self._pace.rows()

    # ------------------------------------------------------------ on the thread
    def _work(self) -> None:
        try:
            self._engine.warm_up()
        except Exception as exc:  # noqa: BLE001 - an engine's surprise is a failed version, not a dead daemon
            error = exc if isinstance(exc, TiersError) else EngineError(f"the warm-up failed: {exc!r}")
            self._tell(_settle, self._ready, error)
        else:
            self._tell(_settle, self._ready, None)
            self._work_off()
        try:
            self._engine.close()
        except Exception:
            log.exception("closing the engine of %s failed", self._name)
        self._tell(_settle, self._gone, None)

    def _work_off(self) -> None:
        """Serve until nobody waits and the version is on its way out."""
        stood_still = True
        while True:
            # Said before the last look: whoever comes after that look rings.
            self._asleep = True
            waited = self._gather() if self._delay and not self._stopping else ""
            stopping = self._stopping
            with self._hands:
                batch = self._admission.take(self._most(), time.perf_counter())
                if batch is not None:
                    self._asleep = False
                    if batch.late:
                        self._tell(self._drop, batch.late)
                    usual = waited or ("idle" if stood_still else "gathered")
                    self._serve(batch, "stop" if stopping else batch.reason or usual, self._hand_over)
            if batch is None:
                if stopping:
                    return
                self._bell.get()
            stood_still = batch is None

    def _gather(self) -> str:
        """Wait for company for the first in order, as long as that may take; say what ended it."""
        while not self._stopping:
            self._asleep = True
            until, why = self._admission.gather_until(self._max_rows, self._delay, self._pace.call_seconds)
            left = until - time.perf_counter()
            if left <= 0:
                return why
            with contextlib.suppress(queue.Empty):
                self._bell.get(timeout=min(left, _LONGEST_SLEEP))
        return ""

    def _hand_over(self, call: Call) -> None:
        self._learn(call)
        self._tell(self._deliver, call)

    def _tell(self, function: object, *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)  # type: ignore[arg-type]
        except RuntimeError:
            log.debug("the event loop is closed; nobody is left to be told")

    # ------------------------------------------------------------ whoever has the hands
    def _serve(self, batch: Batch, reason: str, give: Callable[[Call], None]) -> None:
        """Run a batch; `give` gets each call."""
        tickets = batch.tickets
        if len(tickets) > 1:
            try:
                call = call_together(self._engine, tickets, reason)
            except Exception as exc:  # noqa: BLE001 - whatever it was, each request gets its own chance
                if isinstance(exc, UnevenError):
                    self._max_rows = 0
                log.info("a batch of %d failed and is repeated one by one: %s", len(tickets), exc)
            else:
                give(call)
                return
            reason = "repeated"
        for ticket in tickets:
            give(call_alone(self._engine, ticket, reason, self._name))

    def _learn(self, call: Call) -> None:
        self._pace.learn(call.rows, call.seconds)
        self._admission.pace(call.seconds, len(call.tickets))

    # ------------------------------------------------------------ on the loop
    def _is_quick(self, now: float) -> bool:
        """Say whether all that waits goes with one call, which is so short that it may hold up the loop."""
        if self._company is None or self._delay or self._stopping:
            return False
        self._company.note(self, now)
        rows = self._admission.rows
        most = self._max_rows
        if rows > most and (most or self._admission.waiting > 1):
            return False  # with so much to do, two threads do it faster
        return self._pace.seconds(rows) <= self._company.bound(now)

    def _take_turn(self) -> None:
        """Serve one call of what has come by now, on the loop's thread."""
        self._turn_comes = False
        now = time.perf_counter()
        if self._is_quick(now):
            self._serve_here(now, self._deliver_here)
        else:
            self._ring()

    def _serve_here(self, now: float, give: Callable[[Call], None]) -> None:
        """Serve one call, if nobody else has the hands."""
        if not self._hands.acquire(blocking=False):
            self._ring()
            return
        try:
            batch = self._admission.take(self._most(), now)
            if batch is not None:
                self._drop(batch.late)
                self._serve(batch, batch.reason or "loop", give)
            self._admission.rest()
        finally:
            self._hands.release()
        if self._admission.waiting:  # after the loop has seen to others
            self._turn_comes = True
            self._loop.call_soon(self._take_turn)

    def _deliver_here(self, call: Call) -> None:
        self._learn(call)
        self._deliver(call)

    def _deliver_at_once(self, call: Call) -> None:
        """Deliver, and count when the answer is on its way: whoever waits for it does the rest before the next turn."""
        self._settle_all(call)
        self._loop.call_soon(self._note, call)

    def _note(self, call: Call) -> None:
        if self._hands.acquire(blocking=False):  # else the thread is learning, from a newer call
            self._learn(call)
            self._hands.release()
        self._count(call)

    def _deliver(self, call: Call) -> None:
        self._count(call)
        self._settle_all(call)

    def _count(self, call: Call) -> None:
        waits = [call.began - ticket.arrived for ticket in call.tickets]
        self._stats.called(call.rows, waits, call.seconds, call.reason)
        for ticket in call.tickets:
            self._stats.turns[ticket.priority] += 1

    def _settle_all(self, call: Call) -> None:
        ended = call.began + call.seconds
        for ticket, result in zip(call.tickets, call.results, strict=True):
            if ticket.future.done():
                continue
            if ticket.deadline <= ended:  # no timer went off meanwhile where the call was the loop's own
                self._miss(ticket)
            elif isinstance(result, TiersError):
                ticket.future.set_exception(result)
            else:
                ticket.future.set_result(result)

    def _drop(self, late: Iterable[Ticket]) -> None:
        """Answer those whose deadline came before their turn."""
        for ticket in late:
            if not ticket.future.done():
                self._stats.shed["deadline", ticket.priority.name] += 1
                self._miss(ticket)

    def _miss(self, ticket: Ticket) -> None:
        if not ticket.future.done():
            self._stats.missed[ticket.priority] += 1
            _fail(ticket, _too_late())

    def _look_again(self, deadline: float) -> None:
        """Look at all deadlines at this moment. One timer serves all requests, and it moves only for a nearer one."""
        if self._look is not None:
            self._look.cancel()
        now = time.perf_counter()
        self._look_at = max(deadline, now + _SOON)
        self._look = self._loop.call_later(self._look_at - now, self._look_at_deadlines)

    def _look_at_deadlines(self) -> None:
        late, overdue, nearest = self._admission.expire(time.perf_counter())
        self._drop(late)
        for ticket in overdue:
            self._miss(ticket)
        self._look, self._look_at = None, math.inf
        if nearest < math.inf:
            self._look_again(nearest)


def _fail(ticket: Ticket, error: TiersError) -> None:
    if not ticket.future.done():
        ticket.future.set_exception(error)


def _too_late() -> DeadlineError:
    return DeadlineError("there was no result within the request's time-out")


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
