"""Find out whether every engine still computes: what the watchdog of `notify` is fed by.

A call that hangs in a driver leaves the process, its event loop and its control thread alive, and every client waiting.
So an engine counts as alive when a call of its thread has ended since the last look: a client's, or else a canary, an
inference on zeros that takes the way of every request through queue and thread. It is a batch request, so it never
goes before one of a client's. A call that hangs on the event loop's own thread (`batcher`) stops this too.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final
from weakref import WeakKeyDictionary

from edge_runtime.serving.ask import Ask, Priority
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.refusals import DeadlineError, OverloadedError
from edge_runtime.serving.served import ServedModel
from toolkit.errors import TiersError

log = logging.getLogger(__name__)
AGAIN_SECONDS: Final = 0.1
"""Pause after a canary that got no turn."""


class Canaries:
    """Asks all engines of a table. For the event loop."""

    def __init__(self, table: ModelTable) -> None:
        """Watch this table."""
        self._table = table
        self._calls: WeakKeyDictionary[ServedModel, int] = WeakKeyDictionary()

    async def sing(self) -> None:
        """Return when every engine that answers clients has ended a call since the last time; not while one hangs."""
        served = self._table.answering()
        for each in served:
            each.hold()  # at once, so that none is closed before it is asked
        await asyncio.gather(*(self._prove(each) for each in served))

    async def _prove(self, served: ServedModel) -> None:
        try:
            seen = self._calls.get(served, -1)
            calls = served.stats.computed.count
            if seen < 0 or calls == seen:
                await self._ask(served, calls)
            self._calls[served] = served.stats.computed.count
        finally:
            served.leave()

    async def _ask(self, served: ServedModel, calls: int) -> None:
        while served.stats.computed.count == calls:
            try:
                await served.answer(Ask(served.name, served.blank(), priority=Priority.BATCH))
            except (OverloadedError, DeadlineError):
                # Others were before it: either the engine works for them, or it hangs and they wait too.
                await asyncio.sleep(AGAIN_SECONDS)
            except TiersError as error:
                log.debug("the canary of %s %s: %s", served.name, served.version, error)
                return  # it says why it cannot, so it does not hang
            else:
                return
