"""An event loop without threads, sockets or real time: which ready callback runs next is drawn from a seed.

A test steps it; everything that could happen in another order on a busy machine happens in some order here, and the
same order comes again with the same seed. Time is a number that the test moves.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections.abc import Callable, Coroutine
from contextvars import Context
from random import Random
from typing import TypeVar

T = TypeVar("T")


class SeededLoop(asyncio.AbstractEventLoop):
    """The loop."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._ready: list[asyncio.Handle] = []
        self._timers: list[asyncio.TimerHandle] = []
        self._now = 0.0
        self.errors: list[object] = []
        """What callbacks and forgotten tasks raised."""

    # ------------------------------------------------------------ what the test does
    def step(self) -> bool:
        """Run one callback that is ready; False when there is none."""
        while self._ready:
            handle = self._ready.pop(self._random.randrange(len(self._ready)))
            if handle.cancelled():
                continue
            events._set_running_loop(self)
            try:
                handle._run()
            finally:
                events._set_running_loop(None)
            return True
        return False

    def settle(self, most: int = 100_000) -> None:
        """Step until nothing is ready."""
        for _ in range(most):
            if not self.step():
                return
        raise AssertionError("it never comes to rest")

    def advance(self, seconds: float) -> None:
        """Let time pass: timers that are due become ready."""
        self._now += seconds
        due = [handle for handle in self._timers if handle.when() <= self._now]
        self._timers = [handle for handle in self._timers if handle.when() > self._now]
        self._ready.extend(sorted(due, key=lambda handle: handle.when()))

    def begin_now(self, coroutine: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Make a task of a coroutine and run it up to where it first waits, before anything else."""
        others, self._ready = self._ready, []
        task = self.create_task(coroutine)
        self.step()
        self._ready += others
        return task

    def call_now(self, call: Callable[[], object]) -> None:
        """Call something as a callback of the loop would, before anything else."""
        others, self._ready = self._ready, []
        self.call_soon(call)
        self._ready, more = self._ready[:1], self._ready[1:]
        self.step()
        self._ready += more + others

    # ------------------------------------------------------------ what asyncio calls
    def time(self) -> float:
        return self._now

    def call_soon(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        (self._ready if when <= self._now else self._timers).append(handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if handle in self._timers:
            self._timers.remove(handle)

    def create_future(self) -> asyncio.Future:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine, **options: object) -> asyncio.Task:
        return asyncio.Task(coro, loop=self, name=options.get("name"))

    def call_exception_handler(self, context: dict[str, object]) -> None:
        self.errors.append(context.get("exception") or context["message"])

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return events._get_running_loop() is self

    def is_closed(self) -> bool:
        return False
