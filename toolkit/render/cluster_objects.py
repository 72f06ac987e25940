"""What a topology needs once in each cluster: its Namespace, PriorityClasses, ResourceQuotas, NodeGroups and Queues.

Views between `placement` and the templates kubernetes/{namespace,priorityclass,resourcequota}, kubeedge/nodegroup and
volcano/queue. All but Namespace and quotas belong to the whole cluster, so their names begin with the topology's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.placement import POOL_LABEL, TIER_LABEL, cluster_wide_name, fitted_name
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.quantities import quantities
from toolkit.render.rendered import RenderedObject
from toolkit.render.template import fill
from toolkit.topology.queue import Resources, ancestors
from toolkit.topology.topology import Topology

POD_SECURITY_LABEL = "pod-security.kubernetes.io/enforce"


@dataclass(frozen=True)
class PriorityClassView:
    """What kubernetes/priorityclass.yaml.j2 names."""

    value: int
    policy: str
    description: str


@dataclass(frozen=True)
class QuotaView:
    """What kubernetes/resourcequota.yaml.j2 names."""

    hard: Mapping[str, str]
    priority_class: str


@dataclass(frozen=True)
class NodeGroupView:
    """What kubeedge/nodegroup.yaml.j2 names: either names of nodes or labels that they carry."""

    nodes: list[str]
    match_labels: Mapping[str, str]


@dataclass(frozen=True)
class QueueView:
    """What volcano/queue.yaml.j2 names; an empty amount is left out, which to Volcano means no limit."""

    guarantee: Mapping[str, str]
    deserved: Mapping[str, str]
    capability: Mapping[str, str]
    reclaimable: bool
    parent: str
    """Name of the Queue object above; empty when there is none."""


def cluster_objects(topology: Topology, _lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give what a cluster needs once.

    Raises:
        RenderError: a template and a noun do not fit.
    """
    yield namespace(topology, cluster)
    yield from priority_classes(topology, cluster)
    yield from quotas(topology, cluster)
    yield from node_groups(topology, cluster)
    yield from queues(topology, cluster)


def namespace(topology: Topology, cluster: str) -> RenderedObject:
    """Give the namespace of our objects. It allows host paths and host network, which the daemons on devices need."""
    labels = owner_labels(topology.name, "topology", topology.name) | {POD_SECURITY_LABEL: "privileged"}
    metadata = Metadata(topology.namespace(cluster), labels)
    return RenderedObject(cluster, f"clusters.{cluster}", fill("kubernetes/namespace.yaml.j2", metadata))


def priority_classes(topology: Topology, cluster: str) -> Iterator[RenderedObject]:
    """Give a PriorityClass for each entry of `priorities`."""
    for name in topology.priorities:
        metadata = Metadata(cluster_wide_name(topology, name), owner_labels(topology.name, "priority", name))
        view = PriorityClassView(
            topology.priorities[name].value,
            "PreemptLowerPriority" if topology.preempts(name) else "Never",
            f"priorities.{name} of the topology {topology.name}",
        )
        body = fill("kubernetes/priorityclass.yaml.j2", metadata, priority=view)
        yield RenderedObject(cluster, f"priorities.{name}", body)


def quotas(topology: Topology, cluster: str) -> Iterator[RenderedObject]:
    """Give a ResourceQuota for each entry of `quotas`, which counts the pods of one priority only.

    Extended resources can be limited as requests alone, and a quota that counts cores or memory refuses pods that do
    not say how much they want (https://kubernetes.io/docs/concepts/policy/resource-quotas/); all of ours do.
    """
    for name in topology.quotas:
        quota = topology.quotas[name]
        memory = quota.memory.count if quota.memory else None
        asked = quantities(cpus=quota.cpus, memory=memory, gpus=quota.gpus)
        hard = {f"requests.{resource}": amount for resource, amount in asked.items()}
        hard |= {"pods": str(quota.pods)} if quota.pods else {}
        metadata = Metadata(
            fitted_name("priority", name),
            owner_labels(topology.name, "quota", name),
            topology.namespace(cluster),
        )
        view = QuotaView(hard, cluster_wide_name(topology, name))
        body = fill("kubernetes/resourcequota.yaml.j2", metadata, quota=view)
        yield RenderedObject(cluster, f"quotas.{name}", body)


def node_groups(topology: Topology, cluster: str) -> Iterator[RenderedObject]:
    """Give a NodeGroup for each edge pool of the cluster."""
    for placed in topology.pools_in(cluster):
        if placed.tier_name != "edge":
            continue
        named = placed.pool.nodes.count is None
        labels = {TIER_LABEL: placed.tier_name, POOL_LABEL: placed.name}
        view = NodeGroupView(
            nodes=sorted(placed.node_names) if named else [],
            match_labels={} if named else labels,
        )
        metadata = Metadata(
            cluster_wide_name(topology, placed.name), owner_labels(topology.name, "pool", placed.name)
        )
        body = fill("kubeedge/nodegroup.yaml.j2", metadata, group=view)
        yield RenderedObject(cluster, f"tiers.edge.pools.{placed.name}", body)


def queues(topology: Topology, cluster: str) -> Iterator[RenderedObject]:
    """Give a Queue for each entry of `queues` whose tier has machines in the cluster."""
    here = topology.tiers_in(cluster)
    for name in topology.queues:
        queue = topology.queues[name]
        if queue.tier not in here:
            continue
        # Volcano counts the GPUs of the whole cluster, devices included, so it would lend what another queue of this
        # tier keeps; and it compares single resources, so only those that tiers.yaml names may stand here.
        limit = topology.gpu_limit(name)
        view = QueueView(
            guarantee=_amounts(queue.guarantee),
            deserved=_amounts(_at_most(queue.deserved, limit)),
            capability=_amounts(queue.capability.model_copy(update={"gpus": limit})),
            reclaimable=queue.reclaimable,
            parent=cluster_wide_name(topology, queue.parent) if queue.parent else "",
        )
        metadata = Metadata(cluster_wide_name(topology, name), owner_labels(topology.name, "queue", name))
        body = fill("volcano/queue.yaml.j2", metadata, queue=view)
        yield RenderedObject(cluster, f"queues.{name}", body, below=len(ancestors(topology.queues, name)))


def _at_most(resources: Resources, gpus: int | None) -> Resources:
    """Give amounts with no more GPUs than so many; Volcano refuses a queue that deserves more than it may use."""
    if gpus is None or resources.gpus is None:
        return resources
    return resources.model_copy(update={"gpus": min(resources.gpus, gpus)})


def _amounts(resources: Resources) -> dict[str, str]:
    memory = resources.memory.count if resources.memory else None
    return quantities(cpus=resources.cpus, memory=memory, gpus=resources.gpus)
