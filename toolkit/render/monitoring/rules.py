"""The catalogues, completed for one topology: groups of rules as Prometheus takes them.

Between the catalogues (`recordings`, `alerts_*`) and the two forms (`operator`, `plain`). A rule whose subject the
topology does not have is left out: it could never fire, and an alert that cannot fire is worse than none. Groups that
are made whole elsewhere, such as the one that autoscaling reads, are EXTRA_GROUPS.

What the catalogues leave open: `$ours` the matcher of this topology, `$place` the labels of a place, `$limit` the
alert's limit, `$after` alerts.after, `$queues` and `$namespaces` the topology's as regular expressions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from string import Template
from typing import Final

from toolkit.placement import DEFAULT_QUEUE, cluster_wide_name
from toolkit.render.monitoring.alerts_gpu import GPU_ALERTS
from toolkit.render.monitoring.alerts_serving import SERVING_ALERTS
from toolkit.render.monitoring.alerts_work import WORK_ALERTS
from toolkit.render.monitoring.labels import BY_PLACE, TOPOLOGY, ours
from toolkit.render.monitoring.limits import prometheus_duration
from toolkit.render.monitoring.model import Alert, Group, Recording, Rule, Subject
from toolkit.render.monitoring.recordings import RECORDINGS
from toolkit.render.monitoring.scale import scale_groups
from toolkit.render.monitoring.scrape import has_cards, watched_agents
from toolkit.render.sync_agents import starts_cron_jobs
from toolkit.topology.monitoring import Monitoring
from toolkit.topology.topology import Topology

ALERTS: Final = (*SERVING_ALERTS, *GPU_ALERTS, *WORK_ALERTS)
"""The whole catalogue."""
EXTRA_GROUPS: Final[tuple[Callable[[Topology, frozenset[str]], Iterable[Group]], ...]] = (scale_groups,)
"""Groups about pods that are made elsewhere; each gets the topology and the names of the clusters that are meant."""
ALERTS_PAGE: Final = "alerts.md"


def groups(topology: Topology, monitoring: Monitoring, clusters: Iterable[str]) -> tuple[Group, ...]:
    """Give every group of rules for the parts of a topology that stand in some clusters.

    Args:
        topology: a checked topology.
        monitoring: its key `monitoring`.
        clusters: names of clusters: the one of an operator, or all for a plain Prometheus.
    """
    meant = frozenset(clusters)
    there = subjects(topology, monitoring, meant)
    recordings = [_recording(each, topology) for each in RECORDINGS if each.subject in there]
    alerts = [rule for each in ALERTS if each.subject in there for rule in _alert(each, topology, monitoring)]
    made = [
        Group(f"{topology.name}.recordings", tuple(recordings)),
        Group(f"{topology.name}.alerts", tuple(alerts)),
        *(group for extra in EXTRA_GROUPS if monitoring.asks_pods for group in extra(topology, meant)),
    ]
    return tuple(group for group in made if group.rules)


def subjects(topology: Topology, monitoring: Monitoring, clusters: frozenset[str]) -> frozenset[Subject]:
    """Say what of a topology there is to watch in some clusters."""
    pools = [placed for placed in topology.pools() if topology.cluster_of(placed) in clusters]
    edge = [placed for placed in pools if placed.tier_name == "edge"]
    names = {placed.name for placed in pools}
    asked = bool(edge) and monitoring.devices is not None
    pods = monitoring.asks_pods
    cards = pods and any(has_cards(placed) for placed in pools)
    serving = pods and any(service.pool in names for service in topology.services.values())
    gangs = pods and any(job.pool in names for job in topology.jobs.values())
    found = {
        Subject.DAEMONS: asked or serving,
        Subject.SERVICES: serving,
        Subject.DEVICES: asked,
        Subject.GPUS: cards,
        Subject.ANY_GPU: cards or (asked and any(placed.gpus_per_node for placed in edge)),
        Subject.GANGS: gangs,
        Subject.NODES: monitoring.kind == "operator",
        Subject.CRON_JOBS: monitoring.kind == "operator" and _cron_jobs(topology, names),
        Subject.ROUTES: pods and any(watched_agents(topology, cluster) for cluster in clusters),
    }
    return frozenset(subject for subject, there in found.items() if there)


def _cron_jobs(topology: Topology, pools: set[str]) -> bool:
    tiers = [name for name, tier in topology.tiers.items() if tier.agent and tier.agent.pool in pools]
    return any(starts_cron_jobs(topology, name) for name in tiers)


def _recording(each: Recording, topology: Topology) -> Rule:
    return Rule(expr=_filled(each.expr, topology), record=each.record)


def _alert(each: Alert, topology: Topology, monitoring: Monitoring) -> Iterator[Rule]:
    limit = each.limit(topology)
    if limit is None:
        return
    page = f"{ALERTS_PAGE}#{each.name.lower()}"
    base = monitoring.runbooks
    annotations = (
        ("summary", each.summary),
        ("description", _filled(each.description, topology, limit)),
        ("next", each.next[0]),
        ("runbook_url", f"{base.rstrip('/')}/{page}") if base else ("runbook", f"docs/reference/{page}"),
    )
    hold = _filled(each.hold, topology, limit)
    yield Rule(
        expr=_filled(each.expr, topology, limit),
        alert=each.name,
        hold="" if hold == "0s" else hold,
        labels=(("severity", each.severity), (TOPOLOGY, topology.name)),
        annotations=annotations,
    )


def _filled(text: str, topology: Topology, limit: str = "") -> str:
    """Put the topology's values into a text. `{{ $labels.x }}` of Prometheus' templates stays as it is."""
    queues = sorted({cluster_wide_name(topology, name) for name in topology.queues})
    return Template(text).safe_substitute(
        ours=ours(topology.name),
        place=BY_PLACE,
        limit=limit,
        after=prometheus_duration(topology.alerts.after),
        namespaces="|".join(sorted({topology.namespace(cluster) for cluster in topology.clusters})),
        queues="|".join(queues) or DEFAULT_QUEUE,
    )
