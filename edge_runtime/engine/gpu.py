"""The one thread of this process that uses the GPU, for all models; engines hand it work and wait.

A CUDA context belongs to a thread, and TensorRT's objects must not be used by two; with one thread there is nothing to
get wrong. What engines hand over are starts: a start puts copies and a run into a stream and returns at once with a
`Flight`; the thread begins all it can before it waits for the oldest, so while one computes, the inputs of the next are
copied. `choose` makes one; `tensorrt_engine` uses it.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar, cast

from edge_runtime.engine.cuda import Cuda, CudaError, GpuFacts
from toolkit.errors import EngineError, TiersError

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Flight(Generic[T]):
    """Work that is in a stream."""

    event: int
    """Happens when it is done."""
    finish: Callable[[], T]
    """Takes the results out; called on the GPU's thread after the event."""
    release: Callable[[], None]
    """Frees what it used, also when it failed."""


@dataclass(frozen=True)
class _Job:
    begin: Callable[[], Flight[object] | None] | None
    """None means that it is `whole` instead."""
    whole: Callable[[], object] | None
    future: Future[object]


class Gpu:
    """A thread and the GPU's context on it."""

    def __init__(self, connect: Callable[[], Cuda]) -> None:
        """Start the thread and open the GPU on it.

        Raises:
            EngineError: it cannot be opened.
        """
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._waiting: deque[_Job] = deque()
        self._flying: deque[tuple[_Job, Flight[object]]] = deque()
        self._lost: CudaError | None = None
        self._closed = False
        ready: Future[Cuda] = Future()
        # A daemon: a driver that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, args=(connect, ready), name="gpu", daemon=True)
        self._thread.start()
        self._cuda = ready.result()

    @property
    def cuda(self) -> Cuda:
        """The driver, for work that runs on the thread."""
        return self._cuda

    @property
    def facts(self) -> GpuFacts:
        """What the GPU is."""
        return self._cuda.facts

    def call(self, work: Callable[[], T]) -> T:
        """Do this on the thread, in its turn, and give what it gives.

        Raises:
            EngineError: the thread has ended or the GPU is lost; else whatever `work` raises.
        """
        future: Future[object] = Future()
        self._hand_over(_Job(None, work, future))
        return cast("T", future.result())

    def fly(self, begin: Callable[[], Flight[T] | None]) -> Future[T]:
        """Start something on the thread; the future gets what its flight gives.

        Args:
            begin: puts it into a stream, or gives None when what it needs is still flying; then it is asked again.
        """
        future: Future[object] = Future()
        self._hand_over(_Job(cast("Callable[[], Flight[object] | None]", begin), None, future))
        return cast("Future[T]", future)

    def close(self, seconds: float = 10.0) -> None:
        """Finish what was handed over, leave the GPU and end the thread; wait for that so many seconds at most."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        self._thread.join(seconds)

    def _hand_over(self, job: _Job) -> None:
        if self._closed:
            job.future.set_exception(EngineError("the GPU of this process has been closed"))
        else:
            self._jobs.put(job)

    # ------------------------------------------------------------ on the thread
    def _work(self, connect: Callable[[], Cuda], ready: Future[Cuda]) -> None:
        try:
            cuda = connect()
            cuda.enter()
        except TiersError as error:
            ready.set_exception(error)
            return
        except Exception as exc:  # noqa: BLE001 - a binding's surprise is a GPU that cannot be used
            ready.set_exception(EngineError(f"the GPU cannot be opened: {exc!r}"))
            return
        ready.set_result(cuda)
        while self._accept():
            self._begin_all()
            if self._flying:
                self._land(cuda)
        try:
            cuda.leave()
        except CudaError:
            log.exception("the GPU's context could not be left")

    def _accept(self) -> bool:
        """Take what was handed over, sleeping when there is nothing else to do; False ends the thread."""
        try:
            while True:
                idle = not self._waiting and not self._flying
                job = self._jobs.get() if idle else self._jobs.get_nowait()
                if job is None:
                    self._jobs.put(None)  # for the next time, when all is done
                    return not idle
                self._waiting.append(job)
        except Empty:
            return True

    def _begin_all(self) -> None:
        for _ in range(len(self._waiting)):
            job = self._waiting.popleft()
            if self._lost is not None:
                self._fail(job, self._lost)
                continue
            try:
                if job.begin is None:
                    assert job.whole is not None  # noqa: S101 - see _Job
                    job.future.set_result(job.whole())
                    continue
                flight = job.begin()
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for it
                self._fail(job, error)
                continue
            if flight is not None:
                self._flying.append((job, flight))
            elif self._flying:
                self._waiting.append(job)
            else:
                self._fail(job, EngineError("nothing flies, and yet there is no room to fly"))

    def _land(self, cuda: Cuda) -> None:
        job, flight = self._flying.popleft()
        try:
            cuda.wait(flight.event)
            result = flight.finish()
        except BaseException as error:  # noqa: BLE001 - likewise
            flight.release()
            self._fail(job, error)
        else:
            flight.release()
            job.future.set_result(result)

    def _fail(self, job: _Job, error: BaseException) -> None:
        if isinstance(error, CudaError) and error.lost and self._lost is None:
            log.error("the GPU is lost to this process: %s", error.message)
            self._lost = error
        # What the frames of a failure hold dies here, on this thread, and not where somebody drops the error.
        traceback.clear_frames(error.__traceback__)
        job.future.set_exception(error)
