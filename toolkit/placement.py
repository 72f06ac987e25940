"""Where things run: a pool, model, job or service → cluster, tier, queue, node selector, tolerations, size, and why.

Pure. Stands between Topology and render: `render` writes placements into pod specs, `tiers explain` and
`tiers job plan` show the reasons. Labels: KubeEdge's edged puts `node-role.kubernetes.io/edge` on its nodes, NVIDIA's
GPU feature discovery writes `nvidia.com/gpu.product`; the two `tiers.dev` labels are ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from toolkit.topology.names import TierName
from toolkit.topology.priority import SERVICE_PRIORITY
from toolkit.topology.topology import PlacedPool, Topology

TIER_LABEL = "tiers.dev/tier"
POOL_LABEL = "tiers.dev/pool"
ARCH_LABEL = "kubernetes.io/arch"
NODE_LABEL = "kubernetes.io/hostname"
EDGE_LABEL = "node-role.kubernetes.io/edge"
GPU_PRODUCT_LABEL = "nvidia.com/gpu.product"
GPU = "nvidia.com/gpu"
"""Name of the resource, of its taint, and of the domain of its labels."""

OUTAGE_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
"""Put on a node that is silent; tolerated without end by pods on devices, which work on without the cloud."""

DEFAULT_QUEUE = "default"
"""The queue that Volcano makes by itself."""

LONGEST_NAME = 63
_HASH_LENGTH = 8
_GIB = 2**30
# What is left for kubelet, daemons and page cache when a worker takes "its part" of a machine.
_USABLE_TENTHS = 9
# Part of a worker for which neither profile nor pool tells the machine's size: below that of any server sold with GPUs.
_CPUS_PER_GPU, _MEMORY_PER_GPU = 8, 64 * _GIB
_CPUS_WITHOUT_GPU, _MEMORY_WITHOUT_GPU = 1, 2 * _GIB
_SHARED_MEMORY_PART = 4


@dataclass(frozen=True)
class Toleration:
    """A taint that a pod tolerates; an empty value means any, an empty effect means all."""

    key: str
    value: str = ""
    effect: str = ""


@dataclass(frozen=True)
class Placement:
    """Where pods go. `reasons` says in words why, one sentence a condition."""

    cluster: str
    namespace: str
    tier: TierName
    pool: str
    node_selector: Mapping[str, str]
    nodes: tuple[str, ...] = ()
    """Names of the only nodes that are meant; empty means every node with the labels."""
    off_edge: bool = True
    """Whether nodes of KubeEdge are excluded, whatever else they carry."""
    tolerations: tuple[Toleration, ...] = ()
    queue: str = ""
    priority_class: str = ""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class WorkerSize:
    """What one pod asks for: a worker of a gang, or a server of a service. Memory in bytes."""

    gpus: int
    cpus: int
    memory: int
    shared_memory: int
    """Bytes at /dev/shm, part of `memory`."""
    reasons: tuple[str, ...] = ()


def fitted_name(*parts: str, longest: int = LONGEST_NAME) -> str:
    """Join parts with dashes; what is longer than a label (or `longest`) is cut and told apart by a hash."""
    name = "-".join(parts)
    if len(name) <= longest:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{name[: longest - _HASH_LENGTH - 1].rstrip('-')}-{digest}"


def cluster_wide_name(topology: Topology, name: str) -> str:
    """Name an object that belongs to no namespace, so that two topologies in one cluster keep theirs apart."""
    return fitted_name(topology.name, name)


def place_pool(topology: Topology, placed: PlacedPool) -> Placement:
    """Place pods on the machines of a pool. Raises KeyError when no cluster has it (loading rules that out)."""
    cluster = topology.cluster_of(placed)
    on_edge = placed.tier_name == "edge"
    selector: dict[str, str] = {ARCH_LABEL: placed.hardware.arch}
    reasons = [
        f"tier {placed.tier_name}, pool {placed.name}: {placed.hardware.arch} machines in cluster {cluster}"
    ]
    named = placed.pool.nodes.count is None
    if named:
        reasons.append(f"only the nodes that tiers.yaml names: {', '.join(placed.node_names)}")
    else:
        selector |= {TIER_LABEL: placed.tier_name, POOL_LABEL: placed.name}
        selector |= {**placed.hardware.labels, **placed.pool.nodes.labels}
        reasons.append(f"nodes are known by {TIER_LABEL}={placed.tier_name} and {POOL_LABEL}={placed.name}")
    if on_edge:
        selector[EDGE_LABEL] = ""
        reasons.append("KubeEdge nodes only; their outages never move or delete the pod")
    else:
        reasons.append(f"never on a node with {EDGE_LABEL}: workers could not reach each other there")
    spot = placed.pool.spot
    if spot is not None:
        selector[spot.mark.key] = spot.mark.value
        reasons.append(
            f"spot machines of {spot.provider}: it may take them back, {spot.mark.notice_seconds} s after it says so"
        )
    return Placement(
        cluster=cluster,
        namespace=topology.namespace(cluster),
        tier=placed.tier_name,
        pool=placed.name,
        node_selector=selector | dict(placed.pool.placement.labels),
        nodes=tuple(sorted(placed.node_names)) if named else (),
        off_edge=not on_edge,
        tolerations=_tolerations(placed, on_edge=on_edge),
        reasons=tuple(reasons),
    )


def place_model(topology: Topology, model: str) -> tuple[Placement, ...]:
    """Place a model: one placement for each pool whose devices serve it, in order of name. Raises KeyError."""
    why = f"models.{model}.pools names this pool; which version runs is in each device's desired state"
    placements = [place_pool(topology, topology.pool(pool)) for pool in sorted(topology.models[model].pools)]
    return tuple(replace(placement, reasons=(*placement.reasons, why)) for placement in placements)


def place_job(topology: Topology, name: str) -> Placement:
    """Place the workers of a job: its pool, its queue, its GPUs' kind. Raises KeyError for an unknown job."""
    job = topology.jobs[name]
    placed = topology.pool(job.pool)
    placement = place_pool(topology, placed)
    selector, reasons = dict(placement.node_selector), list(placement.reasons)
    product = _product(placed)
    if job.gang.gpus_per_worker and product:
        selector[GPU_PRODUCT_LABEL] = product
        reasons.append(f"GPUs of one kind, {product}: a gang is as fast as its slowest worker")
    queue = cluster_wide_name(topology, job.queue) if job.queue else DEFAULT_QUEUE
    reasons.append(f"waits in queue {queue}" if job.queue else "names no queue, so it waits in Volcano's own")
    if job.priority:
        reasons.append(f"priority {job.priority} ({topology.priorities[job.priority].value})")
    return replace(
        placement,
        node_selector=selector,
        queue=queue,
        priority_class=cluster_wide_name(topology, job.priority) if job.priority else "",
        reasons=tuple(reasons),
    )


