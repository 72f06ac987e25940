"""Bring a job of tiers.yaml into its cluster, once: the same job a second time is recognised and nothing is sent.

    render.gang → lint → `look` (what is there already) → the command asks → `submit` → follow

Idempotent by name: what runs as tiers.yaml says is left alone; what has ended is run anew only when asked; of what runs
otherwise only numbers of workers and priority change in place, everything else takes a replacement, which is said.
Written by server-side apply as `tiers`, without force. Jobs are members of no ApplySet and never pruned.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from toolkit.cluster.compare import owned_fields
from toolkit.cluster.diff import put
from toolkit.cluster.fields import FieldChange
from toolkit.cluster.kinds import Kinds
from toolkit.cluster.request import Json
from toolkit.errors import ClusterError, JobError, Severity, UsageError
from toolkit.jobs.cancel import remove
from toolkit.jobs.checked import problems_of
from toolkit.jobs.differing import differences, in_place, resized
from toolkit.jobs.known import require_job
from toolkit.jobs.observe import JOB, PRIORITY_CLASS, QUEUE, observe, read, surroundings
from toolkit.jobs.reason import explain
from toolkit.jobs.seen import Seen
from toolkit.jobs.states import JobState, Reason
from toolkit.jobs.values import mapping, mappings, number, text
from toolkit.jobs.waiting import why_waiting
from toolkit.render.gang import gang
from toolkit.render.lock import Lock
from toolkit.render.rendered import RenderedObject
from toolkit.topology.topology import Topology


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


def rendered_job(topology: Topology, lock: Lock, name: str, workers: int | None = None) -> RenderedObject:
    """Render one job, perhaps with another number of workers, and lint it.

    Raises:
        UsageError: there is no such job, or so few workers that its gang cannot start.
        RenderError: a secret of it is kept where no pod can read it.
        JobError: the cluster would refuse it, or it would never start; says each finding with its cure.
    """
    require_job(topology, name)
    if workers is not None:
        topology = with_workers(topology, name, workers)
    rendered = gang(topology, lock, name)
    found = [each for each in problems_of(topology, rendered) if each.severity is Severity.ERROR]
    if found:
        lines = [f"{each.code} {each.message}" + (f" ({each.cure})" if each.cure else "") for each in found]
        raise JobError(f"job {name} cannot be submitted:\n  " + "\n  ".join(lines), hint="tiers lint")
    return rendered


def with_workers(topology: Topology, name: str, workers: int) -> Topology:
    """Give the topology with another number of workers in one gang; a rigid gang stays rigid.

    Raises:
        UsageError: fewer than the gang needs at least.
    """
    job = topology.jobs[name]
    if job.gang.min is not None and workers < job.gang.min:
        raise UsageError(
            f"jobs.{name}.gang.min is {job.gang.min}, so {workers} workers cannot start",
            hint=f"tiers job submit {name} --workers {job.gang.min}",
        )
    changed = job.model_copy(update={"gang": job.gang.model_copy(update={"workers": workers})})
    return topology.model_copy(update={"jobs": {**topology.jobs, name: changed}})


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
        RefusedError: the server or Volcano's webhook does not take it.
        ConflictError: somebody else owns a field of it, such as kubectl-scale its replicas.
        JobError: the job that is replaced did not go in time.
        UnreachableError: the server does not answer. Repeat: what is there by then is recognised.
    """
    rendered = found.rendered
    if found.step in {Step.REPLACE, Step.AGAIN}:
        require_surroundings(kinds, rendered)
        if not dry_run:  # else it would be held against what is there still, and refused for that
            uid = text(found.live, "metadata", "uid")
            remove(kinds, rendered.namespace, rendered.name, uid, seconds=seconds)
            put(kinds, rendered, dry_run=False)
    elif found.step is Step.CHANGE and found.live is not None:
        put(kinds, _changed(found.live, rendered), dry_run=dry_run)
    elif found.step is Step.CREATE:
        put(kinds, rendered, dry_run=dry_run)
    return Submitted(
        rendered.name, rendered.cluster, rendered.namespace, found.step, dry_run, found.differences
    )


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


def require_surroundings(kinds: Kinds, rendered: RenderedObject) -> None:
    """Look for what a job needs to be there: its namespace, queue and priority class.

    Raises:
        ClusterError: one is missing or closed; names it, and `tiers apply` as the cure.
    """
    spec = mapping(rendered.body, "spec")
    queue, priority = text(spec, "queue"), text(spec, "priorityClassName")
    missing = []
    if read(kinds, ("v1", "Namespace"), "", rendered.namespace) is None:
        missing.append(f"the namespace {rendered.namespace}")
    there = read(kinds, QUEUE, "", queue)
    if there is None:
        missing.append(f"the queue {queue}")
    if priority and read(kinds, PRIORITY_CLASS, "", priority) is None:
        missing.append(f"the priority class {priority}")
    if missing:
        raise ClusterError(
            f"the cluster '{rendered.cluster}' lacks {', '.join(missing)}, which job {rendered.name} needs",
            hint="tiers apply",
        )
    state = text(there, "status", "state")
    if state not in {"Open", ""}:
        raise ClusterError(
            f"the queue {queue} is {state.lower()} and takes no jobs",
            hint=f"vcctl queue operate --name {queue} --action open",
        )
