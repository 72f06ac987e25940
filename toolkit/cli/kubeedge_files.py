"""Print what people hand to KubeEdge themselves: configurations, the way to join, an upgrade. Part of `render`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.topology.topology import Topology


def print_files(
    topology: Topology,
    *,
    cloud: str | None,
    as_config_map: bool,
    edge: str | None,
    join: str | None,
    upgrade: str | None,
) -> None:
    """Print each file that was asked for.

    Args:
        topology: what they are made from.
        cloud: the cluster whose cloudcore.yaml is wanted.
        as_config_map: whether it is wanted inside its ConfigMap.
        edge: the POOL or POOL/DEVICE whose edgecore.yaml is wanted.
        join: the POOL or POOL/DEVICE whose script for joining is wanted.
        upgrade: the pool whose NodeUpgradeJob is wanted.

    Raises:
        UsageError: there is no such cluster, pool or device, or its cluster has no `kubeedge`; or the ConfigMap is
            wanted of nothing.
    """
    from toolkit.errors import UsageError
    from toolkit.render.join import join_script
    from toolkit.render.kubeedge_config import cloud_config, cloud_config_map, edge_config
    from toolkit.render.node_upgrade import upgrade_job

    if as_config_map and cloud is None:
        raise UsageError(
            "--as-config-map is a form of --cloud-config",
            hint="tiers render --cloud-config CLUSTER --as-config-map",
        )
    if cloud is not None:
        print((cloud_config_map if as_config_map else cloud_config)(topology, cloud), end="")
    if edge is not None:
        pool, _, device = edge.partition("/")
        print(edge_config(topology, pool, device), end="")
    if join is not None:
        pool, _, device = join.partition("/")
        print(join_script(topology, pool, device), end="")
    if upgrade is not None:
        print(upgrade_job(topology, upgrade), end="")
