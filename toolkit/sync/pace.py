"""Keep to a limit of bytes a second: a bucket that fills with time. One for a whole run, shared by its threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_BURST_SECONDS = 0.25
"""So much of a second's bytes may go at once."""
_ASK_SECONDS = 1.0


class Pace:
    """Makes callers wait so that no more than a number of bytes pass in a second."""

    def __init__(
        self,
        bytes_per_second: int | Callable[[], int],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Set the limit.

        Args:
            bytes_per_second: the limit; 0 is none. One that changes is asked for again when a second has passed.
            clock: seconds that only grow.
            sleep: waits for seconds.
        """
        self._ask = bytes_per_second if callable(bytes_per_second) else None
        self._rate = bytes_per_second() if callable(bytes_per_second) else bytes_per_second
        self._clock = clock
        self._asked_at = clock()
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at = clock()
        """When all bytes that were let pass are paid for."""

    @property
    def may_limit(self) -> bool:
        """Whether there is a limit, or one that depends on the time."""
        return bool(self._rate) or self._ask is not None

    def take(self, count: int) -> None:
        """Let `count` bytes pass, when it is their turn."""
        if not self._rate and self._ask is None:
            return
        with self._lock:
            now = self._clock()
            if self._ask is not None and now - self._asked_at >= _ASK_SECONDS:
                self._rate, self._asked_at = self._ask(), now
            if not self._rate:
                return
            self._free_at = max(self._free_at, now - _BURST_SECONDS) + count / self._rate
            wait = self._free_at - now
        if wait > 0:
            self._sleep(wait)
