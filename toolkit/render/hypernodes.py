"""Racks of pools → Volcano HyperNodes: which machines are near each other. Names are cluster-wide.

Between `placement` and the template volcano/hypernode.yaml.j2. A rack is a HyperNode of tier 1, its pool one of tier 2;
the higher the tier, the farther (not our tiers: Volcano counts switches). A gang with `network` names the highest one
that it may span. What reads them is the scheduler's plugin network-topology-aware (`scheduler`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.placement import cluster_wide_name, fitted_name
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.rendered import RenderedObject
from toolkit.render.template import fill
from toolkit.topology.pool import Rack
from toolkit.topology.topology import PlacedPool, Topology

RACK_TIER, POOL_TIER = 1, 2


@dataclass(frozen=True)
class Member:
    """Machines, or a HyperNode, that belong to a HyperNode."""

    type: str
    selector: Mapping[str, object]


@dataclass(frozen=True)
class HyperNodeView:
    """What volcano/hypernode.yaml.j2 names."""

    tier: int
    members: tuple[Member, ...]


def hypernodes(topology: Topology, _lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give a HyperNode for each rack of the cluster's pools and one for each pool with racks.

    Raises:
        RenderError: the template does not fit.
    """
    for placed in topology.pools_in(cluster):
        racks = placed.pool.nodes.racks
        named = {rack: cluster_wide_name(topology, fitted_name(placed.name, rack)) for rack in sorted(racks)}
        for rack, name in named.items():
            yield _hypernode(
                topology,
                cluster,
                placed,
                name,
                RACK_TIER,
                tuple(_machines(racks[rack])),
                f".nodes.racks.{rack}",
            )
        if racks:
            members = tuple(Member("HyperNode", {"exactMatch": {"name": name}}) for name in named.values())
            name = cluster_wide_name(topology, placed.name)
            yield _hypernode(topology, cluster, placed, name, POOL_TIER, members, ".nodes.racks")


def _machines(rack: Rack) -> Iterator[Member]:
    if rack.labels:
        yield Member("Node", {"labelMatch": {"matchLabels": dict(rack.labels)}})
    for name in sorted(rack.names):
        yield Member("Node", {"exactMatch": {"name": name}})


def _hypernode(
    topology: Topology,
    cluster: str,
    placed: PlacedPool,
    name: str,
    tier: int,
    members: tuple[Member, ...],
    below: str,
) -> RenderedObject:
    metadata = Metadata(name, owner_labels(topology.name, "pool", placed.name))
    body = fill("volcano/hypernode.yaml.j2", metadata, hypernode=HyperNodeView(tier, members))
    return RenderedObject(cluster, f"tiers.{placed.tier_name}.pools.{placed.name}{below}", body)
