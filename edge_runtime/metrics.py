"""The device's own figures for Prometheus: what it is, where its installations stand, whether it is connected.

Together with `serving.metrics` it makes the page at /metrics; read at each scrape, from the event loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from edge_runtime.serving.metrics import ServingCollector, page
from edge_runtime.serving.models import ModelTable
from toolkit.wire.fingerprint import Fingerprint
from toolkit.wire.states import InstallState


@dataclass(frozen=True)
class Condition:
    """What is shown of a device."""

    states: dict[str, InstallState]
    connected: bool
    refused_documents: int


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
        yield from (
            info,
            states,
            GaugeMetricFamily("edge_connected", "1 while the broker is reached.", float(condition.connected)),
            CounterMetricFamily(
                "edge_documents_refused", "Documents that were not obeyed.", condition.refused_documents
            ),
        )


def metrics_page(
    table: ModelTable, fingerprint: Fingerprint, condition: Callable[[], Condition]
) -> Callable[[], bytes]:
    """Give a function that writes the page of /metrics."""
    registry = CollectorRegistry()
    registry.register(ServingCollector(table))
    registry.register(DeviceCollector(fingerprint, condition))
    return lambda: page(registry)
