"""What happened to the requests of one model version, as plain numbers.

`models`, `admission`, `batcher` and `routes` count here, all on the event loop's thread; `metrics` reads it at each
scrape, `edge_runtime.reports` for each report. Plain numbers cost the hot path a fraction of what a metrics library
would.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from edge_runtime.engine.base import EngineAbout
from edge_runtime.serving.ask import Priority
from toolkit.wire.report import Served

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
WHY_BATCHES_LEAVE: Final = (
    "idle", "gathered", "loop", "full", "urgent", "other_shape", "delay", "deadline", "stop", "repeated",
)  # fmt: skip
"""What each means stands in `batcher`."""
WHY_SHED: Final = ("full", "displaced", "deadline", "ladder")
"""Refused at the door; a more urgent one took the place; the deadline came first; the ladder lets such wait no more."""
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


@dataclass(slots=True)
class Tally:
    """How often something happened, and how long it took altogether."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float, count: int = 1) -> None:
        """Count it, `count` times at once where each took this long."""
        self.count += count
        self.ns += round(seconds * 1e9) * count


@dataclass(frozen=True)
class Snapshot:
    """What a version has done so far, in the terms of Triton's statistics extension.

    https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
    """

    inference_count: int
    """Rows that were computed."""
    execution_count: int
    """Calls of the engine; the first divided by this is the mean batch."""
    last_inference: int
    """Milliseconds since 1970, 0 before the first."""
    success: Tally
    """Requests that got an answer, from their being complete to it."""
    fail: Tally
    """Those that got none, whatever the reason."""
    queue: Tally
    """Requests that came to the engine, with their wait."""
    compute_infer: Tally
    """The same requests; each counts the whole call that it went in."""
    cache_hit: Tally
    cache_miss: Tally
    batch_stats: Mapping[int, Tally]
    """Rows of a call -> calls with so many, ascending."""


class ModelStats:
    """Everything that is counted about one version of one model."""

    def __init__(self, model: str, version: str) -> None:
        """Start at zero."""
        self.model = model
        self.version = version
        self.outcomes: Counter[str] = Counter()
        """ok, or the outcome of a RequestError."""
        self.engine = EngineAbout("onnxruntime", "")
        """Which one runs it; set by whoever has it."""
        self.waiting = 0
        """Requests that wait for the engine now."""
        self.first_seconds: float | None = None
        """How long the first answer took, loading included; None before there was one."""
        self.latency = Histogram(SECONDS)
        """From a complete request to its answer, ok ones only."""
        self._last_latencies = Latest(LAST_ANSWERS)
        self.queued = Histogram(SECONDS)
        """From admission to the engine."""
        self.computed = Histogram(SECONDS)
        """One call of the engine."""
        self.staged = Histogram(SECONDS)
        """The stages before the engine, or those after it, of one request, with the wait for a thread."""
        self.batch = Histogram(ROWS)
        """Rows (along axis 0) of one call of the engine."""
        self.batches: Counter[str] = Counter()
        """Calls of the engine by why they left, see `batcher`."""
        self.shed: Counter[tuple[str, str]] = Counter()
        """Requests that got no turn, by why (WHY_SHED) and name of their priority."""
        self.turns = [0] * (max(Priority) + 1)
        """Requests that the engine has computed, by priority."""
        self.missed = [0] * (max(Priority) + 1)
        """Requests whose deadline came first, likewise."""
        self.fail = Tally()
        self.cache_hit = Tally()
        """For whoever keeps answers: requests that were answered without the engine, and the time to find that out."""
        self.cache_miss = Tally()
        """Likewise those that were not; the time that the search took."""
        self._queue = Tally()
        self._compute = Tally()
        self._batches: defaultdict[int, Tally] = defaultdict(Tally)
        self._last_inference = 0

    def called(self, rows: int, waits: Sequence[float], seconds: float, reason: str) -> None:
        """Count one call of the engine: its rows, how long each request in it had waited, its own seconds, its why."""
        self.batches[reason] += 1
        self.batch.observe(rows)
        self.computed.observe(seconds)
        for wait in waits:
            self.queued.observe(wait)
        self._queue.count += len(waits)
        self._queue.ns += round(sum(waits) * 1e9)
        self._compute.add(seconds, len(waits))
        self._batches[rows].add(seconds)
        self._last_inference = time.time_ns() // 1_000_000

    def finished(self, outcome: str, seconds: float) -> None:
        """Count a request by what became of it and how long that took; `ok` ones are an answer too."""
        self.outcomes[outcome] += 1
        if outcome == "ok":
            self.answered(seconds)
        else:
            self.fail.add(seconds)

    def snapshot(self) -> Snapshot:
        """Say what there is to say at this moment; later counting does not change it."""
        return Snapshot(
            inference_count=round(self.batch.sum),
            execution_count=self.batch.count,
            last_inference=self._last_inference,
            success=Tally(self.latency.count, round(self.latency.sum * 1e9)),
            fail=_copy(self.fail),
            queue=_copy(self._queue),
            compute_infer=_copy(self._compute),
            cache_hit=_copy(self.cache_hit),
            cache_miss=_copy(self.cache_miss),
            batch_stats={rows: _copy(tally) for rows, tally in sorted(self._batches.items())},
        )

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


def _copy(tally: Tally) -> Tally:
    return Tally(tally.count, tally.ns)
