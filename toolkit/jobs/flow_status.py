"""The status of a flow: each step with the state of its job and the one reason for it. After `flow_submit`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from toolkit.cluster.kinds import Kinds
from toolkit.jobs.flow_submit import FAILED, FLOW, SUCCEED
from toolkit.jobs.observe import observe, read
from toolkit.jobs.reason import explain
from toolkit.jobs.states import Cause, JobState, Reason
from toolkit.jobs.values import mapping, mappings, text

_STATES: Mapping[str, JobState] = {
    "": JobState.PENDING,
    "Pending": JobState.PENDING,
    "Running": JobState.RUNNING,
    SUCCEED: JobState.COMPLETED,
    FAILED: JobState.FAILED,
    "Terminating": JobState.STOPPING,
}


@dataclass(frozen=True)
class StepStatus:
    """One step of a flow."""

    step: str
    job: str
    """Name of its Volcano Job; `tiers job status` and `logs` take it."""
    state: JobState
    why: str
    cure: str = ""


@dataclass(frozen=True)
class FlowStatus:
    """A flow and its steps, in their order."""

    flow: str
    cluster: str
    namespace: str
    state: JobState
    steps: tuple[StepStatus, ...]


def flow_status(kinds: Kinds, namespace: str, name: str) -> FlowStatus:
    """Say what a flow does, step by step.

    Volcano leaves a flow Running whose job has ended by TerminateJob (v1.15.1 looks for Failed alone), so a flow with
    a failed step is failed here.

    Raises:
        ClusterError: Volcano is not installed, or this user may not read jobs there.
        UnreachableError: the server does not answer.
    """
    live = read(kinds, FLOW, namespace, name)
    cluster = kinds.connection.cluster
    if live is None:
        return FlowStatus(name, cluster, namespace, JobState.NOT_SUBMITTED, ())
    steps = tuple(_step(kinds, namespace, name, each) for each in mappings(live, "spec", "flows"))
    state = _STATES.get(text(live, "status", "state", "phase"), JobState.UNKNOWN)
    if text(live, "metadata", "deletionTimestamp"):
        state = JobState.STOPPING
    elif any(each.state is JobState.FAILED for each in steps):
        state = JobState.FAILED
    return FlowStatus(name, cluster, namespace, state, steps)


def _step(kinds: Kinds, namespace: str, flow: str, entry: Mapping[str, object]) -> StepStatus:
    step = text(entry, "name")
    job = f"{flow}-{step}"
    reason = explain(observe(kinds, namespace, job))
    if reason.cause is Cause.NOT_SUBMITTED:
        before = mapping(entry, "dependsOn").get("targets")
        after = ", ".join(map(str, before)) if isinstance(before, list) else ""
        why = f"its turn comes after {after}." if after else "Volcano has not made its job yet."
        reason = Reason(JobState.PENDING, Cause.NOT_YET, why)
    return StepStatus(step, job, reason.state, reason.why, reason.cure)
