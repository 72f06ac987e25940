"""Does an object run? By its own status, as kstatus reads it. Pure; `wait` and `status` ask.

First rules of all kinds: what is being deleted does not run, and a status that was written for an older generation says
nothing. Only what no controller will ever change again is final: a Deployment that is past its deadline, or a condition
Stalled, may still recover, so nobody gives up waiting for it. Machines that are offline are not waited for: a DaemonSet
runs when READY_PERCENT of its pods on the others do. Sources: kstatus of sigs.k8s.io/cli-utils for core kinds; phases
of batch.volcano.sh/v1alpha1 Job and states of scheduling.volcano.sh Queue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from toolkit.cluster.machines import Machine, is_wanted_on, offline_of

VOLCANO_JOB = "batch.volcano.sh"
READY_PERCENT = 95
"""Per cent of the pods on reachable machines that make a DaemonSet ready."""
_JOB_WORKS = frozenset({"Running", "Completing", "Completed"})
_JOB_FAILED = frozenset({"Failed", "Aborted", "Terminated"})
_HAS_A_CONTROLLER = frozenset({"DaemonSet", "Deployment", "StatefulSet"})


class State(str, Enum):
    """Whether an object does its work."""

    READY = "ready"
    PROGRESSING = "progressing"
    FAILED = "failed"


@dataclass(frozen=True)
class Readiness:
    """A state and, unless it is ready, the condition that is missing."""

    state: State
    reason: str = ""
    final: bool = False
    """It has failed and will never recover by itself."""
    offline: Mapping[str, str] = field(default_factory=dict)
    """Machine → since when it does not answer; their pods were not waited for."""


READY = Readiness(State.READY)
Nodes = Callable[[], Sequence[Machine]]
"""Gives the cluster's nodes; called only for a DaemonSet."""


def _no_nodes() -> Sequence[Machine]:
    return ()


def judge(
    body: Mapping[str, object], nodes: Nodes = _no_nodes, ready_percent: int = READY_PERCENT
) -> Readiness:
    """Judge one live object.

    Args:
        body: the object as the server gave it.
        nodes: the machines; without them every pod counts.
        ready_percent: how much of a DaemonSet on reachable machines is enough.
    """
    status, spec, metadata = (_mapping(body.get(part)) for part in ("status", "spec", "metadata"))
    if metadata.get("deletionTimestamp"):
        return _waits("it is being deleted")
    kind, group = str(body.get("kind")), str(body.get("apiVersion")).partition("/")[0]
    generation, seen = _number(metadata.get("generation")), status.get("observedGeneration")
    if seen is None and kind in _HAS_A_CONTROLLER:
        return _waits("its controller has not seen it")
    if seen is not None and _number(seen) < generation:
        return _waits("its controller has not seen the last change")
    if kind == "DaemonSet":
        return _daemon_set(spec, status, nodes, ready_percent)
    if kind == "Job" and group == VOLCANO_JOB:
        return _gang(status)
    rule = _RULES.get(kind)
    return rule(spec, status) if rule else _conditions(spec, status)


