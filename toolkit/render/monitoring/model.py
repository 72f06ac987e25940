"""What monitoring is made of, in words of ours: series, recordings, alerts, groups.

The catalogues are written with these; `rules` completes them for one topology, `operator` and `plain` write them down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

from toolkit.topology.topology import Topology

Severity: TypeAlias = Literal["critical", "warning", "info"]
"""critical: somebody is called at night; warning: somebody looks today; info: it is good to know."""


class Subject(Enum):
    """What a rule is about; a topology without it gets no such rule, because it could never fire."""

    DAEMONS = "the daemon, on devices or in services"
    SERVICES = "servers of services"
    DEVICES = "devices that Prometheus can ask (monitoring.devices)"
    GPUS = "GPUs of servers, by DCGM"
    ANY_GPU = "GPUs of servers or of devices"
    GANGS = "queues and jobs of Volcano"
    NODES = "machines as Kubernetes sees them (kube-state-metrics)"
    CRON_JOBS = "routes that CronJobs run (kube-state-metrics)"
    ROUTES = "routes that somebody runs by the clock and Prometheus can ask"


@dataclass(frozen=True)
class Series:
    """One metric that is read: `labels` are its own, besides those that scraping attaches."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    source: str
    """Who exports it."""
    labels: tuple[str, ...]
    explains: str
    comes_with: str = ""
    """What brings the source, when it is not on every site or not there yet."""


@dataclass(frozen=True)
class Recording:
    """A recording rule. In `expr` stand `$ours`, `$place`; see `rules`."""

    record: str
    expr: str
    explains: str
    subject: Subject


@dataclass(frozen=True)
class Alert:
    """An alerting rule and its page for the person at three in the morning.

    `expr` and `hold` may name `$ours`, `$place`, `$limit`, `$after`, `$queues`; see `rules`.
    """

    name: str
    severity: Severity
    subject: Subject
    expr: str
    hold: str
    """How long `expr` has to hold before somebody is called; `0s` is at once."""
    summary: str
    """One line, in Prometheus' template language."""
    description: str
    means: str
    why: str
    next: tuple[str, ...]
    """Commands to type, in order."""
    limit: Callable[[Topology], str | None] = lambda _: ""
    """Value of `$limit` in base units; None when tiers.yaml sets no limit, so that there is no alert."""
    key: str = ""
    """The key of tiers.yaml that `limit` reads."""


@dataclass(frozen=True)
class Rule:
    """A complete rule, as Prometheus takes it: either `record` or `alert` is set."""

    expr: str
    record: str = ""
    alert: str = ""
    hold: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Group:
    """Rules that are evaluated one after the other, so that a rule may read what one before it records."""

    name: str
    rules: tuple[Rule, ...]
