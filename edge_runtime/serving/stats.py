"""What happened to the requests of one model version, as plain numbers.

`models`, `admission` and `batcher` count here, all on the event loop's thread; `metrics` reads it at each scrape. Plain
numbers cost the hot path a fraction of what a metrics library would.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)


class Histogram:
    """Counts by upper bound, as Prometheus has them."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """Start empty; `bounds` ascend, and one more bucket above them takes the rest."""
        self.bounds = tuple(bounds)
        self.sum = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self._counts)

    def buckets(self) -> list[tuple[str, float]]:
        """Give (upper bound, values up to it), the last one +Inf."""
        names = [*(str(bound) for bound in self.bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self._counts)), strict=True))


class ModelStats:
    """Everything that is counted about one version of one model."""

    def __init__(self, model: str, version: str) -> None:
        """Start at zero."""
        self.model = model
        self.version = version
        self.outcomes: Counter[str] = Counter()
        """ok, or the outcome of a RequestError."""
        self.waiting = 0
        """Requests that wait for the engine now."""
        self.latency = Histogram(SECONDS)
        """From a complete request to its answer, ok ones only."""
        self.queued = Histogram(SECONDS)
        """From admission to the engine."""
        self.computed = Histogram(SECONDS)
        """One call of the engine."""
        self.batch = Histogram(ROWS)
        """Rows (along axis 0) of one call of the engine."""