def place_service(topology: Topology, name: str) -> Placement:
    """Place the servers of a service: its pool, its GPUs' kind, its priority. Raises KeyError when there is none."""
    service = topology.services[name]
    placed = topology.pool(service.pool)
    placement = place_pool(topology, placed)
    selector, reasons = dict(placement.node_selector), list(placement.reasons)
    product = _product(placed)
    if service.gpus_per_replica and product:
        selector[GPU_PRODUCT_LABEL] = product
        reasons.append(f"GPUs of one kind, {product}: a plan fits one kind")
    known = SERVICE_PRIORITY in topology.priorities
    if known:
        reasons.append(f"priority {SERVICE_PRIORITY} ({topology.priorities[SERVICE_PRIORITY].value})")
    return replace(
        placement,
        node_selector=selector,
        queue=DEFAULT_QUEUE,
        priority_class=cluster_wide_name(topology, SERVICE_PRIORITY) if known else "",
        reasons=tuple(reasons),
    )


def grace_seconds(topology: Topology, name: str) -> int:
    """Say how long a worker of a job has for a last checkpoint, in seconds; on spot machines no longer than they have.

    Raises:
        KeyError: there is no such job.
    """
    job = topology.jobs[name]
    spot = topology.pool(job.pool).pool.spot
    seconds = max(int(job.grace.seconds), 1)
    return seconds if spot is None else min(seconds, spot.mark.notice_seconds)


