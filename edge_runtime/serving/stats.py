"""What happened to the requests of one model version, as plain numbers.

`models`, `admission`, `batcher` and `routes` count here, all on the event loop's thread; `metrics` reads it at each
scrape, `edge_runtime.reports` for each report. Plain numbers cost the hot path a fraction of what a metrics library
would.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from toolkit.wire.report import Served

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
LAST_ANSWERS: Final = 1000
"""Answers by which the 99th percentile of a report goes: the slowest ten of them lie above it."""


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


class Latest:
    """The last values of a row, in no order. One thread adds, any may read: reading copies at one go."""

    def __init__(self, size: int) -> None:
        """Start empty; of more than `size` values the oldest is forgotten."""
        self._size = size
        self._values: list[float] = []
        self._next = 0

    def add(self, value: float) -> None:
        """Take one value."""
        if len(self._values) < self._size:
            self._values.append(value)
        else:
            self._values[self._next] = value
            self._next = (self._next + 1) % self._size

    def percentile(self, percent: int) -> float:
        """Give the smallest value that at least `percent` of 100 values do not exceed; 0 when there is none."""
        values = sorted(self._values[:])
        return values[-(-len(values) * percent // 100) - 1] if values else 0.0


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
        self._last_latencies = Latest(LAST_ANSWERS)
        self.queued = Histogram(SECONDS)
        """From admission to the engine."""
        self.computed = Histogram(SECONDS)
        """One call of the engine."""
        self.batch = Histogram(ROWS)
        """Rows (along axis 0) of one call of the engine."""

    def answered(self, seconds: float) -> None:
        """Count how long a request took from its being complete to its answer, an ok one."""
        self.latency.observe(seconds)
        self._last_latencies.add(seconds)

    @property
    def served(self) -> Served:
        """Say for a report how this version has done since it serves."""
        failures = self.outcomes["failed"]
        return Served(
            requests=self.outcomes["ok"] + failures,
            failures=failures,
            p99_seconds=round(self._last_latencies.percentile(99), 6),
        )
