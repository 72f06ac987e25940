"""A Remote that asks again when the line failed. `choose` puts it around every transport that has a line.

Why each operation may be repeated, when nobody knows whether the first request arrived:
- read, exists, list: change nothing. A listing goes on behind the last key that it gave.
- write: the same bytes in the same place; whoever wrote in between is overwritten, as if we had come a little later.
- write_new: the object that is there by then may be our own. It is read, and counts as ours if it has exactly our
  bytes. Whoever must know who of two was first therefore puts something of his own into it; for what is named by its
  content it does not matter.
- delete: after it the object is gone. Whether it had been there can no longer be told; a repetition says what it saw.
What the other side refuses (RemoteRefusedError), and what is damaged or missing, is not asked for again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from toolkit.errors import MissingObjectError, RemoteUnavailableError
from toolkit.sync.remotes.remote import MAX_OBJECT_BYTES, Found, Remote

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How often and how long it is tried."""

    attempts: int = 6
    """Requests at most, the first one too."""
    seconds: float = 120.0
    """After so long no new attempt begins."""
    first_wait: float = 0.2
    """Seconds before the second attempt, on average half of it; each further wait is twice as long."""
    longest_wait: float = 15.0


class RetryingRemote:
    """Another Remote, with patience."""

    def __init__(
        self,
        inner: Remote,
        patience: Patience | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Wrap a Remote.

        Args:
            inner: who does the work.
            patience: how often and how long.
            clock: seconds that only grow.
            sleep: waits for seconds.
            chance: a number from 0 to 1; many who lost the same server must not come back at once.
        """
        self._inner = inner
        self._patience = patience or Patience()
        self._clock, self._sleep, self._chance = clock, sleep, chance

    @property
    def url(self) -> str:
        """Where it is."""
        return self._inner.url

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, limit: int = MAX_OBJECT_BYTES
    ) -> bytes:
        """Give the bytes of an object; see `Remote.read`."""
        return self._try(lambda: self._inner.read(key, start=start, length=length, limit=limit))

    def write(self, key: str, data: bytes) -> None:
        """Store an object whole; see `Remote.write`."""
        self._try(lambda: self._inner.write(key, data))

    def write_new(self, key: str, data: bytes) -> bool:
        """Store an object unless it is there; see `Remote.write_new` and above."""
        lost = False

        def attempt() -> bool:
            nonlocal lost
            try:
                stored = self._inner.write_new(key, data)
            except RemoteUnavailableError:
                lost = True
                raise
            return stored or (lost and self._is_ours(key, data))

        return self._try(attempt)

    def exists(self, key: str) -> bool:
        """Say whether there is such an object."""
        return self._try(lambda: self._inner.exists(key))

    def list(self, prefix: str = "") -> Iterator[Found]:
        """Yield keys and sizes in the order of the keys; see `Remote.list`."""
        last, failures, deadline = "", 0, self._clock() + self._patience.seconds
        while True:
            try:
                for found in self._inner.list(prefix):
                    if found.key > last:
                        last, failures = found.key, 0
                        yield found
            except RemoteUnavailableError as error:
                failures += 1
                self._wait(error, failures, deadline)
            else:
                return

    def delete(self, key: str) -> bool:
        """Remove an object; say whether it was there, see above."""
        return self._try(lambda: self._inner.delete(key))

    def _is_ours(self, key: str, data: bytes) -> bool:
        try:
            return self._inner.read(key, limit=max(len(data) + 1, MAX_OBJECT_BYTES)) == data
        except MissingObjectError:
            return False

    def _try(self, operation: Callable[[], T]) -> T:
        failures, deadline = 0, self._clock() + self._patience.seconds
        while True:
            try:
                return operation()
            except RemoteUnavailableError as error:
                failures += 1
                self._wait(error, failures, deadline)

    def _wait(self, error: RemoteUnavailableError, failures: int, deadline: float) -> None:
        """Wait before the next attempt, or raise the error when there is none."""
        patience = self._patience
        longest = min(patience.longest_wait, patience.first_wait * 2 ** (failures - 1))
        wait = longest * self._chance()
        if not error.retryable or failures >= patience.attempts or self._clock() + wait > deadline:
            raise error
        self._sleep(wait)
