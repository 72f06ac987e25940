"""How much of the server one client may take: requests in flight, and requests a second. `connection` asks it.

A client is who the guard says: a token, a certificate's name, an address, a user of the Unix socket. One that asks too
fast gets 429 with the time to wait, and the others notice nothing. Without limits nothing is counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MOST_CLIENTS: Final = 4096
"""Remembered at once; an attacker with many addresses makes the server forget the ones that ask for nothing."""
BUSY_SECONDS: Final = 1.0
"""What a client is told to wait that has too much in flight: nobody knows when its own requests end."""


@dataclass(slots=True)
class _Client:
    in_flight: int
    tokens: float
    seen: float


class Turnstile:
    """Counts what clients do; use it on one thread."""

    def __init__(
        self, in_flight: int, per_second: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the limits; 0 is none. A client that was silent may send a second's worth at once, one at least."""
        self._most = in_flight
        self._rate = per_second
        self._burst = max(per_second, 1.0)
        self._clock = clock
        self._clients: dict[str, _Client] = {}

    @property
    def limits(self) -> bool:
        """Whether there is anything to count."""
        return bool(self._most or self._rate)

    def enter(self, name: str) -> float:
        """Let a request of this client in, which is 0; else give the seconds after which it may be tried again."""
        now = self._clock()
        client = self._clients.get(name)
        if client is None:
            if len(self._clients) >= MOST_CLIENTS:
                self._forget()  # before this one is there, which has nothing in flight yet either
            client = self._clients[name] = _Client(0, self._burst, now)
        if self._most and client.in_flight >= self._most:
            return BUSY_SECONDS
        if self._rate:
            client.tokens = min(client.tokens + (now - client.seen) * self._rate, self._burst)
            client.seen = now
            if client.tokens < 1:
                return (1 - client.tokens) / self._rate
            client.tokens -= 1
        client.in_flight += 1
        return 0.0

    def leave(self, name: str) -> None:
        """Count a request that was let in as done."""
        client = self._clients.get(name)
        if client is not None:
            client.in_flight -= 1

    def _forget(self) -> None:
        """Forget the older half of those who have nothing in flight."""
        idle = [name for name, client in self._clients.items() if not client.in_flight]
        for name in idle[: MOST_CLIENTS // 2]:
            del self._clients[name]
