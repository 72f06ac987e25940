"""What a sync agent has done, for Prometheus: the agent counts each run here, and Prometheus asks at /metrics.

Beside `sync_agent`. Only an agent that stays can be asked; one that a CronJob starts ends before anybody does, and says
what it did in its log alone. The names stand in toolkit/render/monitoring/series.py, whose rules read them.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable
from pathlib import Path
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from toolkit.errors import UsageError
from toolkit.sync.result import SyncResult
from toolkit.sync.task import SyncTask

ROUTE = ("route",)


class SyncMetrics:
    """The figures of one agent."""

    def __init__(self, tasks: Iterable[SyncTask], registry: CollectorRegistry | None = None) -> None:
        """Begin with every route at nothing, so that a route that never succeeds shows as well.

        Args:
            tasks: what the agent runs.
            registry: where the figures are kept; a new one when None.
        """
        self.registry = registry if registry is not None else CollectorRegistry()
        self._runs = Counter(
            "tiers_sync_runs", "Runs by how they ended.", (*ROUTE, "outcome"), registry=self.registry
        )
        self._moved = Counter(
            "tiers_sync_moved_bytes", "Bytes that moved, in stored form.", ROUTE, registry=self.registry
        )
        self._saved = Counter(
            "tiers_sync_saved_bytes",
            "Bytes of changed files that did not have to move.",
            ROUTE,
            registry=self.registry,
        )
        self._files = Gauge(
            "tiers_sync_files", "Files of the source at the last run.", ROUTE, registry=self.registry
        )
        self._left = Gauge(
            "tiers_sync_left_files", "Files that the last run left behind.", ROUTE, registry=self.registry
        )
        self._seconds = Gauge(
            "tiers_sync_last_run_seconds", "How long the last run took.", ROUTE, registry=self.registry
        )
        self._success = Gauge(
            "tiers_sync_last_success_timestamp_seconds",
            "When the last run ended well, in Unix time; when the agent started, before there was one.",
            ROUTE,
            registry=self.registry,
        )
        self._period = Gauge(
            "tiers_sync_period_seconds", "Time between two runs.", ROUTE, registry=self.registry
        )
        now = time.time()
        for task in tasks:
            for outcome in ("ok", "failed"):
                self._runs.labels(task.route, outcome)
            for family in (self._moved, self._saved, self._files, self._left, self._seconds):
                family.labels(task.route)
            self._success.labels(task.route).set(now)
            if task.every_seconds:
                self._period.labels(task.route).set(task.every_seconds)

    def ended(self, result: SyncResult) -> None:
        """Count a run that came to its end, well or not."""
        route = result.route
        self._runs.labels(route, "failed" if result.exit_code else "ok").inc()
        self._moved.labels(route).inc(result.bytes_moved)
        self._saved.labels(route).inc(max(result.bytes_saved, 0))
        self._files.labels(route).set(result.files)
        left = len(result.problems) + sum(len(target.problems) for target in result.targets)
        self._left.labels(route).set(left)
        self._seconds.labels(route).set(result.seconds)
        if not result.exit_code:
            self._success.labels(route).set_to_current_time()

    def broke_off(self, task: SyncTask) -> None:
        """Count a run that an error ended."""
        self._runs.labels(task.route, "failed").inc()


def serve(
    metrics: SyncMetrics, address: str, certificate: Path | None = None, key: Path | None = None
) -> WSGIServer:
    """Answer at http(s)://ADDRESS/metrics from a thread of its own, until the process ends.

    Args:
        metrics: what is shown.
        address: HOST:PORT; an IPv6 host in brackets. Port 0 takes a free one, which the result's `server_port` tells.
        certificate: PEM of the server's certificate; needed beyond loopback.
        key: PEM of its key.

    Raises:
        UsageError: the address cannot be used, or it is not loopback and there is no certificate.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        loopback = ipaddress.ip_address(host).is_loopback
        number = int(port)
    except ValueError as exc:
        raise UsageError(f"--metrics {address}: {exc}", hint="write --metrics 127.0.0.1:9108") from exc
    if not loopback and (certificate is None or key is None):
        raise UsageError(
            f"--metrics {address} is reached from elsewhere, and so needs TLS",
            hint="give --certificate and --key, or --metrics 127.0.0.1:9108",
        )
    try:
        server, _ = start_http_server(
            number,
            host,
            metrics.registry,
            certfile=str(certificate) if certificate else None,
            keyfile=str(key) if key else None,
        )
    except OSError as exc:
        raise UsageError(
            f"--metrics {address}: {exc.strerror or exc}", hint="name a free port and readable files"
        ) from exc
    return server
