"""Bring a job of tiers.yaml into its cluster, once: the same job a second time is recognised and nothing is sent.

    checked.rendered_job → `look` (what is there already) → the command asks → `submit` → follow

Idempotent by name: what runs as tiers.yaml says is left alone; what has ended is run anew only when asked; of what runs
otherwise only numbers of workers and priority change in place, everything else takes a replacement, which is said.
Written by server-side apply as `tiers`, without force. Jobs are members of no ApplySet and never pruned.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from toolkit.cluster.compare import owned_fields
from toolkit.cluster.diff import put
from toolkit.cluster.fields import FieldChange
from toolkit.cluster.kinds import Kinds
from toolkit.cluster.refusal import FORBIDDEN, UNAUTHORIZED, ConflictError, RefusedError
from toolkit.cluster.request import Json
from toolkit.errors import ClusterError, JobError
from toolkit.jobs.cancel import remove
from toolkit.jobs.differing import differences, in_place, resized
from toolkit.jobs.observe import JOB, PRIORITY_CLASS, QUEUE, observe, read, read_if_allowed, surroundings
from toolkit.jobs.reason import explain
from toolkit.jobs.seen import Seen
from toolkit.jobs.states import JobState, Reason
from toolkit.jobs.values import mapping, mappings, number, text
from toolkit.jobs.waiting import why_waiting
from toolkit.render.rendered import RenderedObject

_CONFIG_MAP = ("v1", "ConfigMap")
_NOT_HEARD_YET = ("unable to find job queue", "can only submit job to queue with state")
"""What Volcano's webhook says of a new queue: it hears of it, and that it is open, a moment after the server."""
_QUEUE_SECONDS, _QUEUE_PAUSE_SECONDS = 10.0, 0.2
"""So long is asked again. What is really missing or closed was told by `require_surroundings` before."""


class Step(str, Enum):
    """What submitting does now."""

    CREATE = "submitted"
    NOTHING = "runs already"
    CHANGE = "changed in place"
    REPLACE = "replaced"
    AGAIN = "submitted again"
    DONE = "has completed"


@dataclass(frozen=True)
class Look:
    """A job as it would be submitted, and what is in the cluster under its name."""

    rendered: RenderedObject
    step: Step
    reason: Reason
    """State of what is there."""
    differences: tuple[FieldChange, ...] = ()
    live: Json | None = None
    """What is there."""
    forecast: Reason | None = None
    """Why it will wait once it is submitted; None when there is room for it now, or when it is there."""


@dataclass(frozen=True)
class Submitted:
    """What became of a job."""

    job: str
    cluster: str
    namespace: str
    outcome: Step
    dry_run: bool
    differences: tuple[FieldChange, ...] = ()


def look(
    kinds: Kinds, rendered: RenderedObject, *, pool: str = "", again: bool = False, replace: bool = False
) -> Look:
    """Find out what submitting a job means now. Changes nothing.

    Args:
        kinds: the way to its cluster.
        rendered: the job as it would be submitted.
        pool: its pool, for the sentences.
        again: run a job that has ended anew.
        replace: stop one that runs otherwise than wanted, or is suspended, and submit it anew.

    Raises:
        JobError: something under its name is there that has to go first; says what and how.
        ClusterError: its namespace, queue or priority class is missing.
        UnreachableError: the server does not answer.
    """
    name = rendered.name
    live = read(kinds, JOB, rendered.namespace, name)
    if live is None:
        require_surroundings(kinds, rendered)
        unborn = Seen(name=name, namespace=rendered.namespace, pool=pool, job=dict(rendered.body))
        forecast = why_waiting(surroundings(kinds, unborn))
        return Look(
            rendered, Step.CREATE, explain(Seen(name=name, namespace=rendered.namespace)), forecast=forecast
        )
    if owned_fields(live) is None:
        raise JobError(
            f"a Volcano Job {rendered.namespace}/{name} is there that tiers did not submit",
            hint=f"give jobs.{name} another name, or remove it: kubectl delete vcjob -n {rendered.namespace} {name}",
        )
    reason = explain(observe(kinds, rendered.namespace, name, pool=pool))
    differing = differences(live, rendered.body)
    step = _step(name, reason, differing, again=again, replace=replace)
    return Look(rendered, step, reason, differing, live)


def _step(name: str, reason: Reason, differing: Sequence[FieldChange], *, again: bool, replace: bool) -> Step:
    """Decide what to do about a job that is there."""
    lines = "".join(f"\n  {each}" for each in differing)
    if reason.state.ended and (again or replace):
        return Step.AGAIN
    if reason.state is JobState.COMPLETED:
        if not differing:
            return Step.DONE
        raise JobError(
            f"job {name} has completed, but not as tiers.yaml says now:{lines}",
            hint=f"tiers job submit {name} --again",
        )
    if reason.state is JobState.FAILED:
        raise JobError(f"job {name}: {reason.why}", hint=reason.cure)
    if replace and (differing or reason.state is JobState.SUSPENDED):
        return Step.REPLACE
    if reason.state is JobState.SUSPENDED:
        raise JobError(
            f"job {name} is suspended",
            hint=f"tiers job resume {name}\n   or: tiers job submit {name} --replace",
        )
    if reason.state in {JobState.STOPPING, JobState.UNKNOWN}:
        raise JobError(f"job {name}: {reason.why}", hint=f"repeat when that is over: tiers job status {name}")
    if not differing:
        return Step.NOTHING
    if all(in_place(each) for each in differing):
        return Step.CHANGE
    raise JobError(
        f"job {name} is {reason.state.value} with another specification than tiers.yaml has now:{lines}\n"
        "of a job that is there only the number of workers and the priority can change",
        hint=f"tiers job submit {name} --replace starts it again from its checkpoints"
        f"\n   or: tiers job cancel {name}",
    )


