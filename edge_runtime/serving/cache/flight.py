"""Questions that are the same and in flight at the same time share one answer: one leads, the others follow.

`keep` has one flight for each key that is being looked up or computed. Each follower waits with its own deadline. A
leader that fails for a reason of its own (its deadline, no room, its client left) ends the flight without a result:
the first of its followers to wake leads the next one, so nobody fails for what happened to another.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from edge_runtime.serving.ask import Priority
from edge_runtime.serving.cache.entry import Kept
from edge_runtime.serving.refusals import DeadlineError
from toolkit.errors import TiersError

Result = Kept | TiersError | None
"""An answer, what the model raises for exactly this question, or nothing that others could use."""


@dataclass(slots=True, eq=False)
class Flight:
    """One question on its way."""

    label: str
    priority: Priority
    began: float
    """On the steady clock."""
    valid: bool = True
    """False once it was forgotten: then its answer is for those alone that asked before."""
    waiting: list[asyncio.Future[Result]] = field(default_factory=list)

    def may_carry(self, priority: Priority, now: float, holds_seconds: float) -> bool:
        """Say whether a question may follow: the leader is as urgent, and the answer will not be too old for it."""
        return self.priority <= priority and now < self.began + holds_seconds

    async def follow(self, deadline: float, now: float) -> Result:
        """Wait for the leader.

        Raises:
            DeadlineError: the follower's own deadline came first.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self.waiting.append(future)
        if deadline == float("inf"):
            return await future
        timer = loop.call_later(max(deadline - now, 0.0), _expire, future)
        try:
            return await future
        finally:
            timer.cancel()

    def land(self, result: Result) -> None:
        """Give the result to all that follow."""
        for future in self.waiting:
            if not future.done():
                future.set_result(result)


def _expire(future: asyncio.Future[Result]) -> None:
    if not future.done():
        future.set_exception(DeadlineError("there was no result within the request's time-out"))
