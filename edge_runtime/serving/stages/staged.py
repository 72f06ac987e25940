"""Answer a question through the stages of a version: the layer between a cache, if there is one, and the version.

Stages run on threads of their own, so that neither the event loop nor the engine's thread waits for a picture to be
unpacked. There are few, and few places before them: a stage that hangs takes a thread for as long as it hangs, its
client gets an answer at the deadline, and when no place is left others hear at once that there is none.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from heapq import heappop, heappush
from typing import Final, TypeVar

from edge_runtime.engine.base import Array, Engine, Tensors, find_mismatch
from edge_runtime.serving.ask import Answer, Answerer, Ask, Priority
from edge_runtime.serving.refusals import BadRequestError, DeadlineError, OverloadedError
from edge_runtime.serving.served import ServedModel
from edge_runtime.serving.stages.chain import Chain
from toolkit.wire.stages import Stages

T = TypeVar("T")
SHARES: Final = {Priority.EMERGENCY: 1.0, Priority.NORMAL: 0.75, Priority.BATCH: 0.5}
"""Part of the places that each priority may fill, so that an emergency always finds one."""
PLACES_PER_THREAD: Final = 32
"""Requests that may wait for one thread, the one that it works on among them."""


class StageRoom:
    """The threads that run the stages of all models."""

    def __init__(self, threads: int = 0, places: int = 0) -> None:
        """Start no thread yet.

        Args:
            threads: 0 takes one a core that this process may use, 2 to 4 of them.
            places: requests that may be in the room, waiting or worked on; 0 takes PLACES_PER_THREAD a thread.
        """
        threads = threads or min(max(len(os.sched_getaffinity(0)), 2), 4)
        self.places = places or threads * PLACES_PER_THREAD
        self._taken = 0
        self._jobs = 0
        self._waiting: list[tuple[Priority, int, Callable[[], None]]] = []
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="stages")
        self._chains: dict[str, Chain] = {}

    def lay(self, artifact: str, stages: Stages, engine: Engine) -> None:
        """Lay the stages of an artifact around its engine, before it is served; for any thread.

        Raises:
            UnfitStagesError: they do not fit.
        """
        if stages:
            self._chains[artifact] = Chain(stages, engine.inputs, engine.outputs, artifact[:12])

    def dress(self, model: ServedModel) -> Answerer:
        """Put a version's stages around it; a version without stages stays as it is."""
        chain = self._chains.get(model.artifact)
        if chain is None:
            return model
        model.show(chain.inputs, chain.outputs, chain.key)
        return Staged(
            model, chain, self, timeout_seconds=model.timeout_seconds, note=model.stats.staged.observe
        )

    @property
    def taken(self) -> int:
        """How many requests are in the room."""
        return self._taken

    async def run(
        self, work: Callable[[], T], deadline: float, priority: Priority, *, begun: bool = False
    ) -> T:
        """Do this on one of the threads; who is more urgent goes first, of equals who came first.

        Args:
            work: what to do.
            deadline: moment on `perf_counter`'s clock.
            priority: of the request.
            begun: the engine has worked for it already, so it is not refused any more; the waiting room before the
                engine bounds how many of these there are.

        Raises:
            OverloadedError: no place is left for this priority.
            DeadlineError: the deadline came first.
        """
        held: Future[T] = Future()
        self._enter(priority, lambda: _do(held, work), begun=begun)
        # Done when the thread is free, which may be long after the client has gone.
        held.add_done_callback(self._leave)
        self._threads.submit(self._next)
        future = asyncio.wrap_future(held)
        left = None if deadline == math.inf else max(deadline - time.perf_counter(), 0.0)
        try:
            done, _ = await asyncio.wait((future,), timeout=left)
        finally:
            if not future.done():
                future.cancel()  # what waits is not begun; what runs, runs on
        if not done:
            raise DeadlineError("the stages around the model had not ended when the request's time was over")
        return future.result()

    def _enter(self, priority: Priority, job: Callable[[], None], *, begun: bool) -> None:
        with self._lock:
            if not begun and self._taken >= self.places * SHARES[priority]:
                raise OverloadedError(
                    f"{self._taken} requests are in the stages before and after models, which leaves no place for"
                    f" priority {priority.name.lower()}",
                    hint="try again later, or send fewer at once",
                )
            self._taken += 1
            self._jobs += 1
            heappush(self._waiting, (priority, self._jobs, job))

    def _next(self) -> None:
        """Do what is most urgent of all that waits; on a thread, once for each job."""
        with self._lock:
            job = heappop(self._waiting)[2]
        job()

    def _leave(self, _: object) -> None:
        with self._lock:
            self._taken -= 1

    def close(self) -> None:
        """Let the threads end; one that hangs ends with the process."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _do(held: Future[T], work: Callable[[], T]) -> None:
    if not held.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - it is the client's, who waits for it
        held.set_exception(error)
    else:
        held.set_result(result)


class Staged:
    """A version with its stages around it."""

    def __init__(
        self,
        inner: Answerer,
        chain: Chain,
        room: StageRoom,
        *,
        timeout_seconds: float = math.inf,
        note: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Put stages around an answerer.

        Args:
            inner: is asked what the stages before it make of a question; those after it work on its answer.
            chain: the stages.
            room: where they run.
            timeout_seconds: for questions that name no deadline.
            note: is told how long the stages before or after took, with the wait for a thread.
        """
        self._note = note
        self._inner = inner
        self._chain = chain
        self._room = room
        self._timeout = timeout_seconds

    async def answer(self, ask: Ask) -> Answer:
        """Answer.

        Raises:
            BadRequestError: a stage cannot work on what was sent; nobody else is touched.
            OverloadedError: too many requests wait.
            DeadlineError: the deadline came first.
            EngineError: the model failed, or gave what a stage cannot work on.
        """
        if mismatch := find_mismatch(self._chain.inputs, ask.inputs):
            raise BadRequestError(f"model {ask.model}: {mismatch}")
        deadline = ask.deadline if ask.deadline < math.inf else ask.arrived + self._timeout
        inputs: Mapping[str, Array] = ask.inputs
        if self._chain.changes_inputs:
            began = time.perf_counter()
            inputs = await self._room.run(lambda: self._chain.before(ask.inputs), deadline, ask.priority)
            self._note(time.perf_counter() - began)
        # All outputs are wanted here: which of them a stage makes into what the client wants is its business.
        answer = await self._inner.answer(replace(ask, inputs=inputs, wanted=(), deadline=deadline))
        if not self._chain.changes_outputs:
            return answer
        began = time.perf_counter()
        outputs: Tensors = await self._room.run(
            lambda: self._chain.after(answer.outputs), deadline, ask.priority, begun=True
        )
        self._note(time.perf_counter() - began)
        return replace(answer, outputs=outputs)
