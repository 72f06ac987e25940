"""Nodes shaped like the machines of a topology, for KWOK to keep alive: sizes, labels, taints, KubeEdge labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from toolkit.topology.topology import PlacedPool, Topology

GIB = 2**30
SERVER_CPUS, SERVER_GIB = 128, 1024
"""What a server has when neither pool nor profile says it."""


def nodes_of(topology: Topology) -> Iterator[dict[str, Any]]:
    """Give a Node for each machine of a topology."""
    for placed in topology.pools():
        names = placed.node_names or [f"{placed.name}-{n:03d}" for n in range(1, placed.pool.nodes.total + 1)]
        for name in names:
            yield node(name, placed)


def node(name: str, placed: PlacedPool) -> dict[str, Any]:
    """Give one machine of a pool as a Node, with a status, which KWOK keeps."""
    hardware = placed.hardware
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": hardware.arch,
        "tiers.dev/tier": placed.tier_name,
        "tiers.dev/pool": placed.name,
        "volcano.sh/nodegroup-name": placed.tier_name,
        **placed.pool.nodes.labels,
    }
    taints = []
    if placed.tier_name == "edge":
        labels |= {"node-role.kubernetes.io/edge": "", "node-role.kubernetes.io/agent": ""}
        taints = [{"key": "node-role.kubernetes.io/edge", "effect": "NoSchedule"}]
    size = {
        "cpu": str(placed.pool.cpus or hardware.cpus or SERVER_CPUS),
        "memory": f"{(hardware.memory.count // GIB) if hardware.memory else SERVER_GIB}Gi",
        "pods": "110",
        "ephemeral-storage": "500Gi",
    }
    if placed.gpus_per_node:
        size["nvidia.com/gpu"] = str(placed.gpus_per_node)
        if hardware.gpu_product:
            labels["nvidia.com/gpu.product"] = hardware.gpu_product
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": taints},
        "status": {"capacity": size, "allocatable": size, "nodeInfo": {"architecture": hardware.arch}},
    }
