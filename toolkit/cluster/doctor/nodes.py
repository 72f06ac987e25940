"""Are the machines of tiers.yaml there, labelled as our pods look for them, and free of taints that keep pods away?

One check a function. A pod looks for its pool by labels (`placement`); a node that lacks one is never used, and nothing
says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toolkit.cluster.doctor.finding import error, some, warning
from toolkit.cluster.doctor.patient import Patient
from toolkit.errors import Problem
from toolkit.lint.document import mapping, sequence, text
from toolkit.placement import POOL_LABEL, TIER_LABEL, Toleration, place_pool
from toolkit.topology.topology import PlacedPool

_STRANGERS = "node.kubernetes.io/"
"""Taints below it come and go by themselves: not-ready, unschedulable, disk-pressure."""
IN_COMMAND = 3
"""Nodes that a cure names."""
_KEEPS_AWAY = frozenset({"NoSchedule", "NoExecute"})

TOO_FEW = warning(
    "D501",
    "A pool has fewer nodes than tiers.yaml says.",
    why="pods for the rest wait, and gangs that need them never start",
    cure="label the nodes, or correct the count in tiers.yaml",
)
TOO_MANY = warning(
    "D502",
    "A pool has more nodes than tiers.yaml says.",
    why="quotas and plans are made for fewer machines",
    cure="raise the count in tiers.yaml, or take the labels off",
)
UNLABELLED = error(
    "D503",
    "A node lacks labels that pods of its pool look for.",
    why="no pod of the pool ever runs there",
    cure="kubectl label node",
)
TAINTED = error(
    "D504",
    "A node has a taint that pods of its pool do not tolerate.",
    why="no pod of the pool ever runs there",
    cure="take the taint off, or add it to placement.tolerations of the pool",
)


def machines_are_there(patient: Patient) -> Iterator[Problem]:
    """Each pool has as many nodes as tiers.yaml says."""
    for placed in patient.pools:
        found, wanted = len(list(nodes_of(patient, placed))), placed.pool.nodes.total
        message = f"{found} nodes of {wanted} that tiers.yaml says{_known_by(placed)}"
        if found < wanted:
            yield TOO_FEW.at(f"pool {placed.tier_name}/{placed.name}", message)
        elif found > wanted:
            yield TOO_MANY.at(f"pool {placed.tier_name}/{placed.name}", message)


def machines_are_labelled(patient: Patient) -> Iterator[Problem]:
    """Nodes that belong to a pool by name or by some of its labels have all that its pods look for."""
    for placed in patient.pools:
        wanted = place_pool(patient.topology, placed).node_selector
        lacking: dict[tuple[str, ...], list[str]] = {}
        for node in patient.nodes:
            labels = _labels(node)
            if not _belongs(node, placed):
                continue
            missing = tuple(
                f"{key}={value}" for key, value in sorted(wanted.items()) if labels.get(key) != value
            )
            if missing:
                lacking.setdefault(missing, []).append(_name(node))
        for missing, names in lacking.items():
            more = " …" if len(names) > IN_COMMAND else ""
            cure = f"kubectl label node {' '.join(names[:IN_COMMAND])}{more} --overwrite {' '.join(missing)}"
            message = f"{some(names)} without {', '.join(missing)}"
            yield UNLABELLED.at(f"pool {placed.tier_name}/{placed.name}", message, cure=cure)


def machines_take_our_pods(patient: Patient) -> Iterator[Problem]:
    """No node of a pool has a taint that the pool's pods do not tolerate."""
    for placed in patient.pools:
        tolerated = place_pool(patient.topology, placed).tolerations
        kept: dict[str, list[str]] = {}
        for node in nodes_of(patient, placed):
            for taint in map(mapping, sequence(mapping(node.get("spec")).get("taints"))):
                key, effect = text(taint.get("key")), text(taint.get("effect"))
                if (
                    effect in _KEEPS_AWAY
                    and not key.startswith(_STRANGERS)
                    and not _tolerated(taint, tolerated)
                ):
                    value = text(taint.get("value"))
                    kept.setdefault(f"{key}{'=' if value else ''}{value}:{effect}", []).append(_name(node))
        for taint_said, names in kept.items():
            yield TAINTED.at(
                f"pool {placed.tier_name}/{placed.name}",
                f"the taint {taint_said} on {some(names)} is not tolerated",
            )


def nodes_of(patient: Patient, placed: PlacedPool) -> Iterator[Mapping[str, object]]:
    """Give the nodes of a pool: those that tiers.yaml names, else those with the labels of tier and pool."""
    named = placed.pool.nodes.count is None
    for node in patient.nodes:
        labels = _labels(node)
        labelled = (labels.get(TIER_LABEL), labels.get(POOL_LABEL)) == (placed.tier_name, placed.name)
        if _name(node) in placed.node_names if named else labelled:
            yield node


def _belongs(node: Mapping[str, object], placed: PlacedPool) -> bool:
    """Whether a node is meant to be a pool's: by name where names are fixed (devices), else by the pool's label."""
    fixed = placed.pool.nodes.count is None or placed.tier_name == "edge"
    return (fixed and _name(node) in placed.node_names) or _labels(node).get(POOL_LABEL) == placed.name


def _tolerated(taint: Mapping[str, object], tolerations: tuple[Toleration, ...]) -> bool:
    return any(
        each.key == taint.get("key")
        and each.value in {"", text(taint.get("value"))}
        and each.effect in {"", taint.get("effect")}
        for each in tolerations
    )


def _known_by(placed: PlacedPool) -> str:
    if placed.pool.nodes.count is None:
        return ", known by their names"
    return f", known by {TIER_LABEL}={placed.tier_name} and {POOL_LABEL}={placed.name}"


def _labels(node: Mapping[str, object]) -> Mapping[str, object]:
    return mapping(mapping(node.get("metadata")).get("labels"))


def _name(node: Mapping[str, object]) -> str:
    return text(mapping(node.get("metadata")).get("name"))


CHECKS = (machines_are_there, machines_are_labelled, machines_take_our_pods)
"""Every check of this subject."""
