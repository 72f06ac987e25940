"""Find what an option of `tiers render` names: a pool of the edge, the KubeEdge of a cluster.

Beside the files and jobs for KubeEdge (`kubeedge_config`, `join`, `node_upgrade`), which begin with it.
"""

from __future__ import annotations

from toolkit.errors import UsageError
from toolkit.topology.kubeedge import KubeEdge
from toolkit.topology.topology import PlacedPool, Topology


def kubeedge_of(topology: Topology, cluster: str) -> KubeEdge:
    """Give the KubeEdge of a cluster. Raises UsageError when there is no such cluster, or it has none."""
    if cluster not in topology.clusters:
        known = ", ".join(topology.clusters)
        raise UsageError(
            f"tiers.yaml has no cluster '{cluster}', it has {known}", hint="tiers explain clusters"
        )
    found = topology.clusters[cluster].kubeedge
    if found is None:
        raise UsageError(
            f"tiers.yaml does not say where the KubeEdge of cluster '{cluster}' is",
            hint=f"add it: clusters: {{{cluster}: {{kubeedge: {{addresses: [IP]}}}}}}",
        )
    return found


def edge_pool(topology: Topology, pool: str) -> PlacedPool:
    """Give a pool of the edge by name. Raises UsageError that names those there are."""
    for placed in topology.pools():
        if placed.name == pool and placed.tier_name == "edge":
            return placed
    known = ", ".join(placed.name for placed in topology.pools() if placed.tier_name == "edge") or "none"
    raise UsageError(
        f"there is no pool '{pool}' on the edge; there are {known}", hint="tiers explain tiers.edge"
    )
