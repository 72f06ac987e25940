"""Suspend and resume: a Command of Volcano for a job, and the wait until it has happened.

Volcano has no field for this: its controller takes a Command (bus.volcano.sh/v1alpha1) that names the job as its owner,
deletes the Command and acts. A Command is applied under a name made of job, action and the job's retries, so the same
asked twice is one Command. A resume is a restart to Volcano: it takes one of the job's retries, and a job without one
left would fail (pkg/controllers/job/state/aborted.go and restarting.go of 1.15.1), so that is refused here.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from enum import Enum

from toolkit.cluster.compare import MANAGER
from toolkit.cluster.request import Json
from toolkit.errors import JobError
from toolkit.jobs.observe import JOB, read
from toolkit.jobs.reason import state_of
from toolkit.jobs.states import JobState
from toolkit.jobs.values import number, text
from toolkit.jobs.where import Where
from toolkit.placement import fitted_name

COMMAND = ("bus.volcano.sh/v1alpha1", "Command")
_PAUSE_SECONDS = 0.2


class Order(str, Enum):
    """What a Command asks for, in Volcano's word."""

    SUSPEND = "AbortJob"
    RESUME = "ResumeJob"


@dataclass(frozen=True)
class Ordered:
    """What became of an order. `sent` is False when there was nothing to do."""

    job: str
    order: Order
    sent: bool
    state: JobState
    seconds: float


def suspend(where: Where, *, seconds: float) -> Ordered:
    """Stop a job's workers and keep the job; wait until no worker is left.

    Raises:
        JobError: it is not there, has ended, or did not stop within so many seconds.
        RefusedError: this user may not send Commands.
        UnreachableError: the server does not answer.
    """
    live = _there(where)
    state = state_of(live)
    if state is JobState.SUSPENDED:
        return Ordered(where.name, Order.SUSPEND, sent=False, state=state, seconds=0.0)
    if state.ended or state is JobState.COMPLETING:
        raise JobError(
            f"job {where.name} is {state.value}: there is nothing to suspend",
            hint=f"tiers job status {where.name}",
        )
    return _order(where, live, Order.SUSPEND, frozenset({JobState.SUSPENDED}), seconds)


def resume(where: Where, *, seconds: float) -> Ordered:
    """Let a suspended job start again; wait until it is back in its queue or runs.

    Raises:
        JobError: it is not there, was not suspended, has no retry left to start with, or did not come back in time.
        RefusedError: this user may not send Commands.
        UnreachableError: the server does not answer.
    """
    live = _there(where)
    state = state_of(live)
    if state in {JobState.RUNNING, JobState.PENDING, JobState.RESTARTING}:
        return Ordered(where.name, Order.RESUME, sent=False, state=state, seconds=0.0)
    if state is not JobState.SUSPENDED:
        raise JobError(
            f"job {where.name} is {state.value}: only a suspended job can be resumed",
            hint=f"tiers job submit {where.name} --again"
            if state.ended
            else f"tiers job status {where.name}",
        )
    retries, most = number(live, "status", "retryCount"), number(live, "spec", "maxRetry")
    if retries + 1 >= most:
        raise JobError(
            f"job {where.name} has used {retries} of {most} retries; a resume takes one, and Volcano would fail it",
            hint=f"tiers job submit {where.name} --replace starts it from its checkpoints",
        )
    back = frozenset({JobState.RUNNING, JobState.PENDING, JobState.COMPLETING, JobState.COMPLETED})
    return _order(where, live, Order.RESUME, back, seconds)


def _there(where: Where) -> Json:
    live = read(where.kinds, JOB, where.namespace, where.name)
    if live is None:
        raise JobError(
            f"job {where.name} is not in the cluster '{where.connection.cluster}'",
            hint=f"tiers job submit {where.name}",
        )
    return live


def _order(where: Where, live: Json, order: Order, done: frozenset[JobState], seconds: float) -> Ordered:
    """Send a Command and wait until the job is in one of the states."""
    begin = time.monotonic()
    _send(where, live, order)
    while True:
        now = read(where.kinds, JOB, where.namespace, where.name)
        state = state_of(now) if now is not None else JobState.NOT_SUBMITTED
        took = time.monotonic() - begin
        if state in done:
            return Ordered(where.name, order, sent=True, state=state, seconds=took)
        if now is None or state.ended:
            raise JobError(
                f"job {where.name} is {state.value} before it was {_past(order)}",
                hint=f"tiers job status {where.name}",
            )
        if took >= seconds:
            raise JobError(
                f"after {took:.0f} s job {where.name} is {state.value}, not {_past(order)} yet; "
                "the order stands, its workers may need their grace",
                hint=f"tiers job status {where.name}",
            )
        threading.Event().wait(_PAUSE_SECONDS)


def _send(where: Where, live: Json, order: Order) -> None:
    uid = text(live, "metadata", "uid")
    target = {
        "apiVersion": JOB[0],
        "kind": JOB[1],
        "name": where.name,
        "uid": uid,
        "controller": True,
    }
    retries = number(live, "status", "retryCount")
    name = fitted_name(where.name, order.value.lower(), uid[:8], str(retries))
    body = {
        "apiVersion": COMMAND[0],
        "kind": COMMAND[1],
        "metadata": {"name": name, "namespace": where.namespace, "ownerReferences": [target]},
        "action": order.value,
        "target": target,
    }
    path = where.kinds.resource(*COMMAND).path(where.namespace, name)
    where.connection.send("PATCH", path, {"fieldManager": MANAGER, "fieldValidation": "Strict"}, body)


def _past(order: Order) -> str:
    return "suspended" if order is Order.SUSPEND else "resumed"
