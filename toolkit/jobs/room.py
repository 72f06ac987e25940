"""Machines and what is free on them: which may take a worker, how many fit, and who holds the rest. Pure.

Made from Nodes and Pods as the API gives them; `waiting` asks it why a gang waits and what would let it start. Counts
as the scheduler does: allocatable minus the requests of every pod on the node that has not ended. A node is left out
when the workers' selector or affinity leaves it out, when it is cordoned, or has a taint that they do not tolerate;
whether it is ready shows in its taints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from toolkit.jobs.values import Amounts, amounts, at, label, mapping, mappings, name_of, namespace_of, text
from toolkit.render.metadata import NAME_LABEL, NOUN_LABEL, TOPOLOGY_LABEL

JOB_LABEL = "volcano.sh/job-name"
QUEUE_LABEL = "volcano.sh/queue-name"
RANK_LABEL = "volcano.sh/task-index"
_ENDED = frozenset({"Succeeded", "Failed"})
_KEEPS_AWAY = frozenset({"NoSchedule", "NoExecute"})
_NONE = Decimal(0)


@dataclass(frozen=True)
class Holder:
    """Whose pods take room: a noun of tiers.yaml, or whatever else a pod belongs to."""

    noun: str
    name: str
    namespace: str
    topology: str = ""
    """Empty for what no tiers.yaml made."""

    def __str__(self) -> str:
        """Name it for people."""
        return f"{self.noun} {self.name}"


@dataclass(frozen=True)
class Machine:
    """A node that may take workers. `held` says who takes how much of it."""

    name: str
    total: Amounts
    held: Mapping[Holder, Amounts]

    def free(self, without: Iterable[Holder] = ()) -> Amounts:
        """Say what is free, or would be without some holders."""
        gone = set(without)
        taken = [each for holder, each in self.held.items() if holder not in gone]
        return {
            name: amount - sum((each.get(name, _NONE) for each in taken), _NONE)
            for name, amount in self.total.items()
        }

    def slots(self, ask: Amounts, without: Iterable[Holder] = ()) -> int:
        """Count the workers that fit into what is free, or would be without some holders."""
        return slots(self.free(without), ask)


@dataclass(frozen=True)
class Machines:
    """The nodes that workers may run on; `away` names those that match and take nobody, each with the reason."""

    usable: tuple[Machine, ...]
    away: Mapping[str, str]


def slots(room: Amounts, ask: Amounts) -> int:
    """Count how often `ask` fits into `room`."""
    counts = [room.get(name, _NONE) // amount for name, amount in ask.items() if amount > 0]
    return max(int(min(counts)), 0) if counts else 0


def ask_of(pod: Mapping[str, object]) -> Amounts:
    """Say what a pod (or a pod template) asks for: the sum of its containers, or an init container that needs more.

    A resource with a limit and no request is asked for at its limit. Init containers that go on running (restartPolicy
    Always) count with the containers, and with each init container after them. Source: Kubernetes, "Resource sharing
    within containers" of init containers and of sidecars; one pod also takes one of the node's `pods`.
    """
    beside: Amounts = {}
    most: Amounts = {}
    for container in mappings(pod, "spec", "initContainers"):
        if text(container, "restartPolicy") == "Always":
            beside = _plus(beside, _asked(container))
            continue
        for name, amount in _plus(beside, _asked(container)).items():
            most[name] = max(most.get(name, _NONE), amount)
    total = _plus({"pods": Decimal(1)}, beside)
    for container in mappings(pod, "spec", "containers"):
        total = _plus(total, _asked(container))
    return total | {name: max(total.get(name, _NONE), amount) for name, amount in most.items()}


def _plus(one: Amounts, other: Amounts) -> Amounts:
    return {name: one.get(name, _NONE) + other.get(name, _NONE) for name in (*one, *other)}


def holder_of(pod: Mapping[str, object]) -> Holder:
    """Say whose a pod is: by our labels, else by Volcano's, else by what made it."""
    namespace, topology = namespace_of(pod), label(pod, TOPOLOGY_LABEL)
    if topology and label(pod, NAME_LABEL):
        return Holder(label(pod, NOUN_LABEL) or "pod", label(pod, NAME_LABEL), namespace, topology)
    if job := label(pod, JOB_LABEL):
        return Holder("Volcano Job", f"{namespace}/{job}", namespace)
    for owner in mappings(pod, "metadata", "ownerReferences"):
        return Holder(text(owner, "kind"), f"{namespace}/{text(owner, 'name')}", namespace)
    return Holder("pod", f"{namespace}/{name_of(pod)}", namespace)


