"""The status of one job: its numbers, its workers and the one reason for its state. observe → reason → `status`."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.jobs.failures import rank_of
from toolkit.jobs.observe import observe
from toolkit.jobs.reason import explain
from toolkit.jobs.room import RANK_LABEL
from toolkit.jobs.seen import Seen
from toolkit.jobs.states import JobState, Reason
from toolkit.jobs.values import label, mappings, number, text
from toolkit.jobs.where import Where

_MOST_EVENTS = 5


@dataclass(frozen=True)
class WorkerStatus:
    """One worker's pod."""

    rank: int
    pod: str
    phase: str
    node: str
    """Empty while it has none."""
    exit_code: int | None
    """None while it runs."""


@dataclass(frozen=True)
class JobStatus:
    """A job and the parts that its reason was made from."""

    job: str
    cluster: str
    namespace: str
    in_tiers_yaml: bool
    state: JobState
    reason: Reason
    phase: str
    """Volcano's own word; empty when it has not looked."""
    since: str
    """When it came into that phase (RFC 3339, the cluster's clock)."""
    submitted: str
    workers: int
    minimum: int
    running: int
    retries: int
    most_retries: int
    queue: str
    queue_state: str
    priority_class: str
    pod_group: str
    """Phase of its PodGroup: Pending, Inqueue, Running, Unknown, Completed; empty when there is none."""
    pods: tuple[WorkerStatus, ...]
    events: tuple[str, ...]
    """The last ones, while it waits."""
    unread: tuple[str, ...]
    """Kinds that this user may not read; the reason is made without them."""


def status(where: Where) -> JobStatus:
    """Say what a job does and why.

    Raises:
        ClusterError: Volcano is not installed, or this user may not read jobs there.
        UnreachableError: the server does not answer.
    """
    return status_of(where, observe(where.kinds, where.namespace, where.name, pool=where.pool))


def status_of(where: Where, seen: Seen) -> JobStatus:
    """Make the status of what was seen. Pure."""
    reason = explain(seen)
    events = [f"{text(each, 'reason')}: {text(each, 'message')}" for each in seen.events]
    return JobStatus(
        job=seen.name,
        cluster=where.connection.cluster,
        namespace=seen.namespace,
        in_tiers_yaml=bool(where.pool),
        state=reason.state,
        reason=reason,
        phase=seen.phase,
        since=seen.since,
        submitted=text(seen.job, "metadata", "creationTimestamp"),
        workers=seen.workers,
        minimum=seen.minimum,
        running=seen.running,
        retries=seen.retries,
        most_retries=seen.most_retries,
        queue=seen.queue_name if seen.job else "",
        queue_state=text(seen.queue, "status", "state"),
        priority_class=text(seen.job, "spec", "priorityClassName"),
        pod_group=text(seen.pod_group, "status", "phase"),
        pods=_workers(seen),
        events=tuple(dict.fromkeys(events))[-_MOST_EVENTS:],
        unread=seen.unread,
    )


def _workers(seen: Seen) -> tuple[WorkerStatus, ...]:
    pods = [pod for pod in seen.pods if label(pod, RANK_LABEL)]
    return tuple(
        WorkerStatus(
            rank=rank_of(pod),
            pod=text(pod, "metadata", "name"),
            phase=text(pod, "status", "phase"),
            node=text(pod, "spec", "nodeName"),
            exit_code=next(
                (
                    number(each, "state", "terminated", "exitCode")
                    for each in mappings(pod, "status", "containerStatuses")
                    if text(each, "state", "terminated")
                ),
                None,
            ),
        )
        for pod in sorted(pods, key=rank_of)
    )


def summary(found: JobStatus) -> list[tuple[str, str]]:
    """Give the short form for people: what and value; what does not apply is left out."""
    pods = [
        (
            f"rank {each.rank}",
            f"{each.phase} on {each.node or 'no machine'}"
            + (f", exit code {each.exit_code}" if each.exit_code is not None else ""),
        )
        for each in found.pods
    ]
    rows = [
        ("job", f"{found.job} in {found.namespace}, cluster {found.cluster}"),
        ("state", found.state.value + (f" since {found.since}" if found.since else "")),
        ("workers", f"{found.running} of {found.workers} run" if found.workers else ""),
        ("queue", found.queue),
        ("retries", f"{found.retries} of {found.most_retries}" if found.most_retries else ""),
        ("in tiers.yaml", "" if found.in_tiers_yaml else "no"),
        *pods,
    ]
    return [(what, value) for what, value in rows if value]
