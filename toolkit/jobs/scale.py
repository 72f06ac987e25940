"""Change how many workers a job has while it runs: for elastic gangs, between their minimum and their maximum.

A worker reads the size of its world from its environment, and Volcano lets nothing of that change. So only a gang with
`gang.min` below `gang.workers` can be scaled: torchrun was told MIN:MAX. A rigid gang is started again instead, which
`tiers job submit NAME --workers N --replace` does from its checkpoints. Sent as what was submitted, with other numbers:
replicas and both minAvailable go together in one server-side apply, which the webhook checks as one change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from toolkit.cluster.compare import MANAGER, owned_fields
from toolkit.cluster.request import Json
from toolkit.errors import JobError, UsageError
from toolkit.jobs.differing import resized
from toolkit.jobs.observe import JOB, read
from toolkit.jobs.reason import state_of
from toolkit.jobs.states import JobState
from toolkit.jobs.values import mappings, number, text
from toolkit.jobs.where import Where

_STANDS = frozenset({JobState.PENDING, JobState.RUNNING, JobState.RESTARTING, JobState.SUSPENDED})
_NODES_VARIABLE = "PET_NNODES"
"""What torchrun reads: N, or MIN:MAX of an elastic gang."""


@dataclass(frozen=True)
class Scaled:
    """A job's numbers of workers before and after. Equal ones mean that nothing was sent."""

    job: str
    before: int
    after: int
    lowest: int
    highest: int


def scale(where: Where, workers: int) -> Scaled:
    """Give an elastic gang another number of workers.

    Raises:
        UsageError: the gang is rigid, or the number is outside of what it allows; says what is allowed.
        JobError: the job is not there, has ended, or was not submitted by tiers.
        ConflictError: somebody else owns its number of workers.
        RefusedError: Volcano's webhook does not take it.
        UnreachableError: the server does not answer.
    """
    live = _standing(where)
    tasks = mappings(live, "spec", "tasks")
    before = number(tasks[0], "replicas")
    lowest, highest = _allowed(where.name, tasks[0], number(live, "spec", "minAvailable"), before)
    if not lowest <= workers <= highest:
        raise UsageError(
            f"job {where.name} can have {lowest} to {highest} workers, not {workers}",
            hint=f"tiers job scale {where.name} --workers {min(max(workers, lowest), highest)}"
            f"\n   or: tiers job submit {where.name} --workers {workers} --replace",
        )
    if workers != before:
        priority = text(live, "spec", "priorityClassName")
        body = resized(live, workers=workers, minimum=lowest, priority_class=priority)
        path = where.kinds.resource(*JOB).path(where.namespace, where.name)
        where.connection.send("PATCH", path, {"fieldManager": MANAGER, "fieldValidation": "Strict"}, body)
    return Scaled(where.name, before, workers, lowest, highest)


def _standing(where: Where) -> Json:
    live = read(where.kinds, JOB, where.namespace, where.name)
    if live is None:
        raise JobError(f"job {where.name} is not in the cluster", hint=f"tiers job submit {where.name}")
    state = state_of(live)
    if state not in _STANDS:
        raise JobError(
            f"job {where.name} is {state.value} and cannot be scaled",
            hint=f"tiers job submit {where.name} --again"
            if state.ended
            else f"tiers job status {where.name}",
        )
    if owned_fields(live) is None or len(mappings(live, "spec", "tasks")) != 1:
        raise JobError(
            f"job {where.name} was not submitted by tiers", hint=f"kubectl edit vcjob -n {where.namespace}"
        )
    return live


def _allowed(name: str, task: Mapping[str, object], minimum: int, now: int) -> tuple[int, int]:
    """Read from a worker's environment how many there may be."""
    containers = mappings(task, "template", "spec", "containers")
    variables = {text(each, "name"): text(each, "value") for each in mappings(containers[0], "env")}
    low, colon, high = variables.get(_NODES_VARIABLE, "").partition(":")
    if not colon:
        raise UsageError(
            f"the gang of job {name} is rigid: each of its {now} workers was told that there are {now}",
            hint=f"tiers job submit {name} --workers N --replace starts it again from its checkpoints"
            f"\n   or: set jobs.{name}.gang.min below gang.workers, which makes it elastic",
        )
    return (int(low), int(high)) if low.isdecimal() and high.isdecimal() else (minimum, now)
