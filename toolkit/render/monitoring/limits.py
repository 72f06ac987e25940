"""Limits of tiers.yaml as numbers in base units, for the `$limit` of alerts; None makes no alert."""

from __future__ import annotations

from toolkit.topology.topology import Topology
from toolkit.topology.units import Duration


def p99(topology: Topology) -> str | None:
    """Give the limit on answers' time in seconds."""
    limit = topology.alerts.p99
    return None if limit is None else f"{limit.seconds:g}"


def gpu_memory(topology: Topology) -> str | None:
    """Give the limit on a GPU's used memory, 0 to 1."""
    limit = topology.alerts.gpu_memory
    return None if limit is None else f"{limit.fraction:g}"


def load_failures(topology: Topology) -> str | None:
    """Give the limit on the share of failed loads, 0 to 1."""
    limit = topology.alerts.load_failures
    return None if limit is None else f"{limit.fraction:g}"


def queue(topology: Topology) -> str | None:
    """Give the limit on waiting requests."""
    limit = topology.alerts.queue
    return None if limit is None else str(limit)


def node_offline(topology: Topology) -> str | None:
    """Give how long a machine may be silent, as Prometheus writes durations."""
    limit = topology.alerts.node_offline
    return None if limit is None else prometheus_duration(limit)


def prometheus_duration(length: Duration) -> str:
    """Write a duration with one unit, as Prometheus takes it: `500ms`, `5m`."""
    return str(length)
