"""Does an object run? By its own status, as kstatus reads it. Pure; `wait` and `status` ask.

First rule of all kinds: a status that was written for an older generation says nothing. Sources: kstatus of
sigs.k8s.io/cli-utils for core kinds; phases of batch.volcano.sh/v1alpha1 Job and states of scheduling.volcano.sh Queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

VOLCANO_JOB = "batch.volcano.sh"
_JOB_WORKS = frozenset({"Running", "Completing", "Completed"})
_JOB_FAILED = frozenset({"Failed", "Aborted", "Terminated"})


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


READY = Readiness(State.READY)


def judge(body: Mapping[str, object]) -> Readiness:
    """Judge one live object."""
    status, spec, metadata = (_mapping(body.get(part)) for part in ("status", "spec", "metadata"))
    generation, seen = _number(metadata.get("generation")), status.get("observedGeneration")
    if seen is not None and _number(seen) < generation:
        return _waits("its controller has not seen the last change")
    kind, group = str(body.get("kind")), str(body.get("apiVersion")).partition("/")[0]
    if kind == "Namespace":
        return READY if status.get("phase") == "Active" else _waits(f"phase {status.get('phase')}")
    if kind == "DaemonSet":
        return _daemon_set(status)
    if kind in {"Deployment", "StatefulSet"}:
        return _replicas(spec, status)
    if kind == "Queue":
        return READY if status.get("state") == "Open" else _waits(f"state {status.get('state') or 'not set'}")
    if kind == "Job" and group == VOLCANO_JOB:
        return _gang(status)
    return _conditions(status)


def _daemon_set(status: Mapping[str, object]) -> Readiness:
    if "observedGeneration" not in status:
        return _waits("its controller has not seen it")
    wanted, ready = _number(status.get("desiredNumberScheduled")), _number(status.get("numberReady"))
    return READY if ready >= wanted else _waits(f"{ready} of {wanted} pods are ready")


def _replicas(spec: Mapping[str, object], status: Mapping[str, object]) -> Readiness:
    for condition in _all_conditions(status):
        if condition.get("reason") == "ProgressDeadlineExceeded":
            return Readiness(State.FAILED, str(condition.get("message")))
    wanted = _number(spec.get("replicas", 1))
    for field in ("updatedReplicas", "readyReplicas"):
        if _number(status.get(field)) < wanted:
            return _waits(f"{field}: {_number(status.get(field))} of {wanted}")
    return READY


def _gang(status: Mapping[str, object]) -> Readiness:
    state = _mapping(status.get("state"))
    phase = str(state.get("phase") or "not set")
    if phase in _JOB_WORKS:
        return READY
    reason = str(state.get("message") or state.get("reason") or "")
    said = f"phase {phase}" + (f": {reason}" if reason else "")
    return Readiness(State.FAILED, said) if phase in _JOB_FAILED else _waits(said)


def _conditions(status: Mapping[str, object]) -> Readiness:
    """Judge any other kind by the conditions that many of them have; one without any is ready by being there."""
    for condition in _all_conditions(status):
        kind, value = condition.get("type"), condition.get("status")
        said = f"{kind}={value}: {condition.get('message') or condition.get('reason') or ''}"
        if kind in {"Stalled", "Failed"} and value == "True":
            return Readiness(State.FAILED, said)
        if (kind in {"Ready", "Established"} and value != "True") or (
            kind == "Reconciling" and value == "True"
        ):
            return _waits(said)
    return READY


def _waits(reason: str) -> Readiness:
    return Readiness(State.PROGRESSING, reason)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _all_conditions(status: Mapping[str, object]) -> list[Mapping[str, object]]:
    listed = status.get("conditions")
    return [each for each in listed if isinstance(each, Mapping)] if isinstance(listed, list) else []


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
