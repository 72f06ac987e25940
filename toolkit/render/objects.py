"""Topology → every object of it, in apply order. The way into rendering: `validate` stands before it, lint after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from toolkit.render.cluster_objects import cluster_objects
from toolkit.render.edge_agent import edge_agents
from toolkit.render.gang import gangs
from toolkit.render.job_flow import job_flows
from toolkit.render.job_template import job_templates
from toolkit.render.kubeedge_objects import kubeedge_objects
from toolkit.render.lock import Lock
from toolkit.render.rendered import RenderedObject
from toolkit.render.scheduler import scheduler_configs
from toolkit.render.service import services
from toolkit.render.sync_agents import sync_agents
from toolkit.topology.topology import Topology

_NO_LOCK = Lock()
_PARTS: tuple[Callable[[Topology, Lock, str], Iterable[RenderedObject]], ...] = (
    cluster_objects,
    scheduler_configs,
    edge_agents,
    services,
    gangs,
    sync_agents,
    job_templates,
    job_flows,
)
"""Each gives what one subject becomes in one cluster."""


def render(topology: Topology, lock: Lock = _NO_LOCK) -> tuple[RenderedObject, ...]:
    """Give all objects of a topology: equal topologies give equal objects, whatever the order in their files.

    Args:
        topology: a checked topology.
        lock: digests of images; without a row an image keeps its tag.

    Raises:
        RenderError: a template and a noun do not fit, or a value cannot reach where it is needed.
        UsageError, IntegrityError: a route of the devices cannot be carried out.
    """
    objects = [
        rendered
        for cluster in sorted(topology.clusters)
        for part in _PARTS
        for rendered in part(topology, lock, cluster)
    ]
    return tuple(sorted(objects, key=lambda rendered: rendered.order))
