"""A topology → a job of KubeEdge for each edge pool with `upgrade`, which moves EdgeCore to another version.

Between `kubeedge_objects` and the template kubeedge/nodeupgradejob. Apply leaves these jobs alone (decision 0021): a
person starts one with `tiers render --upgrade POOL | kubectl create -f -`; its name holds the version, so a second
`create` for the same version is refused. The strings in it go through a shell on devices (CVE-2026-62371), and the
nouns take none that means something to a shell. It needs what `prepull` needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.errors import UsageError
from toolkit.placement import cluster_wide_name
from toolkit.render.edge_lookup import edge_pool
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.prepull import NEEDS_ANNOTATION, NEEDS_TASKS, devices_of, ratio
from toolkit.render.rendered import RenderedObject
from toolkit.render.stream import to_yaml
from toolkit.render.template import fill
from toolkit.topology.kubeedge import Upgrade
from toolkit.topology.topology import PlacedPool, Topology


@dataclass(frozen=True)
class NodeUpgradeView:
    """What kubeedge/nodeupgradejob.yaml.j2 names."""

    version: str
    image: str
    digests: Mapping[str, str]
    nodes: tuple[str, ...]
    """Names of the devices; empty where they are found by labels."""
    match_labels: Mapping[str, str]
    check: tuple[str, ...]
    failures: str
    concurrency: int
    timeout: int
    """Seconds."""
    confirm: bool


def node_upgrades(topology: Topology, _lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give a NodeUpgradeJob for each edge pool of a cluster that has `upgrade`. Raises RenderError."""
    for placed in topology.pools_in(cluster):
        if placed.pool.upgrade is not None and placed.tier_name == "edge":
            yield _node_upgrade(topology, cluster, placed, placed.pool.upgrade)


def upgrade_job(topology: Topology, pool: str) -> str:
    """Give the job that upgrades a pool's devices as YAML, for `kubectl create -f -`.

    Raises:
        UsageError: there is no such pool on the edge, or it has no `upgrade`.
    """
    placed = edge_pool(topology, pool)
    if placed.pool.upgrade is None:
        raise UsageError(
            f"tiers.yaml does not say to which version the devices of {pool} shall move",
            hint=f"add it: tiers: {{edge: {{pools: {{{pool}: {{upgrade: {{to: VERSION}}}}}}}}}}",
        )
    return to_yaml(_node_upgrade(topology, topology.cluster_of(placed), placed, placed.pool.upgrade))


def _node_upgrade(topology: Topology, cluster: str, placed: PlacedPool, upgrade: Upgrade) -> RenderedObject:
    nodes, labels = devices_of(placed)
    view = NodeUpgradeView(
        version=f"v{upgrade.to}",
        image=upgrade.image,
        digests={str(arch): digest for arch, digest in upgrade.digests.items()},
        nodes=nodes,
        match_labels=labels,
        check=("cpu", "mem", "disk"),
        failures=ratio(upgrade.failures),
        concurrency=upgrade.concurrency,
        timeout=-(-upgrade.timeout.milliseconds // 1000),
        confirm=upgrade.confirm,
    )
    metadata = Metadata(
        cluster_wide_name(topology, f"{placed.name}-to-{upgrade.to.replace('.', '-')}"),
        owner_labels(topology.name, "pool", placed.name),
        annotations={NEEDS_ANNOTATION: NEEDS_TASKS},
    )
    body = fill("kubeedge/nodeupgradejob.yaml.j2", metadata, upgrade=view)
    return RenderedObject(cluster, f"tiers.edge.pools.{placed.name}.upgrade", body)
