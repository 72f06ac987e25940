"""Which nodes do not answer, and since when: devices are switched off, and nobody waits for those. For `readiness`.

A node answers when its Ready condition is True; False and Unknown both mean that its pods cannot be counted on. Nodes
are asked for when a DaemonSet has to be judged, and not more often than every LOOK_AGAIN_SECONDS.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import list_all
from toolkit.cluster.refusal import FORBIDDEN, RefusedError
from toolkit.cluster.request import Json
from toolkit.errors import UnreachableError

LOOK_AGAIN_SECONDS = 10.0
_ALWAYS_TOLERATED = frozenset(
    f"node.kubernetes.io/{word}"
    for word in ("disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")
)
"""Taints whose NoSchedule the controller of DaemonSets lets its pods tolerate by itself."""


@dataclass(frozen=True)
class Machine:
    """A node."""

    name: str
    labels: Mapping[str, object]
    silent_since: str | None
    """Since when it is not ready (the cluster's clock, RFC 3339); None when it is."""
    taints: tuple[Mapping[str, object], ...] = ()


def machine_of(node: Mapping[str, object]) -> Machine:
    """Read a Node."""
    metadata = _mapping(node.get("metadata"))
    taints = tuple(_listed(_mapping(node.get("spec")).get("taints")))
    return Machine(str(metadata.get("name")), _mapping(metadata.get("labels")), silent_since(node), taints)


def silent_since(node: Mapping[str, object]) -> str | None:
    """Give when a node stopped being ready; None when it is ready."""
    conditions = _mapping(node.get("status")).get("conditions")
    for condition in conditions if isinstance(conditions, list) else []:
        if condition.get("type") == "Ready":
            return None if condition.get("status") == "True" else str(condition.get("lastTransitionTime"))
    return "it has never reported"


def offline_of(pod: Mapping[str, object], machines: Sequence[Machine]) -> list[Machine]:
    """Give the machines that a pod could be on and that do not answer.

    Args:
        pod: the spec in a pod template; its nodeSelector and its required node affinity count.
        machines: all nodes.
    """
    return [each for each in machines if each.silent_since is not None and _may_be_on(pod, each)]


def is_wanted_on(pod: Mapping[str, object], machine: Machine) -> bool:
    """Tell whether a DaemonSet counts a machine that its pods may be on in desiredNumberScheduled.

    A node that is silent gets the taint unreachable or not-ready with NoSchedule. A pod that does not tolerate it is
    not wanted there any more; one that runs there already is left. Source: NodeShouldRunDaemonPod of the controller.
    """
    return all(
        any(_tolerates(each, taint) for each in _listed(pod.get("tolerations")))
        for taint in machine.taints
        if taint.get("effect") == "NoSchedule" and taint.get("key") not in _ALWAYS_TOLERATED
    )


@dataclass
class Machines:
    """The nodes of one cluster as they were a few seconds ago; for many threads at once."""

    kinds: Kinds
    _known: tuple[Machine, ...] = ()
    _asked: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def all(self) -> tuple[Machine, ...]:
        """Give every node; none when this user may not list nodes, and then no pod is excused.

        Raises:
            RefusedError: the server says no for another reason.
        """
        with self._lock:
            if self._asked is None or time.monotonic() - self._asked > LOOK_AGAIN_SECONDS:
                try:
                    self._known = tuple(machine_of(each) for each in self._list())
                except RefusedError as error:
                    if error.status != FORBIDDEN:
                        raise
                except UnreachableError:  # who asks will notice; until then the last answer stands
                    pass
                self._asked = time.monotonic()
            return self._known

    def _list(self) -> list[Json]:
        return list(list_all(self.kinds, self.kinds.resource("v1", "Node"), ""))


def _may_be_on(pod: Mapping[str, object], machine: Machine) -> bool:
    """Tell whether the scheduler's rules let a pod be on a node. Format: PodSpec of core/v1."""
    selector = _mapping(pod.get("nodeSelector"))
    if any(machine.labels.get(key) != value for key, value in selector.items()):
        return False
    affinity = _mapping(_mapping(pod.get("affinity")).get("nodeAffinity"))
    required = _mapping(affinity.get("requiredDuringSchedulingIgnoredDuringExecution"))
    terms = required.get("nodeSelectorTerms")
    return not isinstance(terms, list) or any(_matches(_mapping(term), machine) for term in terms)


def _matches(term: Mapping[str, object], machine: Machine) -> bool:
    by_name = [(each, {"metadata.name": machine.name}) for each in _listed(term.get("matchFields"))]
    by_label = [(each, machine.labels) for each in _listed(term.get("matchExpressions"))]
    return all(_holds(each, values) for each, values in [*by_name, *by_label])


def _holds(expression: Mapping[str, object], values: Mapping[str, object]) -> bool:
    key, operator, wanted = (expression.get(part) for part in ("key", "operator", "values"))
    there, chosen = key in values, wanted if isinstance(wanted, list) else []
    if operator == "In":
        return values.get(str(key)) in chosen
    if operator == "NotIn":
        return values.get(str(key)) not in chosen
    if operator == "DoesNotExist":
        return not there
    return there  # Exists; of Gt and Lt we only know that the label has to be there


def _tolerates(toleration: Mapping[str, object], taint: Mapping[str, object]) -> bool:
    """Match a toleration and a taint. Format: core/v1; no key or effect means any."""
    if toleration.get("effect") not in {None, "", taint.get("effect")}:
        return False
    if toleration.get("key") not in {None, "", taint.get("key")}:
        return False
    same = (toleration.get("value") or "") == (taint.get("value") or "")
    return toleration.get("operator") == "Exists" or (bool(toleration.get("key")) and same)


def _listed(value: object) -> list[Mapping[str, object]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
