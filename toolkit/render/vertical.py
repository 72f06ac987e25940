"""Requests of CPU and memory that follow what servers use: a VerticalPodAutoscaler where `services.NAME.vertical` asks.

Between `placement` (a server's part of a machine, which is the most it may ask for) and the template
autoscaling/verticalpodautoscaler.yaml.j2. It goes together with `autoscaling`, which counts servers by other figures; a
GPU is no matter of size, so the recommender is told of CPU and memory only, and of requests: limits stay as rendered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.placement import place_service, server_size
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.quantities import quantities
from toolkit.render.rendered import RenderedObject
from toolkit.render.template import fill
from toolkit.topology.topology import Topology

CONTAINER = "server"
"""Name of a server's container in kubernetes/deployment.yaml.j2."""
LEAST: Mapping[str, str] = {"cpu": "250m", "memory": "512Mi"}
"""What a server that loads its first model needs in any case."""


@dataclass(frozen=True)
class VerticalView:
    """What autoscaling/verticalpodautoscaler.yaml.j2 names."""

    target: str
    """Name of the Deployment."""
    container: str
    least: Mapping[str, str]
    most: Mapping[str, str]


def vertical_autoscalers(topology: Topology, _lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give the VerticalPodAutoscaler of each service of the cluster that asks for one.

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
        body = fill("autoscaling/verticalpodautoscaler.yaml.j2", metadata, vertical=view)
        yield RenderedObject(cluster, f"services.{name}.vertical", body)
