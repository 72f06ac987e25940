"""Job, PodGroup, pods, queue, quota and nodes → ONE reason for the state of a job, and what would cure it. Pure.

    observe → Seen → `explain` → Reason → status, list, follow

Volcano's phases: Pending, Running, Restarting, Completing, Completed, Aborting, Aborted, Terminating, Terminated,
Failed (batch.volcano.sh/v1alpha1). A job of ours that fails for good is Terminated (no policy retried it) or Failed (no
retry was left); Aborted is a job that somebody suspended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from toolkit.jobs.amount import count
from toolkit.jobs.failures import failures, rank_of
from toolkit.jobs.queue_rules import overuse
from toolkit.jobs.room import live
from toolkit.jobs.seen import Seen
from toolkit.jobs.states import Cause, JobState, Reason
from toolkit.jobs.values import at, mappings, number, text
from toolkit.jobs.waiting import why_waiting

_IMAGE = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
)
_CONTAINER = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_REFUSED_EVENTS = ("FailedCreate", "PodGroupError", "PluginError", "PVCError")


def explain(seen: Seen) -> Reason:
    """Give the state of a job and the one reason for it that matters most."""
    if seen.job is None:
        return Reason(
            JobState.NOT_SUBMITTED,
            Cause.NOT_SUBMITTED,
            f"it is not in namespace {seen.namespace}.",
            f"tiers job submit {seen.name}",
        )
    if at(seen.job, "metadata", "deletionTimestamp"):
        return Reason(JobState.STOPPING, Cause.STOPPED, f"it is being deleted; {_still(seen)}.")
    return _BY_PHASE.get(seen.phase, _unknown)(seen)


def _not_seen(seen: Seen) -> Reason:
    return Reason(
        JobState.PENDING,
        Cause.NOT_SEEN,
        f"Volcano's controller has not looked at {seen.name} yet.",
        "if this lasts: kubectl get pods -n volcano-system",
    )


def _pending(seen: Seen) -> Reason:
    """Find out why not all workers run: what stops their pods first, then what keeps them from having machines."""
    stuck = _stuck(seen)
    if stuck is not None:
        return stuck
    reason = why_waiting(seen)
    if reason is not None:
        return _after_restart(seen, reason)
    refused = _events(seen, _REFUSED_EVENTS)
    if refused and len(live(seen.pods)) < seen.minimum:
        return Reason(
            JobState.PENDING,
            Cause.REFUSED,
            f"the cluster refuses its pods: {refused[-1]}",
            f"tiers lint, then tiers job submit {seen.name} --replace",
        )
    placed = sum(1 for pod in live(seen.pods) if text(pod, "spec", "nodeName"))
    said = _scheduler_says(seen)
    if placed >= seen.minimum:
        why = f"all {placed} workers have a machine and start."
        return _after_restart(seen, Reason(JobState.PENDING, Cause.NOT_YET, why))
    if said:
        why = f"by our count there is room for it, but the scheduler says: {said}"
        return _after_restart(
            seen, Reason(JobState.PENDING, Cause.SCHEDULER, why, "tiers doctor looks at the scheduler")
        )
    let_in = text(seen.pod_group, "status", "phase")
    why = (
        "it is let in and gets its machines next."
        if let_in == "Inqueue"
        else "there is room for it; it is next."
    )
    return _after_restart(seen, Reason(JobState.PENDING, Cause.NOT_YET, why))


def _restarting(seen: Seen) -> Reason:
    why = f"its workers are stopped before they start again; {_still(seen)}. {_retry(seen)}"
    return Reason(JobState.RESTARTING, Cause.RESTARTED, why)


def _running(seen: Seen) -> Reason:
    stuck = _stuck(seen)
    if stuck is not None:
        return stuck
    since = f"since {seen.since}" if seen.since else ""
    retried = f" {_retry(seen)}" if seen.retries else ""
    if seen.running < seen.workers:
        ended = number(seen.job, "status", "succeeded")
        why = f"{seen.running} of {count(seen.workers, 'worker')} run"
        why += f", {ended} have ended well" if ended else ""
        if seen.running + ended >= seen.minimum:
            return Reason(
                JobState.RUNNING, Cause.INCOMPLETE, f"{why} (it needs {seen.minimum}) {since}.{retried}"
            )
        missing = why_waiting(seen)
        more = f" The others wait: {missing.why}" if missing else ""
        cure = missing.cure if missing else ""
        return Reason(JobState.RUNNING, Cause.INCOMPLETE, f"{why} {since}.{more}{retried}", cure)
    return Reason(JobState.RUNNING, Cause.RUNS, f"all {count(seen.workers, 'worker')} run {since}.{retried}")


def _completing(seen: Seen) -> Reason:
    return Reason(JobState.COMPLETING, Cause.ENDS, f"its work is done; {_still(seen)}.")


def _completed(seen: Seen) -> Reason:
    cure = f"to run it anew: tiers job submit {seen.name} --again"
    return Reason(JobState.COMPLETED, Cause.DONE, f"it ended well at {seen.since}.", cure)


def _failed(seen: Seen) -> Reason:
    """Name the worker that failed first, how, and its last words."""
    found = sorted(failures(seen))
    if seen.retries and seen.retries >= seen.most_retries > 0:
        begin = f"it failed after {count(seen.retries, 'retry') if seen.retries == 1 else f'{seen.retries} retries'}"
    else:
        begin = "it failed, and its retry policy does not name this"
    if not found:
        why = f"{begin}: no pod of it is left that says how; at {seen.since}."
        return Reason(JobState.FAILED, Cause.FAILED, why, _after_failure(seen, None))
    _, rank, said = found[0]
    words = "".join(f"\n    | {line}" for line in seen.last_words.get(rank, ()))
    others = f"; so did {count(len(found) - 1, 'other worker')}" if len(found) > 1 else ""
    return Reason(
        JobState.FAILED,
        Cause.FAILED,
        f"{begin}: rank {rank} {said}{others}.{words}",
        _after_failure(seen, rank),
    )


def _aborted(seen: Seen) -> Reason:
    why = f"somebody suspended it at {seen.since}; it holds no machine and keeps its checkpoints."
    return Reason(JobState.SUSPENDED, Cause.STOPPED, why, f"tiers job resume {seen.name}")


def _stopping(seen: Seen) -> Reason:
    return Reason(JobState.STOPPING, Cause.STOPPED, f"its workers are stopped; {_still(seen)}.")


def _unknown(seen: Seen) -> Reason:
    why = f"Volcano calls its phase '{seen.phase}', which we do not know."
    return Reason(
        JobState.UNKNOWN, Cause.UNKNOWN, why, f"kubectl describe vcjob -n {seen.namespace} {seen.name}"
    )


_BY_PHASE: Mapping[str, Callable[[Seen], Reason]] = {
    "": _not_seen,
    "Pending": _pending,
    "Restarting": _restarting,
    "Running": _running,
    "Completing": _completing,
    "Completed": _completed,
    "Failed": _failed,
    "Terminated": _failed,
    "Aborting": _stopping,
    "Terminating": _stopping,
    "Aborted": _aborted,
}


def state_of(job: Mapping[str, object]) -> JobState:
    """Give the state of a job by its phase alone, without a look around; for lists."""
    if at(job, "metadata", "deletionTimestamp"):
        return JobState.STOPPING
    return _STATE.get(text(job, "status", "state", "phase"), JobState.UNKNOWN)


_STATE = {
    "": JobState.PENDING,
    "Pending": JobState.PENDING,
    "Restarting": JobState.RESTARTING,
    "Running": JobState.RUNNING,
    "Completing": JobState.COMPLETING,
    "Completed": JobState.COMPLETED,
    "Failed": JobState.FAILED,
    "Terminated": JobState.FAILED,
    "Aborting": JobState.STOPPING,
    "Terminating": JobState.STOPPING,
    "Aborted": JobState.SUSPENDED,
}


# ---------------------------------------------------------------- what the phases share
def _still(seen: Seen) -> str:
    return f"{count(len(live(seen.pods)), 'pod')} of it still there"


def _retry(seen: Seen) -> str:
    return f"This is retry {seen.retries} of {seen.most_retries}, since {seen.since}."


def _after_restart(seen: Seen, reason: Reason) -> Reason:
    """Say that it has run before: then it waits because it was stopped, perhaps by a queue that took its part back."""
    if not seen.retries:
        return reason
    words = (reason.why, _retry(seen), overuse(seen))
    return Reason(reason.state, reason.cause, " ".join(each for each in words if each), reason.cure)


def _stuck(seen: Seen) -> Reason | None:
    """Look for a container that cannot start: its image, its secret, its command."""
    for pod in live(seen.pods):
        for container in mappings(pod, "status", "containerStatuses"):
            waiting = text(container, "state", "waiting", "reason")
            said = text(container, "state", "waiting", "message")
            node = text(pod, "spec", "nodeName")
            if waiting in _IMAGE:
                image = text(container, "image")
                why = f"rank {rank_of(pod)} on {node} cannot get its image {image} ({waiting}: {said})."
                cure = f"tiers explain jobs.{seen.name}.image; then tiers job submit {seen.name} --replace"
                return Reason(JobState.PENDING, Cause.IMAGE, why, cure)
            if waiting in _CONTAINER:
                why = f"rank {rank_of(pod)} on {node} cannot start its container ({waiting}: {said})."
                cure = f"tiers explain jobs.{seen.name}.env; then tiers job submit {seen.name} --replace"
                return Reason(JobState.PENDING, Cause.CONTAINER, why, cure)
    return None


def _after_failure(seen: Seen, rank: int | None) -> str:
    again = f"tiers job submit {seen.name} --again"
    return again if rank is None else f"tiers job logs {seen.name} --rank {rank}; then {again}"


def _events(seen: Seen, reasons: tuple[str, ...]) -> list[str]:
    return [text(each, "message") for each in seen.events if text(each, "reason") in reasons]


def _scheduler_says(seen: Seen) -> str:
    """Give the scheduler's own words: of a pod, else of the PodGroup, else its last event about it."""
    for pod in live(seen.pods):
        for condition in mappings(pod, "status", "conditions"):
            if text(condition, "type") == "PodScheduled" and text(condition, "status") == "False":
                return text(condition, "message")
    latest = mappings(seen.pod_group, "status", "conditions")[-1:]
    for condition in latest:
        if text(condition, "type") == "Unschedulable":
            return text(condition, "message")
    said = _events(seen, ("Unschedulable",))
    return said[-1] if said else ""
