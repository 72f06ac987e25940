"""A topology → a job of KubeEdge for each edge pool that pulls our images ahead of the pods that need them.

Between `kubeedge_objects` and the template kubeedge/imageprepulljob. A job that has run looks at its spec no more, so
its name ends in a hash of it: another digest in tiers.lock is another job, and apply prunes the one before. It needs
KubeEdge's controller manager, taskManager in CloudCore and taskManager in EdgeCore.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from toolkit.placement import EDGE_LABEL, POOL_LABEL, TIER_LABEL, cluster_wide_name
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.rendered import RenderedObject
from toolkit.render.template import fill
from toolkit.topology.kubeedge import Prepull
from toolkit.topology.topology import PlacedPool, Topology
from toolkit.topology.units import Percent

NEEDS_ANNOTATION = "tiers.dev/needs"
"""What has to be on for an object to have an effect, in words for people."""
NEEDS_TASKS = "KubeEdge's controller manager; modules.taskManager.enable of CloudCore and of EdgeCore"
_HASH_LENGTH = 8


@dataclass(frozen=True)
class PrepullView:
    """What kubeedge/imageprepulljob.yaml.j2 names."""

    images: tuple[str, ...]
    nodes: tuple[str, ...]
    """Names of the devices; empty where they are found by labels."""
    match_labels: Mapping[str, str]
    check: tuple[str, ...]
    failures: str
    concurrency: int
    timeout: int
    """Seconds."""
    retries: int
    secret: str
    """NAMESPACE/NAME of the registry's login; empty for none."""


def prepulls(topology: Topology, lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give an ImagePrePullJob for each edge pool of a cluster whose `kubeedge` has `prepull`. Raises RenderError."""
    kubeedge = topology.clusters[cluster].kubeedge
    if kubeedge is None or kubeedge.prepull is None:
        return
    for placed in topology.pools_in(cluster):
        if placed.tier_name == "edge" and placed.pool.nodes.total:
            yield _prepull(topology, lock, cluster, placed, kubeedge.prepull)


def _prepull(
    topology: Topology, lock: Lock, cluster: str, placed: PlacedPool, prepull: Prepull
) -> RenderedObject:
    nodes, labels = devices_of(placed)
    login = prepull.credentials.name if prepull.credentials else None
    view = PrepullView(
        images=(lock.pinned(topology.edge_image(placed)),),
        nodes=nodes,
        match_labels=labels,
        check=("disk",),
        failures=ratio(prepull.failures),
        concurrency=prepull.concurrency,
        timeout=-(-prepull.timeout.milliseconds // 1000),
        retries=prepull.retries,
        secret=f"{topology.namespace(cluster)}/{login}" if login else "",
    )
    described = json.dumps(asdict(view), sort_keys=True).encode()
    named = hashlib.sha256(described).hexdigest()[:_HASH_LENGTH]
    metadata = Metadata(
        cluster_wide_name(topology, f"{placed.name}-{named}"),
        owner_labels(topology.name, "pool", placed.name),
        annotations={NEEDS_ANNOTATION: NEEDS_TASKS},
    )
    body = fill("kubeedge/imageprepulljob.yaml.j2", metadata, prepull=view)
    return RenderedObject(cluster, f"clusters.{cluster}.kubeedge.prepull", body)


def devices_of(placed: PlacedPool) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Say how a job of KubeEdge finds a pool's devices: by the names that tiers.yaml has, else by labels."""
    if placed.pool.nodes.count is None:
        return tuple(sorted(placed.node_names)), {}
    return (), {EDGE_LABEL: "", TIER_LABEL: placed.tier_name, POOL_LABEL: placed.name}


def ratio(share: Percent) -> str:
    """Write a share the way KubeEdge reads it: 10 % is 0.1."""
    return f"{share.fraction:.6f}".rstrip("0").rstrip(".")
