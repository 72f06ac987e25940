"""What the connections of one server share: who they are, how much they hold, and room to read heads into.

`server` makes one; each `connection` joins it, and its `reader` counts the bytes of bodies there.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, Protocol

from edge_runtime.serving.heads import Heads
from edge_runtime.serving.limits import Limits
from edge_runtime.serving.trace import AccessLog
from edge_runtime.serving.turnstile import Turnstile

SCRATCH: Final = 32 * 1024
"""Bytes of one read while no body is known to come: a whole small request with its head."""


class Guest(Protocol):
    """A connection, as the floor and the server see it."""

    def sweep(self, now: float) -> None:
        """Close when its time is over."""
        ...

    def drain(self) -> None:
        """Finish what is there, then close."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...


class Floor:
    """The connections of one server."""

    def __init__(
        self, limits: Limits, turnstile: Turnstile | None = None, access: AccessLog | None = None
    ) -> None:
        """Start empty; without a turnstile no client has limits of its own, and without a log nothing is written."""
        self.access = access
        self.limits = limits
        self.turnstile = turnstile or Turnstile(0, 0.0)
        self.connections: set[Guest] = set()
        self.buffered_bytes = 0
        self.coming = 0
        """Requests that have come in whole and that nobody has begun to answer."""
        self.draining = False
        self.room = bytearray(SCRATCH)
        self.scratch = memoryview(self.room)
        """One for all: what is read into it is parsed before anybody else reads."""
        self.heads = Heads()
        self._change = asyncio.Event()

    def leave(self, connection: Guest) -> None:
        """Forget a connection that is closed."""
        self.connections.discard(connection)
        self._change.set()

    async def changed(self, seconds: float) -> None:
        """Wait until a connection closes, at most this long."""
        self._change.clear()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._change.wait(), seconds)

    def sweep(self, now: float) -> None:
        """Close connections whose time is over; `now` is the loop's clock in seconds."""
        for connection in tuple(self.connections):
            connection.sweep(now)
