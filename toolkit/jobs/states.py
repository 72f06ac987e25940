"""The state of a job and why: what `reason` and `waiting` give, and what `status`, `list` and `follow` show."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class JobState(str, Enum):
    """What a job does, in words for people. Several of Volcano's phases can be one of them."""

    NOT_SUBMITTED = "not submitted"
    PENDING = "pending"
    RUNNING = "running"
    RESTARTING = "restarting"
    SUSPENDED = "suspended"
    STOPPING = "stopping"
    COMPLETING = "completing"
    COMPLETED = "completed"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def ended(self) -> bool:
        """Whether it has run to its end, good or bad; a suspended job has not."""
        return self in {JobState.COMPLETED, JobState.FAILED}


class Cause(str, Enum):
    """Why a job is in its state; scripts read it, people read `Reason.why`."""

    NOT_SUBMITTED = "not-submitted"
    NOT_SEEN = "controller-has-not-seen-it"
    PRIORITY_CLASS = "priority-class-missing"
    QUEUE_MISSING = "queue-missing"
    QUEUE_CLOSED = "queue-closed"
    NO_MACHINES = "no-such-machines"
    MACHINE_TOO_SMALL = "machine-too-small"
    POOL_TOO_SMALL = "pool-too-small"
    QUEUE_TOO_SMALL = "queue-too-small"
    QUOTA = "quota"
    QUEUE_FULL = "queue-full"
    NO_ROOM = "no-room-now"
    REFUSED = "pods-refused"
    SCHEDULER = "scheduler-says-no"
    NOT_YET = "not-yet"
    IMAGE = "image-cannot-be-pulled"
    CONTAINER = "container-cannot-start"
    RESTARTED = "restarted"
    INCOMPLETE = "incomplete"
    RUNS = "runs"
    ENDS = "ends"
    DONE = "done"
    FAILED = "worker-failed"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


NEVER = frozenset(
    {Cause.NO_MACHINES, Cause.MACHINE_TOO_SMALL, Cause.POOL_TOO_SMALL, Cause.QUEUE_TOO_SMALL, Cause.QUEUE_MISSING}
)  # fmt: skip
"""Causes that no waiting cures: somebody has to change something."""


@dataclass(frozen=True)
class Reason:
    """Why a job is in its state, and what would change that."""

    state: JobState
    cause: Cause
    why: str
    """What is so, in one or two sentences."""
    cure: str = ""
    """What to do about it, best as a command; empty when there is nothing to do."""

    @property
    def never(self) -> bool:
        """Whether it waits for something that does not come by itself."""
        return self.state is JobState.PENDING and self.cause in NEVER

    def __str__(self) -> str:
        """Write it on one line."""
        return f"{self.state.value}: {self.why}" + (f" {self.cure}" if self.cure else "")