def worker_size(topology: Topology, name: str) -> WorkerSize:
    """Say what one worker of a job asks for: what tiers.yaml says, else its part of the machine. Raises KeyError."""
    gang = topology.jobs[name].gang
    placed = topology.pool(topology.jobs[name].pool)
    memory = gang.memory_per_worker.count if gang.memory_per_worker else None
    return _size(placed, gang.gpus_per_worker, gang.workers, gang.cpus_per_worker, memory)


def server_size(topology: Topology, name: str) -> WorkerSize:
    """Say what one server of a service asks for: its part of the machine. Raises KeyError."""
    service = topology.services[name]
    return _size(topology.pool(service.pool), service.gpus_per_replica, service.replicas.max, None, None)


def _size(placed: PlacedPool, gpus: int, pods: int, cpus: int | None, memory: int | None) -> WorkerSize:
    """Give a pod what is asked for it, else its part of the machine: by GPUs, or by pods spread over the machines."""
    parts, of = 1, -(-pods // max(placed.pool.nodes.total, 1))
    if gpus and placed.gpus_per_node:
        parts, of = gpus, placed.gpus_per_node * placed.gpu_shares
    reasons = [
        f"{gpus} of {of} {'shares of ' if placed.pool.gpu else ''}GPUs of a machine"
        if gpus
        else f"1/{of} of a machine without GPUs"
    ]
    if cpus is None:
        machine = placed.pool.cpus or placed.hardware.cpus
        unknown = max(gpus * _CPUS_PER_GPU, _CPUS_WITHOUT_GPU)
        cpus = max(machine * _USABLE_TENTHS * parts // (10 * of), 1) if machine else unknown
        reasons.append(_source("cores", machine=bool(machine), pool=placed.name))
    if memory is None:
        size = placed.pool.memory or placed.hardware.memory
        unknown = max(gpus * _MEMORY_PER_GPU, _MEMORY_WITHOUT_GPU)
        memory = size.count * _USABLE_TENTHS * parts // (10 * of) // 2**20 * 2**20 if size else unknown
        reasons.append(_source("memory", machine=bool(size), pool=placed.name))
    return WorkerSize(gpus, cpus, memory, memory // _SHARED_MEMORY_PART // 2**20 * 2**20, tuple(reasons))


def _product(placed: PlacedPool) -> str | None:
    """Name the GPUs of a pool as their nodes are labelled; None where that label cannot select."""
    # Sharing changes the value of the label: GPU feature discovery appends -SHARED.
    return placed.hardware.gpu_product if placed.pool.gpu is None else None


def _source(what: str, *, machine: bool, pool: str) -> str:
    if machine:
        return f"{what}: nine tenths of the machine's, by its part"
    return f"{what}: a careful guess, because neither pool {pool} nor its hardware says what a machine has"


def _tolerations(placed: PlacedPool, *, on_edge: bool) -> tuple[Toleration, ...]:
    """Collect what may be on the pool's nodes: our taint of the tier, KubeEdge's, the GPUs', and what the pool says."""
    tolerated = [Toleration(TIER_LABEL, placed.tier_name, "NoSchedule")]
    if on_edge:
        tolerated += [Toleration(EDGE_LABEL, effect="NoSchedule")]
        tolerated += [Toleration(taint, effect="NoExecute") for taint in OUTAGE_TAINTS]
    if placed.gpus_per_node:
        tolerated += [Toleration(GPU, effect="NoSchedule")]
    spot = placed.pool.spot
    if spot is not None and spot.mark.tainted:
        tolerated += [Toleration(spot.mark.key, spot.mark.value, "NoSchedule")]
    own = placed.pool.placement.tolerations
    return (*tolerated, *(Toleration(each.key, each.value or "", each.effect or "") for each in own))
