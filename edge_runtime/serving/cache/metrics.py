"""Counts of the caches as Prometheus collectors; the daemon registers them beside those of the served models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_runtime.serving.cache.caches import Caches
from edge_runtime.serving.cache.keep import CacheFigures

RESULTS: Final = {
    "hit": "hits",
    "disk_hit": "disk_hits",
    "shared": "shared",
    "refused": "refused",
    "miss": "misses",
}
"""Value of the label `result` -> field of `CacheFigures`."""


class CacheCollector(Collector):
    """Reads the figures at each scrape."""

    def __init__(self, caches: Caches) -> None:
        """Watch these."""
        self._caches = caches

    def collect(self) -> Iterator[Metric]:
        """Give every family with a sample set per model."""
        asked = CounterMetricFamily(
            "edge_cache_requests", "Requests by where their answer came from.", labels=("model", "result")
        )
        evicted = CounterMetricFamily(
            "edge_cache_evictions", "Answers that went because there was no room.", labels=("model", "store")
        )
        size = GaugeMetricFamily("edge_cache_bytes", "Bytes of kept answers.", labels=("model", "store"))
        forgotten = CounterMetricFamily(
            "edge_cache_forgets", "Messages to forget that were obeyed.", labels=("model",)
        )
        ahead = CounterMetricFamily(
            "edge_cache_prefetches",
            "Answers brought into memory before they were asked for.",
            labels=("model",),
        )
        for model, keep in self._caches.keeps.items():
            figures: CacheFigures = keep.figures
            for result, field in RESULTS.items():
                asked.add_metric((model, result), getattr(figures, field))
            size.add_metric((model, "memory"), keep.memory.bytes)
            evicted.add_metric((model, "memory"), keep.memory.evictions)
            if keep.disk is not None:
                size.add_metric((model, "disk"), keep.disk.bytes)
                evicted.add_metric((model, "disk"), keep.disk.evictions)
            forgotten.add_metric((model,), figures.forgotten)
            ahead.add_metric((model,), figures.foreseen)
        yield from (asked, evicted, size, forgotten, ahead)