def submit(kinds: Kinds, found: Look, *, dry_run: bool = False, seconds: float = 600.0) -> Submitted:
    """Do what `look` found out.

    Args:
        kinds: the way to its cluster.
        found: what `look` gave.
        dry_run: ask the server, its webhooks included, and change nothing.
        seconds: how long a job that is replaced may take to go.

    Raises:
        RefusedError: this user may not submit jobs there.
        JobError: Volcano's webhook does not take it, somebody else owns a field of it (such as kubectl-edit its
            priority), or the job that is replaced did not go in time.
        UnreachableError: the server does not answer. Repeat: what is there by then is recognised.
    """
    rendered = found.rendered
    if found.step in {Step.REPLACE, Step.AGAIN}:
        require_surroundings(kinds, rendered)
        if not dry_run:  # else it would be held against what is there still, and refused for that
            uid = text(found.live, "metadata", "uid")
            remove(kinds, rendered.namespace, rendered.name, uid, seconds=seconds)
            _put(kinds, rendered, dry_run=False)
    elif found.step is Step.CHANGE and found.live is not None:
        _put(kinds, _changed(found.live, rendered), dry_run=dry_run)
    elif found.step is Step.CREATE:
        _put(kinds, rendered, dry_run=dry_run)
    return Submitted(
        rendered.name, rendered.cluster, rendered.namespace, found.step, dry_run, found.differences
    )


def _put(kinds: Kinds, rendered: RenderedObject, *, dry_run: bool) -> None:
    """Send a job, and say what a refusal means for it."""
    name = rendered.name
    try:
        _put_into_new_queue(kinds, rendered, dry_run=dry_run)
    except ConflictError as error:
        owned = ", ".join(f"{each.field} belongs to {each.owner}" for each in error.conflicts)
        raise JobError(
            f"job {name} was changed by somebody else: {owned}",
            hint=f"write the live value into tiers.yaml\n   or: tiers job submit {name} --replace starts it anew",
        ) from error
    except RefusedError as error:
        if error.status in {UNAUTHORIZED, FORBIDDEN}:
            raise
        raise JobError(f"the cluster refuses job {name}: {error.message}", hint="tiers lint") from error


def _put_into_new_queue(kinds: Kinds, rendered: RenderedObject, *, dry_run: bool) -> None:
    """Send a job, and again while the webhook has not heard of its queue: right after `tiers apply` made it."""
    until = time.monotonic() + _QUEUE_SECONDS
    while True:
        try:
            put(kinds, rendered, dry_run=dry_run)
        except RefusedError as error:
            unheard = any(each in error.message for each in _NOT_HEARD_YET)
            if not unheard or time.monotonic() > until:
                raise
        else:
            return
        threading.Event().wait(_QUEUE_PAUSE_SECONDS)


def _changed(live: Json, rendered: RenderedObject) -> RenderedObject:
    """Give the live job with the numbers and the priority that are wanted now."""
    spec = mapping(rendered.body, "spec")
    workers = sum(number(each, "replicas") for each in mappings(spec, "tasks"))
    body = resized(
        live,
        workers=workers,
        minimum=number(spec, "minAvailable"),
        priority_class=text(spec, "priorityClassName"),
    )
    return dataclasses.replace(rendered, body={**body, "metadata": rendered.body["metadata"]})


def _config_maps(rendered: RenderedObject) -> set[str]:
    """Name the ConfigMaps that a job's pods mount; without one they would wait and hold their machines.

    Those of a JobTemplate come with it.
    """
    if rendered.kind != JOB[1]:
        return set()
    pods = [mapping(task, "template", "spec") for task in mappings(rendered.body, "spec", "tasks")]
    return {
        name
        for pod in pods
        for volume in mappings(pod, "volumes")
        if (name := text(volume, "configMap", "name"))
    }


def require_surroundings(kinds: Kinds, rendered: RenderedObject) -> None:
    """Look for what a job needs to be there: its namespace, queue, priority class, and the ConfigMaps of its pods.

    What this user may not read counts as there: many may submit into a namespace and see nothing beside it.

    Raises:
        ClusterError: one is missing or closed; names it, and `tiers apply` as the cure.
    """
    spec = mapping(rendered.body, "spec")
    queue, priority = text(spec, "queue"), text(spec, "priorityClassName")
    needed = {
        f"the namespace {rendered.namespace}": (("v1", "Namespace"), rendered.namespace),
        f"the queue {queue}": (QUEUE, queue),
        **({f"the priority class {priority}": (PRIORITY_CLASS, priority)} if priority else {}),
        **{f"the config map {each}": (_CONFIG_MAP, each) for each in sorted(_config_maps(rendered))},
    }
    unread: list[str] = []
    there = {
        what: read_if_allowed(kinds, kind, unread, rendered.namespace if kind == _CONFIG_MAP else "", name)
        for what, (kind, name) in needed.items()
    }
    missing = [what for what, (kind, _) in needed.items() if there[what] is None and kind[1] not in unread]
    if missing:
        raise ClusterError(
            f"the cluster '{rendered.cluster}' lacks {', '.join(missing)}, which job {rendered.name} needs",
            hint="tiers apply",
        )
    state = text(there[f"the queue {queue}"], "status", "state")
    if state not in {"Open", ""}:
        raise ClusterError(
            f"the queue {queue} is {state.lower()} and takes no jobs",
            hint=f"vcctl queue operate --name {queue} --action open",
        )
