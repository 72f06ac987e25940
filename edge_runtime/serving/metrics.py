"""Counts of the served models as Prometheus collectors: the serving side's door to prometheus_client.

The daemon registers a `ServingCollector` in its registry and gives `page` to the server, which shows it at /metrics.
Names follow Prometheus' rules (base units, `_total`); triton's nv_inference_* measure the same things.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_runtime.serving.ask import Priority
from edge_runtime.serving.desk import Desk
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.shadow import Comparison
from edge_runtime.serving.stats import WHY_BATCHES_LEAVE, WHY_SHED, Histogram, ModelStats

LABELS = ("model", "version")
HISTOGRAMS: dict[str, tuple[str, Callable[[ModelStats], Histogram]]] = {
    "edge_inference_latency_seconds": ("Request complete to answer, ok ones.", lambda stats: stats.latency),
    "edge_inference_queue_seconds": ("Admission to engine.", lambda stats: stats.queued),
    "edge_inference_compute_seconds": ("One call of the engine.", lambda stats: stats.computed),
    "edge_inference_stages_seconds": ("Stages before or after the engine.", lambda stats: stats.staged),
    "edge_inference_batch_size": ("Rows of one call of the engine.", lambda stats: stats.batch),
}

SHADOWS: tuple[tuple[str, str, Callable[[Comparison], float | None]], ...] = (
    ("requests", "Requests that both versions answered.", lambda found: found.requests),
    ("failures", "Requests that only the new version failed.", lambda found: found.failures),
    ("max_difference", "Largest difference of two output values.", lambda found: found.max_difference),
    ("mean_difference", "Mean difference of output values.", lambda found: found.mean_difference),
    ("agreement_ratio", "Share of rows with the same best class.", lambda found: found.agreement),
    ("latency_ratio", "Time of its engine's calls over the old one's.", lambda found: found.latency_ratio),
)


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
        loaded = GaugeMetricFamily("edge_model_loaded", "1 when a version is in memory.", labels=("model",))
        first = GaugeMetricFamily(
            "edge_first_request_seconds", "The first answer of a version, loading included.", labels=LABELS
        )
        engines = GaugeMetricFamily(
            "edge_engine_info",
            "Always 1; which engine runs a version, and why not the other.",
            labels=(*LABELS, "engine", "engine_version", "reason", "plan"),
        )
        for stats in all_stats:
            about = stats.engine
            facts = (about.engine, about.version, about.reason, about.plan)
            engines.add_metric((stats.model, stats.version, *facts), 1.0)
            if stats.first_seconds is not None:
                first.add_metric((stats.model, stats.version), stats.first_seconds)
            for outcome, count in sorted(stats.outcomes.items()):
                requests.add_metric((stats.model, stats.version, outcome), count)
            waiting.add_metric((stats.model, stats.version), stats.waiting)
        for name in self._table.names:
            serving.add_metric((name,), float(bool(self._table.version(name))))
            loaded.add_metric((name,), float(self._table.loaded(name)))
        yield from (requests, waiting, serving, loaded, first, engines)
        yield from _scheduling(all_stats)
        yield from self._shadows()
        for name, (text, pick) in HISTOGRAMS.items():
            family = HistogramMetricFamily(name, text, labels=LABELS)
            for stats in all_stats:
                histogram = pick(stats)
                family.add_metric((stats.model, stats.version), histogram.buckets(), histogram.sum)
            yield family

    def _shadows(self) -> Iterator[Metric]:
        """Give how the last version in a shadow did; nothing where none ever was."""
        compared = self._table.comparisons()
        for name, text, pick in SHADOWS:
            family = GaugeMetricFamily(f"edge_shadow_{name}", text, labels=LABELS)
            for model, version, found in compared:
                if (value := pick(found)) is not None:
                    family.add_metric((model, version), value)
            if family.samples:
                yield family


class LadderCollector(Collector):
    """Reads at each scrape how far each model's service is cut back."""

    def __init__(self, desk: Desk) -> None:
        """Watch this desk."""
        self._desk = desk

    def collect(self) -> Iterator[Metric]:
        """Give every family."""
        rung = GaugeMetricFamily(
            "edge_ladder_rung", "How far a model's service is cut back.", labels=("model",)
        )
        steps = CounterMetricFamily(
            "edge_ladder_steps", "Steps to this rung.", labels=("model", "rung", "reason")
        )
        offloaded = CounterMetricFamily(
            "edge_offload_requests", "Questions that went to another machine.", labels=("model", "outcome")
        )
        for name, where in self._desk.rungs.items():
            for outcome in ("ok", "failed"):
                offloaded.add_metric((name, outcome), self._desk.offloaded[name, outcome])
            rung.add_metric((name,), float(where))
            steps.add_metric((name, "full", "start"), 1)
        for (name, where_to, reason), count in sorted(self._desk.steps.items()):
            steps.add_metric((name, where_to, reason), count)
        yield from (rung, steps, offloaded)


def _scheduling(all_stats: Sequence[ModelStats]) -> Iterator[Metric]:
    """Say why calls left and why requests got no turn; what has not happened yet is there as 0."""
    batches = CounterMetricFamily(
        "edge_inference_batches", "Calls of the engine by why they left.", labels=(*LABELS, "reason")
    )
    shed = CounterMetricFamily(
        "edge_inference_shed", "Requests that got no turn.", labels=(*LABELS, "reason", "priority")
    )
    for stats in all_stats:
        labels = (stats.model, stats.version)
        for why in WHY_BATCHES_LEAVE:
            batches.add_metric((*labels, why), stats.batches[why])
        for why in WHY_SHED:
            for priority in Priority:
                shed.add_metric((*labels, why, priority.name.lower()), stats.shed[why, priority.name])
    yield from (batches, shed)


def page(registry: CollectorRegistry) -> bytes:
    """Write everything in this registry in Prometheus' text format."""
    return generate_latest(registry)