def live(pods: Iterable[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """Leave out the pods that have ended: they hold nothing any more."""
    return [each for each in pods if text(each, "status", "phase") not in _ENDED]


def machines_for(
    template: Mapping[str, object],
    nodes: Iterable[Mapping[str, object]],
    pods: Iterable[Mapping[str, object]],
) -> Machines:
    """Find the machines that a worker may run on, and what is taken there.

    Args:
        template: the worker's pod template.
        nodes: every Node of the cluster.
        pods: every Pod that takes room; those of the gang itself may be left out or not.
    """
    held: dict[str, dict[Holder, Amounts]] = {}
    for pod in live(pods):
        mine = held.setdefault(text(pod, "spec", "nodeName"), {}).setdefault(holder_of(pod), {})
        for name, amount in ask_of(pod).items():
            mine[name] = mine.get(name, _NONE) + amount
    usable, away = [], {}
    for node in nodes:
        if not _meant(template, node):
            continue
        name, reason = name_of(node), _kept_away(template, node)
        if reason:
            away[name] = reason
        else:
            usable.append(Machine(name, amounts(node, "status", "allocatable"), held.get(name, {})))
    return Machines(tuple(sorted(usable, key=lambda each: each.name)), away)


def _asked(container: Mapping[str, object]) -> Amounts:
    return amounts(container, "resources", "limits") | amounts(container, "resources", "requests")


def _meant(template: Mapping[str, object], node: Mapping[str, object]) -> bool:
    """Tell whether selector and required affinity of a worker allow a node."""
    labels = mapping(node, "metadata", "labels")
    if any(labels.get(name) != value for name, value in mapping(template, "spec", "nodeSelector").items()):
        return False
    required = mappings(
        template, "spec", "affinity", "nodeAffinity",
        "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms",
    )  # fmt: skip
    return not required or any(
        all(_holds(each, labels) for each in mappings(term, "matchExpressions")) for term in required
    )


def _holds(expression: Mapping[str, object], labels: Mapping[str, object]) -> bool:
    key, operator, values = text(expression, "key"), text(expression, "operator"), at(expression, "values")
    listed: Sequence[object] = values if isinstance(values, list | tuple) else ()
    if operator == "In":
        return labels.get(key) in listed
    if operator == "NotIn":
        return labels.get(key) not in listed
    if operator == "DoesNotExist":
        return key not in labels
    return key in labels  # Exists; Gt and Lt, which we never write, count as that


def _kept_away(template: Mapping[str, object], node: Mapping[str, object]) -> str:
    """Say why a node takes no worker although it is meant; empty when it takes them."""
    if at(node, "spec", "unschedulable"):
        return "cordoned"
    for taint in mappings(node, "spec", "taints"):
        if text(taint, "effect") in _KEEPS_AWAY and not any(
            _tolerates(each, taint) for each in mappings(template, "spec", "tolerations")
        ):
            return f"taint {text(taint, 'key')}"
    return ""


def _tolerates(toleration: Mapping[str, object], taint: Mapping[str, object]) -> bool:
    effect, key = text(toleration, "effect"), text(toleration, "key")
    if effect and effect != text(taint, "effect"):
        return False
    if text(toleration, "operator") == "Exists":
        return not key or key == text(taint, "key")
    return key == text(taint, "key") and text(toleration, "value") == text(taint, "value")
