"""Keep to a limit of bytes a second: a bucket that fills with time. One for a whole run, shared by its threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_BURST_SECONDS = 0.25
"""So much of a second's bytes may go at once."""


class Pace:
    """Makes callers wait so that no more than a number of bytes pass in a second."""

    def __init__(
        self,
        bytes_per_second: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Set the limit.

        Args:
            bytes_per_second: the limit; 0 is none.
            clock: seconds that only grow.
            sleep: waits for seconds.
        """
        self._rate = bytes_per_second
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at = clock()
        """When all bytes that were let pass are paid for."""

    def take(self, count: int) -> None:
        """Let `count` bytes pass, when it is their turn."""
        if not self._rate:
            return
        with self._lock:
            now = self._clock()
            self._free_at = max(self._free_at, now - _BURST_SECONDS) + count / self._rate
            wait = self._free_at - now
        if wait > 0:
            self._sleep(wait)