def _daemon_set(
    spec: Mapping[str, object], status: Mapping[str, object], nodes: Nodes, ready_percent: int
) -> Readiness:
    wanted, ready = _number(status.get("desiredNumberScheduled")), _number(status.get("numberReady"))
    if _mapping(spec.get("updateStrategy")).get("type") == "RollingUpdate":
        ready = min(ready, _number(status.get("updatedNumberScheduled")))
    pod = _mapping(_mapping(spec.get("template")).get("spec"))
    offline = offline_of(pod, nodes())
    reachable = max(wanted - sum(1 for each in offline if is_wanted_on(pod, each)), 0)
    enough = -(-reachable * ready_percent // 100)
    silent = {each.name: str(each.silent_since) for each in offline}
    if ready >= reachable and not silent:
        return READY
    said = f"{ready} of {wanted} pods are ready"
    if silent:
        said += f"; {len(silent)} machines are offline"
    if enough < reachable:
        said += f"; {enough} are enough"
    return Readiness(State.READY if ready >= enough else State.PROGRESSING, said, offline=silent)


def _deployment(spec: Mapping[str, object], status: Mapping[str, object]) -> Readiness:
    wanted, updated = _number(spec.get("replicas", 1)), _number(status.get("updatedReplicas"))
    for condition in _all_conditions(status):
        if condition.get("reason") == "ProgressDeadlineExceeded":
            return Readiness(State.FAILED, str(condition.get("message")))
    if updated < wanted:
        return _waits(f"updatedReplicas: {updated} of {wanted}")
    if (old := _number(status.get("replicas")) - updated) > 0:
        return _waits(f"{old} old pods are not gone yet")
    for field_name in ("readyReplicas", "availableReplicas"):
        if (found := _number(status.get(field_name))) < wanted:
            return _waits(f"{field_name}: {found} of {wanted}")
    return READY


def _stateful_set(spec: Mapping[str, object], status: Mapping[str, object]) -> Readiness:
    wanted, ready = _number(spec.get("replicas", 1)), _number(status.get("readyReplicas"))
    if ready < wanted:
        return _waits(f"readyReplicas: {ready} of {wanted}")
    strategy = _mapping(spec.get("updateStrategy"))
    if strategy.get("type") == "OnDelete":
        return READY
    kept = _number(_mapping(strategy.get("rollingUpdate")).get("partition"))
    updated = _number(status.get("updatedReplicas"))
    if status.get("currentRevision") != status.get("updateRevision"):
        enough = max(wanted - kept, 0)
        return READY if updated >= enough else _waits(f"updatedReplicas: {updated} of {enough}")
    return READY


def _job(spec: Mapping[str, object], status: Mapping[str, object]) -> Readiness:
    for condition in _all_conditions(status):
        if condition.get("status") != "True":
            continue
        said = f"{condition.get('reason') or ''}: {condition.get('message') or ''}"
        if condition.get("type") in {"Complete", "SuccessCriteriaMet"}:
            return READY
        if condition.get("type") in {"Failed", "FailureTarget"}:
            return Readiness(State.FAILED, said, final=True)
        if condition.get("type") == "Suspended":
            return _waits("it is suspended")
    return _waits(f"succeeded: {_number(status.get('succeeded'))} of {_number(spec.get('completions', 1))}")


def _namespace(_: Mapping[str, object], status: Mapping[str, object]) -> Readiness:
    return READY if status.get("phase") == "Active" else _waits(f"phase {status.get('phase')}")


def _claim(_: Mapping[str, object], status: Mapping[str, object]) -> Readiness:
    phase = status.get("phase") or "not set"
    if phase == "Lost":
        return Readiness(State.FAILED, "phase Lost: its volume is gone", final=True)
    return READY if phase == "Bound" else _waits(f"phase {phase}")


def _definition(_: Mapping[str, object], status: Mapping[str, object]) -> Readiness:
    """Judge a CustomResourceDefinition: its names have to be free and its kind has to be served."""
    found = {each.get("type"): each for each in _all_conditions(status)}
    for kind in ("NamesAccepted", "Established"):
        condition = found.get(kind, {})
        if condition.get("status") != "True":
            state = State.FAILED if condition.get("status") == "False" and kind == "NamesAccepted" else None
            said = f"{kind} is {condition.get('status') or 'not set'}: {condition.get('message') or ''}"
            return Readiness(state or State.PROGRESSING, said)
    return READY


def _queue(_: Mapping[str, object], status: Mapping[str, object]) -> Readiness:
    return READY if status.get("state") == "Open" else _waits(f"state {status.get('state') or 'not set'}")


def _gang(status: Mapping[str, object]) -> Readiness:
    state = _mapping(status.get("state"))
    phase = str(state.get("phase") or "not set")
    if phase in _JOB_WORKS:
        return READY
    reason = str(state.get("message") or state.get("reason") or "")
    said = f"phase {phase}" + (f": {reason}" if reason else "")
    return Readiness(State.FAILED, said, final=True) if phase in _JOB_FAILED else _waits(said)


def _conditions(_: Mapping[str, object], status: Mapping[str, object]) -> Readiness:
    """Judge any other kind by the conditions that many of them have; one without any is ready by being there."""
    waits: Readiness | None = None
    for condition in _all_conditions(status):
        kind, value = condition.get("type"), condition.get("status")
        said = f"{kind}={value}: {condition.get('message') or condition.get('reason') or ''}"
        if kind in {"Stalled", "Failed"} and value == "True":
            return Readiness(State.FAILED, said)
        if (kind in {"Ready", "Available"} and value != "True") or (
            kind == "Reconciling" and value == "True"
        ):
            waits = waits or _waits(said)
    return waits or READY


_RULES: Mapping[str, Callable[[Mapping[str, object], Mapping[str, object]], Readiness]] = {
    "Namespace": _namespace,
    "CustomResourceDefinition": _definition,
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "Job": _job,
    "PersistentVolumeClaim": _claim,
    "Queue": _queue,
}


def _waits(reason: str) -> Readiness:
    return Readiness(State.PROGRESSING, reason)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _all_conditions(status: Mapping[str, object]) -> list[Mapping[str, object]]:
    listed = status.get("conditions")
    return [each for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
