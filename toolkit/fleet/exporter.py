"""What depot and driver have done, as a page for Prometheus: the fleet's only door to prometheus_client.

`tiers depot --metrics` and `tiers rollout run --metrics` serve it from a thread of its own; every figure is read at
the scrape from what `depot` and `steer` count anyway. The names stand in toolkit/render/monitoring/series.py.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from toolkit.errors import UsageError
from toolkit.fleet.depot import Depot
from toolkit.fleet.listen import Listen
from toolkit.fleet.steer import Steering
from toolkit.fleet.wanted import leading, reports_of
from toolkit.wire.frame import Refusal

REASONS: Final = (*(each.name.lower() for each in Refusal), "unreadable")
"""Every reason to refuse a request, shown from the start, so that the first one counts as an increase."""
UNREPORTED: Final = "UNREPORTED"
"""State of a device of a rollout that has said nothing about it yet."""


class DepotCollector(Collector):
    """Reads a depot's counts at each scrape."""

    def __init__(self, depot: Depot) -> None:
        """Watch this depot."""
        self._depot = depot

    def collect(self) -> Iterator[Metric]:
        """Give every family."""
        depot = self._depot
        counters, waiting = depot.counters, depot.waiting
        refused = CounterMetricFamily(
            "tiers_depot_refused", "Requests that were not served, by reason.", labels=("reason",)
        )
        for reason in sorted({*REASONS, *counters.refused}):
            refused.add_metric((reason,), counters.refused[reason])
        sent = CounterMetricFamily("tiers_depot_sent_bytes", "Bytes that were sent.", labels=("road",))
        sent.add_metric(("mqtt",), counters.bytes_sent)
        for road, size in sorted(depot.other_roads.items()):
            sent.add_metric((road,), size())
        yield from (refused, sent)
        counts = (
            ("requests", "Requests that came.", counters.requests),
            ("frames", "Frames that were sent.", counters.frames),
            ("manifests_laid_out", "Manifests that were laid out.", depot.manifests),
            ("read_chunks", "Chunks that were read from the registry.", counters.chunks_read),
            ("read_seconds", "Time spent reading them.", counters.read_seconds),
            ("limited_seconds", "Time in which only a rate held frames back.", counters.limited_seconds),
            ("registry_errors", "Times that the registry did not answer.", counters.registry_errors),
        )
        for name, text, value in counts:
            yield CounterMetricFamily(f"tiers_depot_{name}", text, value)
        gauges = (
            ("connected", "1 while the broker is reached.", float(depot.connected)),
            ("damaged_chunks", "Places of the registry found damaged.", len(counters.damaged)),
            ("waiting_devices", "Devices that wait for chunks now.", waiting.devices),
            ("waiting_bytes", "Bytes of the chunks that they wait for.", waiting.size),
        )
        for name, text, value in gauges:
            yield GaugeMetricFamily(f"tiers_depot_{name}", text, value)


class DriverCollector(Collector):
    """Reads where a driver's rollouts stand at each scrape."""

    def __init__(self, driver: Steering, clock: Callable[[], float] = time.monotonic) -> None:
        """Watch this driver; `clock` is the one that its `tick` is given."""
        self._driver = driver
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Give every family. Only the active driver knows where rollouts stand."""
        driver = self._driver
        active = bool(driver.term) and not driver.standing_by
        yield GaugeMetricFamily("tiers_driver_term", "Number of its term; 0 before it has one.", driver.term)
        yield GaugeMetricFamily("tiers_driver_active", "1 for the driver that acts.", float(active))
        yield CounterMetricFamily(
            "tiers_driver_documents_written", "Desired states that were written.", driver.written
        )
        if driver.looked_at is not None:
            age = max(0.0, self._clock() - driver.looked_at)
            yield GaugeMetricFamily("tiers_driver_look_age_seconds", "Time since it last looked.", age)
        yield from self._rollouts()

    def _rollouts(self) -> Iterator[Metric]:
        driver = self._driver
        progress, retained = dict(driver.progress), driver.watch.retained
        names = ("rollout", "model")
        state = GaugeMetricFamily(
            "tiers_driver_rollout_state", "1 for the state of a rollout.", labels=(*names, "state")
        )
        wave = GaugeMetricFamily(
            "tiers_driver_rollout_wave", "Number of its present wave, from 1.", labels=(*names, "waves")
        )
        devices = GaugeMetricFamily(
            "tiers_driver_rollout_devices", "Its devices by state.", labels=(*names, "state")
        )
        refused = GaugeMetricFamily(
            "tiers_driver_rollout_refused_devices", "Devices that refused it.", labels=names
        )
        for rollout in leading(list(retained.rollouts.values())).values():
            if rollout.name not in progress:
                continue
            stands, label = progress[rollout.name], (rollout.name, rollout.spec.model)
            state.add_metric((*label, stands.state.value), 1.0)
            wave.add_metric((*label, str(len(rollout.spec.waves))), stands.wave + 1)
            refused.add_metric(label, stands.refused)
            reports = reports_of(rollout, dict(retained.reports))
            counted = Counter(
                reports[device].state.value if device in reports else UNREPORTED
                for device in rollout.spec.devices
            )
            for name, count in sorted(counted.items()):
                devices.add_metric((*label, name), count)
        yield from (state, wave, devices, refused)


def serve_metrics(listen: Listen, collectors: Sequence[Collector]) -> WSGIServer:
    """Answer at http(s)://ADDRESS/metrics from a thread of its own, until the process ends or it is shut down.

    Args:
        listen: where; `server_port` of the result tells which port was taken for 0.
        collectors: what is shown.

    Raises:
        UsageError: the address is taken, or a file of TLS cannot be used.
    """
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    try:
        server, _ = start_http_server(
            listen.port,
            listen.host,
            registry,
            certfile=str(listen.certificate) if listen.certificate else None,
            keyfile=str(listen.key) if listen.key else None,
        )
    except OSError as exc:
        raise UsageError(
            f"{listen.option} {listen.host}:{listen.port}: {exc.strerror or exc}",
            hint="name a free port and readable files",
        ) from exc
    return server
