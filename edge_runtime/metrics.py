"""The device's own figures for Prometheus: what it is, where its installations stand, its disk, a Jetson's GPU.

toolkit/render/monitoring/series.py lists them for rules and dashboards. Together with `serving.metrics` it makes the
page at /metrics; read at each scrape, from the event loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_runtime.jetson import GpuFigures
from edge_runtime.serving.metrics import ServingCollector, page
from edge_runtime.serving.models import ModelTable
from toolkit.wire.fingerprint import Fingerprint
from toolkit.wire.states import InstallState

_ONLY_GPU: Final = "0"
"""A Jetson has one GPU; the number that DCGM would give it."""


@dataclass(frozen=True)
class Condition:
    """What is shown of a device."""

    states: dict[str, InstallState]
    loads: dict[tuple[str, bool], int]
    """Times that a version was opened, by model and whether it worked."""
    connected: bool
    refused_documents: int
    disk_free_bytes: int
    gpu: GpuFigures | None
    second: Mapping[str, int] | None = None
    """What the HTTP road has brought, see `roads.SecondRoad`; None where there is none."""


class DeviceCollector(Collector):
    """Reads the device's condition at each scrape."""

    def __init__(self, fingerprint: Fingerprint, condition: Callable[[], Condition]) -> None:
        """Watch this device."""
        self._fingerprint = fingerprint
        self._condition = condition

    def collect(self) -> Iterator[Metric]:
        """Give every family."""
        condition = self._condition()
        facts = self._fingerprint
        names = ("tiers", "onnxruntime", "tensorrt", "architecture", "device_model", "l4t")
        info = GaugeMetricFamily("edge_info", "What this device is.", labels=names)
        info.add_metric([getattr(facts, name) for name in names], 1.0)
        states = GaugeMetricFamily(
            "edge_install_state", "1 for the state a model's installation is in.", labels=("model", "state")
        )
        for model, state in sorted(condition.states.items()):
            states.add_metric((model, state.value), 1.0)
        loads = CounterMetricFamily(
            "edge_model_loads", "Times that a version was opened.", labels=("model", "result")
        )
        for (model, worked), count in sorted(condition.loads.items()):
            loads.add_metric((model, "ok" if worked else "failed"), count)
        yield from (
            info,
            states,
            loads,
            GaugeMetricFamily(
                "edge_disk_free_bytes", "Bytes that may be written.", condition.disk_free_bytes
            ),
            GaugeMetricFamily("edge_connected", "1 while the broker is reached.", float(condition.connected)),
            CounterMetricFamily(
                "edge_documents_refused", "Documents that were not obeyed.", condition.refused_documents
            ),
        )
        second = condition.second or {}
        yield CounterMetricFamily(
            "edge_http_road_bytes", "Bytes of chunks that came over HTTP.", second.get("bytes", 0)
        )
        yield CounterMetricFamily(
            "edge_http_road_failures", "Times that HTTP was left for MQTT.", second.get("failures", 0)
        )
        if condition.gpu is not None:
            yield from _gpu(condition.gpu)


def _gpu(figures: GpuFigures) -> Iterator[Metric]:
    gauges = (
        ("edge_gpu_memory_used_bytes", "Shared memory in use.", figures.memory_used),
        ("edge_gpu_memory_total_bytes", "Shared memory.", figures.memory_total),
        ("edge_gpu_utilization_ratio", "Share of time that it worked.", figures.utilization),
        ("edge_gpu_temperature_celsius", "Temperature.", figures.temperature),
    )
    for name, text, value in gauges:
        if value is not None:
            gauge = GaugeMetricFamily(name, text, labels=("gpu",))
            gauge.add_metric((_ONLY_GPU,), value)
            yield gauge
    if figures.throttle_events is not None:
        events = CounterMetricFamily("edge_gpu_throttle_events", "Slowed down by current.", labels=("gpu",))
        events.add_metric((_ONLY_GPU,), figures.throttle_events)
        yield events


def metrics_page(
    table: ModelTable, fingerprint: Fingerprint, condition: Callable[[], Condition]
) -> Callable[[], bytes]:
    """Give a function that writes the page of /metrics."""
    registry = CollectorRegistry()
    registry.register(ServingCollector(table))
    registry.register(DeviceCollector(fingerprint, condition))
    return lambda: page(registry)
