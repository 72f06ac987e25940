"""Do the nodes offer the GPUs that tiers.yaml says, of the kind that it says? One check a function.

What a node offers is what its device plugin reports; what kind they are is a label of GPU feature discovery. Without
either, jobs and services wait and only say `Insufficient nvidia.com/gpu`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toolkit.cluster.doctor.finding import error, some
from toolkit.cluster.doctor.nodes import nodes_of
from toolkit.cluster.doctor.patient import Patient
from toolkit.errors import Problem
from toolkit.lint.document import mapping, text
from toolkit.placement import GPU, GPU_PRODUCT_LABEL
from toolkit.topology.topology import PlacedPool

DEVICE_PLUGIN = "device-plugin"

NO_PLUGIN = error(
    "D601",
    "Nodes offer no GPU, and no device plugin runs.",
    why="pods that ask for a GPU wait for ever",
    cure="install NVIDIA's device plugin for these nodes (k8s-device-plugin, or the GPU operator on servers)",
)
NOT_OFFERED = error(
    "D602",
    "A device plugin runs, and nodes offer no GPU.",
    why="pods that ask for a GPU wait for ever",
    cure="on the node: driver, container toolkit, nvidia as containerd's default runtime; then restart its pod",
)
OTHER_NUMBER = error(
    "D603",
    "A node offers another number of GPUs than tiers.yaml says.",
    why="gangs are sized by tiers.yaml and find no room, or GPUs stay unused",
    cure="correct gpus of the pool, or look for the broken card: nvidia-smi on the node",
)
OTHER_KIND = error(
    "D604",
    "GPUs are of another kind than tiers.yaml says, or their label is missing.",
    why="workers and servers look for the kind by this label, so none runs there",
    cure="install GPU feature discovery, or correct the hardware of the pool in tiers.yaml",
)


def gpus_are_offered(patient: Patient) -> Iterator[Problem]:
    """Every node of a pool offers as many GPUs as tiers.yaml says."""
    for placed in patient.pools:
        wanted = _offered(placed)
        if not wanted or (placed.pool.gpu and placed.pool.gpu.share == "vgpu"):
            continue
        place = f"pool {placed.tier_name}/{placed.name}"
        without, other = [], []
        for node in nodes_of(patient, placed):
            name, found = text(mapping(node.get("metadata")).get("name")), _gpus(node)
            if found == 0:
                without.append(name)
            elif found != wanted:
                other.append(f"{name} ({found})")
        if without:
            ailment = NOT_OFFERED if _has_plugin(patient) else NO_PLUGIN
            cause = "" if _has_plugin(patient) else "; no DaemonSet runs a device plugin"
            yield ailment.at(place, f"{some(without)} offer no {GPU}, tiers.yaml says {wanted} each{cause}")
        if other:
            yield OTHER_NUMBER.at(
                place, f"tiers.yaml says {wanted} {GPU} a node, other numbers have {some(other)}"
            )


def gpus_are_of_the_kind(patient: Patient) -> Iterator[Problem]:
    """Nodes carry the product label that jobs and services of the pool look for."""
    used = {each.pool for each in patient.topology.jobs.values() if each.gang.gpus_per_worker}
    used |= {each.pool for each in patient.topology.services.values() if each.gpus_per_replica}
    for placed in patient.pools:
        product = placed.hardware.gpu_product if placed.pool.gpu is None else None
        if placed.name not in used or not product:
            continue
        other: dict[str, list[str]] = {}
        for node in nodes_of(patient, placed):
            named = mapping(node.get("metadata"))
            label = text(mapping(named.get("labels")).get(GPU_PRODUCT_LABEL))
            if label != product:
                other.setdefault(label or "none", []).append(text(named.get("name")))
        for label, names in other.items():
            message = f"{GPU_PRODUCT_LABEL} is {label} on {some(names)}, tiers.yaml says {product}"
            yield OTHER_KIND.at(f"pool {placed.tier_name}/{placed.name}", message)


def _offered(placed: PlacedPool) -> int:
    """How many GPUs a node should offer; time slices and MPS multiply them."""
    return placed.gpus_per_node * (placed.pool.gpu.replicas if placed.pool.gpu else 1)


def _gpus(node: Mapping[str, object]) -> int:
    offered = text(mapping(mapping(node.get("status")).get("allocatable")).get(GPU))
    return int(offered) if offered.isdigit() else 0


def _has_plugin(patient: Patient) -> bool:
    return any(each.kind == "DaemonSet" and DEVICE_PLUGIN in each.image for each in patient.parts)


CHECKS = (gpus_are_offered, gpus_are_of_the_kind)
"""Every check of this subject."""
