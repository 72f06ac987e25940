"""The device's own figures for Prometheus: what it is, where its installations stand, its disk, sensors, GPU.

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

from edge_runtime.facts import jetpack_of
from edge_runtime.jetson import GpuFigures
from edge_runtime.journal import OWN_KINDS
from edge_runtime.posting import Outbox
from edge_runtime.sensors import UNKNOWN, Readings
from edge_runtime.serving.metrics import ServingCollector, page
from edge_runtime.serving.models import ModelTable
from toolkit.wire.fingerprint import Fingerprint
from toolkit.wire.records import PRIORITIES
from toolkit.wire.states import InstallState

_ONLY_GPU: Final = "0"
"""A Jetson has one GPU; the number that DCGM would give it."""
INFO: Final[dict[str, Callable[[Fingerprint, Readings], str]]] = {
    "tiers": lambda facts, _: facts.tiers,
    "onnxruntime": lambda facts, _: facts.onnxruntime,
    "tensorrt": lambda facts, _: facts.tensorrt,
    "architecture": lambda facts, _: facts.architecture,
    "device_model": lambda facts, _: facts.device_model,
    "l4t": lambda facts, _: facts.l4t,
    "jetpack": lambda facts, _: jetpack_of(facts.l4t),
    "sm": lambda facts, _: facts.compute_capability,
    "power_mode": lambda _, readings: readings.power_mode,
}
"""Labels of edge_info, and where each comes from."""


@dataclass(frozen=True)
class Condition:
    """What is shown of a device."""

    states: dict[str, InstallState]
    loads: dict[tuple[str, bool], int]
    """Times that a version was opened, by model and whether it worked."""
    connected: bool
    refused_documents: int
    disk_free_bytes: int
    readings: Readings = UNKNOWN
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
        info = GaugeMetricFamily("edge_info", "What this device is.", labels=list(INFO))
        info.add_metric([give(facts, condition.readings) for give in INFO.values()], 1.0)
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
        yield from _sensors(condition.readings)
        if condition.readings.gpu is not None:
            yield from _gpu(condition.readings.gpu)


def _sensors(readings: Readings) -> Iterator[Metric]:
    for name, text, label, values in (
        ("edge_temperature_celsius", "Temperature of a thermal zone.", "zone", readings.zones),
        ("edge_power_watts", "What a power rail carries.", "rail", readings.rails),
    ):
        gauge = GaugeMetricFamily(name, text, labels=(label,))
        for each, value in values.items():
            gauge.add_metric((each,), value)
        if values:
            yield gauge
    if readings.throttled is not None:
        yield GaugeMetricFamily(
            "edge_throttled", "1 while heat or current slows the machine down.", float(readings.throttled)
        )
    if readings.throttle_events is not None:
        events = CounterMetricFamily("edge_gpu_throttle_events", "Slowed down by current.", labels=("gpu",))
        events.add_metric((_ONLY_GPU,), readings.throttle_events)
        yield events


def _gpu(figures: GpuFigures) -> Iterator[Metric]:
    gauges = (
        ("edge_gpu_memory_used_bytes", "Memory in use.", figures.memory_used),
        ("edge_gpu_memory_total_bytes", "Memory.", figures.memory_total),
        ("edge_gpu_utilization_ratio", "Share of time that it worked.", figures.utilization),
        ("edge_gpu_temperature_celsius", "Temperature.", figures.temperature),
        ("edge_gpu_clock_hertz", "Its clock.", figures.hertz),
    )
    for name, text, value in gauges:
        if value is not None:
            gauge = GaugeMetricFamily(name, text, labels=("gpu",))
            gauge.add_metric((_ONLY_GPU,), value)
            yield gauge


class OutboxCollector(Collector):
    """Reads at each scrape how full the outbox is."""

    def __init__(self, outbox: Callable[[], Outbox | None]) -> None:
        """Watch the outbox that this gives; without one there are no series."""
        self._outbox = outbox

    def collect(self) -> Iterator[Metric]:
        """Give every family."""
        outbox = self._outbox()
        if outbox is None:
            return
        fill = outbox.fill()
        waiting = GaugeMetricFamily("edge_outbox_records", "Records that wait.", labels=("priority",))
        for priority, count in zip(PRIORITIES, fill.records, strict=True):
            waiting.add_metric((str(priority),), count)
        dropped = CounterMetricFamily(
            "edge_outbox_dropped", "Records dropped for want of room.", labels=("kind", "priority")
        )
        never = dict.fromkeys(OWN_KINDS.items(), (0, 0))  # so that the first drop is an increase
        for (kind, priority), (count, _) in sorted({**never, **fill.dropped}.items()):
            dropped.add_metric((kind, str(priority)), count)
        refused = CounterMetricFamily(
            "edge_outbox_refused", "Records not accepted since the start.", labels=("kind",)
        )
        for kind, count in sorted({**dict.fromkeys(OWN_KINDS, 0), **outbox.refused}.items()):
            refused.add_metric((kind,), count)
        yield from (
            waiting,
            dropped,
            refused,
            GaugeMetricFamily("edge_outbox_bytes", "Bytes of records that wait.", fill.used_bytes),
            GaugeMetricFamily("edge_outbox_budget_bytes", "Bytes that may wait.", fill.cap_bytes),
        )


def metrics_page(
    table: ModelTable, fingerprint: Fingerprint, condition: Callable[[], Condition], *others: Collector
) -> Callable[[], bytes]:
    """Give a function that writes the page of /metrics."""
    registry = CollectorRegistry()
    for other in others:
        registry.register(other)
    registry.register(ServingCollector(table))
    registry.register(DeviceCollector(fingerprint, condition))
    return lambda: page(registry)
