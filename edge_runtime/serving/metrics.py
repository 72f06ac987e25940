"""Counts of the served models as Prometheus collectors: the serving side's door to prometheus_client.

The daemon registers a `ServingCollector` in its registry and gives `page` to the server, which shows it at /metrics.
Names follow Prometheus' rules (base units, `_total`); triton's nv_inference_* measure the same things.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.stats import Histogram, ModelStats

LABELS = ("model", "version")
HISTOGRAMS: dict[str, tuple[str, Callable[[ModelStats], Histogram]]] = {
    "edge_inference_latency_seconds": ("Request complete to answer, ok ones.", lambda stats: stats.latency),
    "edge_inference_queue_seconds": ("Admission to engine.", lambda stats: stats.queued),
    "edge_inference_compute_seconds": ("One call of the engine.", lambda stats: stats.computed),
    "edge_inference_batch_size": ("Rows of one call of the engine.", lambda stats: stats.batch),
}


class ServingCollector(Collector):
    """Reads the table's counts at each scrape."""

    def __init__(self, table: ModelTable) -> None:
        """Watch this table."""
        self._table = table

    def collect(self) -> Iterator[Metric]:
        """Give every family with one sample set per model and version."""
        all_stats = self._table.stats()
        requests = CounterMetricFamily(
            "edge_inference_requests", "Requests by what became of them.", labels=(*LABELS, "outcome")
        )
        waiting = GaugeMetricFamily(
            "edge_inference_pending_requests", "Requests that wait now.", labels=LABELS
        )
        serving = GaugeMetricFamily("edge_model_ready", "1 when a version is served.", labels=("model",))
        for stats in all_stats:
            for outcome, count in sorted(stats.outcomes.items()):
                requests.add_metric((stats.model, stats.version, outcome), count)
            waiting.add_metric((stats.model, stats.version), stats.waiting)
        for name in self._table.names:
            serving.add_metric((name,), float(bool(self._table.version(name))))
        yield from (requests, waiting, serving)
        for name, (text, pick) in HISTOGRAMS.items():
            family = HistogramMetricFamily(name, text, labels=LABELS)
            for stats in all_stats:
                histogram = pick(stats)
                family.add_metric((stats.model, stats.version), histogram.buckets(), histogram.sum)
            yield family


def page(registry: CollectorRegistry) -> bytes:
    """Write everything in this registry in Prometheus' text format."""
    return generate_latest(registry)
