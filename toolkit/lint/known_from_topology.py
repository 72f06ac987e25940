"""What tiers.yaml says about the surroundings of an object: its pools are the machines, its services stand on them.

Between `toolkit.topology` and the rules that take Surroundings; `tiers lint` builds it. tiers.yaml does not know every
label of a machine nor all that it has, so its Machines are not complete: what it does not name is never held against
anybody. Its queues and priorities are all there are, because it was given as the truth about them.
"""

from __future__ import annotations

from decimal import Decimal

from toolkit.lint.pod_templates import EDGE_LABELS, GPU, TIER_LABEL
from toolkit.lint.surroundings import Machines, QueueFacts, Standing, Surroundings, Taint
from toolkit.topology.queue import Resources
from toolkit.topology.topology import PlacedPool, Topology

POOL_LABEL = "tiers.dev/pool"


def known_from_topology(topology: Topology, cluster: str | None = None) -> Surroundings:
    """Read queues, priorities, machines and standing services of a topology, or of one of its clusters."""
    tiers = frozenset(topology.tiers if cluster is None else topology.clusters[cluster].tiers)
    return Surroundings(
        queues={
            name: QueueFacts(
                name=name,
                parent=queue.parent or "",
                guarantee=_amounts(queue.guarantee),
                deserved=_amounts(queue.deserved),
                capability=_amounts(queue.capability),
            )
            for name, queue in topology.queues.items()
            if queue.tier in tiers
        },
        all_queues=True,
        priorities=frozenset(topology.priorities),
        all_priorities=True,
        machines=tuple(_machines(placed) for placed in topology.pools() if placed.tier_name in tiers),
        standing=tuple(
            Standing(
                name=f"service {name}",
                replicas=service.replicas.min,
                request={GPU: Decimal(service.gpus_per_replica)},
                pool={POOL_LABEL: service.pool},
            )
            for name, service in topology.services.items()
            if topology.pool(service.pool).tier_name in tiers
        ),
        topology=topology.name,
    )


def _machines(placed: PlacedPool) -> Machines:
    hardware, pool = placed.hardware, placed.pool
    labels = {
        "kubernetes.io/arch": hardware.arch,
        TIER_LABEL: placed.tier_name,
        POOL_LABEL: placed.name,
        **pool.nodes.labels,
    }
    if hardware.gpu_product:
        labels["nvidia.com/gpu.product"] = hardware.gpu_product
    taints: tuple[Taint, ...] = ()
    if placed.tier_name == "edge":
        labels |= dict.fromkeys(EDGE_LABELS, "")
        taints = (Taint(EDGE_LABELS[0], "", "NoSchedule"),)
    known: dict[str, Decimal] = {}
    if pool.gpu is None:
        known[GPU] = Decimal(placed.gpus_per_node)
    cpus, memory = pool.cpus or hardware.cpus, pool.memory or hardware.memory
    if cpus:
        known["cpu"] = Decimal(cpus)
    if memory:
        known["memory"] = Decimal(memory.count)
    return Machines(placed.name, pool.nodes.total, labels, taints, known)


def _amounts(resources: Resources) -> dict[str, Decimal]:
    listed = {
        GPU: resources.gpus,
        "cpu": resources.cpus,
        "memory": None if resources.memory is None else resources.memory.count,
    }
    return {name: Decimal(amount) for name, amount in listed.items() if amount is not None}
