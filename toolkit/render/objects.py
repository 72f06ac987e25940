"""Topology → every object of it, in apply order. The way into rendering: `validate` stands before it, lint after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from toolkit.errors import RenderError
from toolkit.render.ahead import ahead_tasks
from toolkit.render.autoscaling import autoscalers
from toolkit.render.broker import brokers
from toolkit.render.cluster_objects import cluster_objects
from toolkit.render.cron_job import cron_jobs
from toolkit.render.dashboards.provision import dashboards
from toolkit.render.depot import depots
from toolkit.render.edge_agent import edge_agents
from toolkit.render.gang import gangs
from toolkit.render.gpu_sharing import device_plugins
from toolkit.render.hypernodes import hypernodes
from toolkit.render.job_flow import job_flows
from toolkit.render.job_template import job_templates
from toolkit.render.kubeedge_objects import kubeedge_objects
from toolkit.render.lifecycle import lifecycles
from toolkit.render.lock import Lock
from toolkit.render.monitoring.operator import monitoring_objects
from toolkit.render.network_policies import network_policies
from toolkit.render.rendered import RenderedObject
from toolkit.render.scheduler import scheduler_configs
from toolkit.render.service import services
from toolkit.render.storage import storages
from toolkit.render.sync_agents import sync_agents
from toolkit.render.vertical import vertical_autoscalers
from toolkit.topology.topology import Topology

LARGEST_OBJECT = 1024 * 1024
"""Bytes as JSON: what Kubernetes takes in a ConfigMap. etcd refuses 1.5 MiB, of which the fields' owners are a part."""
_NO_LOCK = Lock()
_PARTS: tuple[Callable[[Topology, Lock, str], Iterable[RenderedObject]], ...] = (
    cluster_objects,
    scheduler_configs,
    edge_agents,
    kubeedge_objects,
    services,
    autoscalers,
    vertical_autoscalers,
    gangs,
    ahead_tasks,
    device_plugins,
    hypernodes,
    cron_jobs,
    job_templates,
    job_flows,
    sync_agents,
    lifecycles,
    storages,
    brokers,
    depots,
    network_policies,
    monitoring_objects,
    dashboards,
)
"""Each gives what one subject becomes in one cluster."""


def render(topology: Topology, lock: Lock = _NO_LOCK) -> tuple[RenderedObject, ...]:
    """Give all objects of a topology: equal topologies give equal objects, whatever the order in their files.

    Args:
        topology: a checked topology.
        lock: digests of images; without a row an image keeps its tag.

    Raises:
        RenderError: a template and a noun do not fit, a value cannot reach where it is needed, or an object is
            larger than a cluster keeps.
        UsageError, IntegrityError: a route of the devices cannot be carried out.
    """
    objects = [
        rendered
        for cluster in sorted(topology.clusters)
        for part in _PARTS
        for rendered in part(topology, lock, cluster)
    ]
    for rendered in objects:
        _refuse_larger(rendered)
    return tuple(sorted(objects, key=lambda rendered: rendered.order))


def _refuse_larger(rendered: RenderedObject) -> None:
    size = len(msgspec.json.encode(rendered.body))
    if size > LARGEST_OBJECT:
        what = f"{rendered.source}: {rendered.kind} {rendered.name}"
        raise RenderError(
            f"{what} would have {size} bytes, a cluster keeps {LARGEST_OBJECT}",
            hint=f"divide {rendered.source}, so that each part names fewer machines",
        )
