"""Where questions wait while their model has no engine: for a lazy one to be loaded, for an old one to make room.

`models` puts a gate up and opens it. So many may wait as may wait for the model anyway, each until its own deadline and
never for longer than the gate's time: a client that is told to come again can go elsewhere, one that hangs cannot.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Final

from edge_runtime.serving.refusals import DeadlineError, NotReadyError, OverloadedError

HOLD_SECONDS: Final = 10.0
"""Longest time that a question waits for an engine."""
AGAIN_SECONDS: Final = 2
"""When somebody who waited in vain may ask again."""


class Gate:
    """One model's gate. For the event loop."""

    def __init__(self, model: str, places: int, why: str, seconds: float = HOLD_SECONDS) -> None:
        """Put it up.

        Args:
            model: whose questions wait.
            places: how many may.
            why: what they wait for, for the clients that do so in vain.
            seconds: longest time for each.
        """
        self._model = model
        self._places = places
        self._why = why
        self._seconds = seconds
        self._opened: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.waiting = 0

    async def wait(self, deadline: float) -> None:
        """Wait until it opens; `deadline` is a moment on perf_counter's clock.

        Raises:
            OverloadedError: as many wait as may wait.
            DeadlineError: the deadline came first.
            NotReadyError: it took too long, or what was waited for has failed.
        """
        if self.waiting >= self._places:
            raise OverloadedError(
                f"{self.waiting} requests wait for model {self._model}, which is all that may: {self._why}",
                hint="try again later",
                retry_seconds=AGAIN_SECONDS,
            )
        left = deadline - perf_counter()
        self.waiting += 1
        try:
            await asyncio.wait((self._opened,), timeout=max(min(left, self._seconds), 0.0))
        finally:
            self.waiting -= 1
        if not self._opened.done():
            if left <= self._seconds:
                raise DeadlineError("there was no result within the request's time-out")
            raise self._refusal(f"{self._why}, which takes longer than {self._seconds:g} s")
        if problem := self._opened.result():
            raise self._refusal(problem)

    def open(self, problem: str = "") -> None:
        """Let everybody go on; a problem sends them away with it."""
        if not self._opened.done():
            self._opened.set_result(problem)

    def _refusal(self, why: str) -> NotReadyError:
        return NotReadyError(f"model {self._model}: {why}", hint="try again", retry_seconds=AGAIN_SECONDS)
