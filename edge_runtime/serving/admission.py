"""How many requests may wait for one model. `models` asks before it hands a request to the batcher.

A queue without an end turns an overload into time-outs for everybody; a short one with a clear 503 lets clients go
elsewhere. Entered on the event loop, left on the batcher's thread, hence the lock.
"""

from __future__ import annotations

import threading

from edge_runtime.serving.refusals import OverloadedError


class Admission:
    """A bounded waiting room."""

    def __init__(self, places: int) -> None:
        """Make room for this many waiting requests; the one that the engine works on does not count."""
        self.places = max(places, 1)
        self._waiting = 0
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """How many wait now."""
        return self._waiting

    def enter(self) -> None:
        """Take a place.

        Raises:
            OverloadedError: all are taken.
        """
        with self._lock:
            if self._waiting >= self.places:
                raise OverloadedError(
                    f"{self._waiting} requests are waiting for this model, which is all that may",
                    hint="try again later, send fewer at once, or raise the model's `queue`",
                )
            self._waiting += 1

    def leave(self, count: int = 1) -> None:
        """Give places back."""
        with self._lock:
            self._waiting -= count
