"""Everything that KubeEdge does in a cluster beside running pods: one function a subject, one list of them.

Between `objects` (all of rendering) and the subjects; `kubeedge_config` asks it which switches have to be on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from toolkit.render.cluster_objects import node_groups
from toolkit.render.lock import Lock
from toolkit.render.messages import messages
from toolkit.render.node_upgrade import node_upgrades
from toolkit.render.prepull import prepulls
from toolkit.render.rendered import RenderedObject
from toolkit.render.sensors import sensors
from toolkit.topology.topology import Topology

_PARTS: tuple[Callable[[Topology, Lock, str], Iterable[RenderedObject]], ...] = (
    prepulls,
    node_upgrades,
    sensors,
    messages,
)


def kubeedge_objects(topology: Topology, lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give what KubeEdge gets beside node groups and pods. Raises RenderError."""
    for part in _PARTS:
        yield from part(topology, lock, cluster)


def all_for_kubeedge(topology: Topology, cluster: str) -> Iterator[RenderedObject]:
    """Give every object of a cluster that KubeEdge itself works on, with images by their tags. Raises RenderError."""
    yield from node_groups(topology, cluster)
    yield from kubeedge_objects(topology, Lock(), cluster)
