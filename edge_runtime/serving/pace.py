"""What calls of one engine take, learned from each: how long the next one will, and how many rows are worth one.

`batcher` tells it about every call and asks it before the next. More rows a call are not always better: a network that
fills a processor's caches by itself computes each of four images 2 to 4 % slower than one alone (docs/benchmarks.md,
serving), while a small one pays for every call anew. So sizes are measured by powers of two, and now and then another
one than the best is tried.
"""

from __future__ import annotations

import math
from typing import Final

STEADY: Final = 0.8
"""Share of its past that a running mean keeps with each call."""
BESIDE_SECONDS: Final = 50e-6
"""What a call costs outside of the engine, whatever its size: gathering, handing over, counting."""
ENOUGH: Final = 8
"""Calls of a size after which it may be judged."""
BETTER: Final = 0.99
"""A smaller call must take at most this share of a larger one's time a row: less is no difference."""
TRY_EVERY: Final = 16
"""Calls after which another size is tried: half the best one, then twice it."""
_DOWN: Final = 0.25
_UP: Final = 0.05
"""How far an estimate follows a shorter and a longer time. Who is interrupted takes longer for no reason of its own, so
this stays near the times of calls that nothing disturbed."""
_FAR: Final = 0.2
"""Share of an estimate beyond which a longer time counts no more."""


class Pace:
    """The calls of one engine. Who calls that tells it; anybody may ask."""

    def __init__(self, most: int) -> None:
        """Know nothing; `most` is the largest number of rows that a call may have."""
        self._most = max(most, 1)
        self._each = [0.0] * (self._most.bit_length() + 1)
        """Seconds a row, by bits of the number of rows; what the call costs beside the engine is in it."""
        self._seen = [0] * len(self._each)
        self.call_seconds = 0.0
        """How long a call takes, as a running mean; 0 before the first."""
        self._row = 0.0
        self._calls = 0

    def learn(self, rows: int, seconds: float) -> None:
        """Take note of a call."""
        self._calls += 1
        each = seconds / rows if rows else seconds
        if self._calls == 1:
            self.call_seconds, self._row = seconds, each
        self.call_seconds = STEADY * self.call_seconds + (1 - STEADY) * seconds
        self._row = STEADY * self._row + (1 - STEADY) * each
        if not 0 < rows <= self._most:
            return  # one request that is larger than a call of several may be
        size = rows.bit_length()
        cost = each + BESIDE_SECONDS / rows
        known = self._each[size] if self._seen[size] else cost
        apart = cost - known
        self._each[size] = known + (_DOWN * apart if apart < 0 else _UP * min(apart, _FAR * known))
        self._seen[size] += 1

    def seconds(self, rows: int) -> float:
        """Say how long so many rows should take, in as many calls as it needs; infinite while nothing is known."""
        return max(self.call_seconds, self._row * rows) if self._calls else math.inf

    def rows(self) -> int:
        """Say how many rows the next call may have."""
        best = self._best()
        if self._calls % TRY_EVERY == TRY_EVERY - 1:
            best += 1 if self._calls // TRY_EVERY % 2 else -1
        return self._rows_of(min(max(best, 1), len(self._each) - 1))

    def _best(self) -> int:
        """Find the largest size than which no smaller one is better."""
        best = len(self._each) - 1
        if self._seen[best] < ENOUGH:
            return best
        for size in range(best - 1, 0, -1):
            if self._seen[size] >= ENOUGH and self._each[size] < self._each[best] * BETTER:
                best = size
        return best

    def _rows_of(self, size: int) -> int:
        return self._most if size == len(self._each) - 1 else 1 << (size - 1)
