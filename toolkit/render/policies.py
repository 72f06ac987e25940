"""What Volcano does when a worker fails, is evicted or never starts: `retry` of a job as lifecycle policies.

Part of `gang`. Read in volcano-sh/volcano v1.15.1 (pkg/controllers/job): the first policy that fits wins, so exit codes
come before PodFailed; each restart counts against maxRetry, and maxRetry 0 means 3; PodPending fires only by timeout.

Measured there (tests/toolkit/cluster/test_gangs_preemption.py): a preempted gang of four counts one restart, not four;
Volcano has one budget for evictions and failures, and none of its actions starts a gang again without counting. So
`retry.attempts` is the sum of both: a hundred by default, and failures that shall not be retried end the job by
TerminateJob whatever is left of the budget.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from toolkit.topology.job import Job
from toolkit.topology.scheduler import Profile

PENDING_TIMEOUT = "1h"
"""Longest time for a pod of a gang to start. It runs from when the pod is made, not from when it has a machine, so
where waiting jobs have pods there is no such policy: each hour of waiting would use one attempt."""
TAKEN_BACK = frozenset({143, 137})
"""Exit codes of a worker that went when it was told to, and of one that was still there when its time was over."""
RESTART_JOB, RESTART_POD, TERMINATE, COMPLETE = "RestartJob", "RestartPod", "TerminateJob", "CompleteJob"


@dataclass(frozen=True)
class Policy:
    """One lifecycle policy: either an event or an exit code."""

    action: str
    event: str = ""
    exit_code: int = 0
    timeout: str = ""


def policies(job: Job, profile: Profile, *, rented: bool = False) -> tuple[Policy, ...]:
    """Give the policies of a job under a scheduler's profile, in the order in which Volcano tries them.

    Args:
        job: the job.
        profile: whether waiting jobs have pods.
        rented: whether its machines may be taken back; kubelet then ends the pods itself while the machine goes down,
            which to Volcano is no eviction but a failure with one of TAKEN_BACK.
    """
    codes = (
        TAKEN_BACK if rented and any(cause.kind == "evicted" for cause in job.retry.after) else frozenset()
    )
    return tuple(_policies(job, waits_with_pods=profile != "queued", codes=codes))


def max_retry(job: Job) -> int:
    """Give maxRetry; 1 when nothing is retried, because Volcano reads 0 as 3 (then no policy restarts anything)."""
    return max(job.retry.attempts, 1)


def _policies(job: Job, *, waits_with_pods: bool, codes: frozenset[int]) -> Iterator[Policy]:
    retried = job.retry.after if job.retry.attempts else ()
    kinds = {cause.kind for cause in retried}
    # A worker of an elastic gang comes back alone; the others go on, led by torchrun.
    come_back = RESTART_POD if job.gang.minimum < job.gang.workers else RESTART_JOB
    asked = {cause.exit_code for cause in retried if cause.exit_code is not None}
    for code in sorted(asked | codes if retried else asked):
        yield Policy(RESTART_JOB, exit_code=code)
    yield Policy(come_back if "evicted" in kinds else TERMINATE, event="PodEvicted")
    yield Policy(RESTART_JOB if "evicted" in kinds else TERMINATE, event="Unknown")
    yield Policy(RESTART_JOB if "failed" in kinds else TERMINATE, event="PodFailed")
    if not waits_with_pods:
        yield Policy(RESTART_JOB if retried else TERMINATE, event="PodPending", timeout=PENDING_TIMEOUT)
    yield Policy(COMPLETE, event="TaskCompleted")
