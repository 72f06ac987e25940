"""Requests of CPU and memory that follow what pods use: a VerticalPodAutoscaler where a key `vertical` asks for one.

Servers of services, agents of tiers (`sync_agents`) and the depot (`depot`) have the key; the template is
autoscaling/verticalpodautoscaler.yaml.j2. It goes together with `autoscaling`, which counts servers by other figures; a
GPU is no matter of size, so the recommender is told of CPU and memory only, and of requests: limits stay as rendered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.placement import place_service, server_size
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.quantities import memory_quantity, quantities
from toolkit.render.rendered import RenderedObject
from toolkit.render.template import fill
from toolkit.topology.topology import Topology

CONTAINER = "server"
"""Name of a server's container in kubernetes/deployment.yaml.j2."""
LEAST: Mapping[str, str] = {"cpu": "250m", "memory": "512Mi"}
"""What a server that loads its first model needs in any case."""
MOST_CPU = "2"
"""Cores that an agent or a depot may ask for: it moves bytes and hashes them on one, and waits."""


@dataclass(frozen=True)
class VerticalView:
    """What autoscaling/verticalpodautoscaler.yaml.j2 names."""

    target: str
    """Name of the Deployment."""
    container: str
    least: Mapping[str, str]
    most: Mapping[str, str]


def vertical_autoscalers(topology: Topology, _lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give the VerticalPodAutoscaler of each service of the cluster that asks for one; a machine's part is the most.

    Raises:
        RenderError: the template does not fit.
    """
    for name, service in topology.services.items():
        placement = place_service(topology, name)
        if not service.vertical or placement.cluster != cluster:
            continue
        size = server_size(topology, name)
        view = VerticalView(name, CONTAINER, LEAST, quantities(cpus=size.cpus, memory=size.memory))
        metadata = Metadata(name, owner_labels(topology.name, "service", name), placement.namespace)
        yield _object(cluster, f"services.{name}", metadata, view)


def fitted_worker(
    cluster: str, source: str, metadata: Metadata, container: str, requests: Mapping[str, str], memory: int
) -> RenderedObject:
    """Give the VerticalPodAutoscaler of a Deployment with the same metadata.

    Args:
        cluster: name of the cluster.
        source: key of tiers.yaml that has `vertical`.
        metadata: of the Deployment.
        container: name of its only container.
        requests: what it asks for without the autoscaler, and at least.
        memory: its limit in bytes, and the most it asks for.

    Raises:
        RenderError: the template does not fit.
    """
    most = {"cpu": MOST_CPU, "memory": memory_quantity(memory)}
    return _object(cluster, source, metadata, VerticalView(metadata.name, container, requests, most))


def _object(cluster: str, source: str, metadata: Metadata, view: VerticalView) -> RenderedObject:
    body = fill("autoscaling/verticalpodautoscaler.yaml.j2", metadata, vertical=view)
    return RenderedObject(cluster, f"{source}.vertical", body)
