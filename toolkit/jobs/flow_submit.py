"""Bring a flow of tiers.yaml into its cluster, once; and take it out again. Beside `submit`, which does it for one job.

    render.job_flow → `look_at_flow` (what is there already) → `submit_flow` → `flow_status`

The JobTemplates are state and come by `tiers apply`; a flow takes them as they are when a step begins, so one that is
missing or is not as tiers.yaml says is refused here. Volcano looks at the spec of a flow once, so nothing of one that
is there changes in place.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.cluster.compare import is_as_wanted, owned_fields
from toolkit.cluster.diff import put
from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import list_all
from toolkit.cluster.refusal import CONFLICT, FORBIDDEN, NOT_FOUND, UNAUTHORIZED, RefusedError
from toolkit.cluster.request import Json
from toolkit.errors import ClusterError, JobError, UsageError
from toolkit.jobs.cancel import remove
from toolkit.jobs.differing import differences
from toolkit.jobs.observe import JOB, read
from toolkit.jobs.room import JOB_LABEL
from toolkit.jobs.submit import Step, require_surroundings
from toolkit.jobs.values import mappings, name_of, text
from toolkit.render.job_flow import cluster_of_flow, job_flow
from toolkit.render.job_template import job_templates
from toolkit.render.lock import Lock
from toolkit.render.rendered import RenderedObject
from toolkit.topology.topology import Topology

FLOW = ("flow.volcano.sh/v1alpha1", "JobFlow")
TEMPLATE = ("flow.volcano.sh/v1alpha1", "JobTemplate")
SUCCEED, FAILED = "Succeed", "Failed"
"""Phases of a JobFlow that has ended; the others are Pending, Running and Terminating."""
CREATED_BY = "volcano.sh/createdByJobFlow"
"""Label of a flow's jobs: NAMESPACE.FLOW."""
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class FlowLook:
    """A flow as it would be submitted, and what is in the cluster under its name."""

    rendered: RenderedObject
    step: Step
    phase: str
    """Volcano's word for what is there; empty when nothing is, or when its controller has not looked."""
    live: Json | None = None


def look_at_flow(
    kinds: Kinds, topology: Topology, lock: Lock, name: str, *, again: bool = False, replace: bool = False
) -> FlowLook:
    """Find out what submitting a flow means now. Changes nothing.

    Args:
        kinds: the way to its cluster.
        topology: the site.
        lock: digests of images.
        name: a flow of tiers.yaml.
        again: run one that has ended anew.
        replace: stop one that runs, and run it anew.

    Raises:
        JobError: something under its name has to go first; says what and how.
        ClusterError: its templates, its namespace, a queue or a priority class is missing.
        UnreachableError: the server does not answer.
    """
    rendered = job_flow(topology, name)
    templates = tuple(_templates(topology, lock, name))
    live = read(kinds, FLOW, rendered.namespace, name)
    phase = text(live, "status", "state", "phase")
    step = Step.CREATE if live is None else _step(name, live, rendered, again=again, replace=replace)
    if step in {Step.CREATE, Step.AGAIN, Step.REPLACE}:
        for template in templates:
            require_surroundings(kinds, template)
        _require_templates(kinds, name, templates)
    return FlowLook(rendered, step, phase, live)


def _step(name: str, live: Json, rendered: RenderedObject, *, again: bool, replace: bool) -> Step:
    """Decide what to do about a flow that is there."""
    if owned_fields(live) is None:
        raise JobError(
            f"a JobFlow {rendered.namespace}/{name} is there that tiers did not submit",
            hint=f"give flows.{name} another name, or remove it: kubectl delete jobflow -n {rendered.namespace} {name}",
        )
    phase = text(live, "status", "state", "phase")
    if phase in {SUCCEED, FAILED} and (again or replace):
        return Step.AGAIN
    if phase == FAILED:
        hint = f"tiers job status {name}; then tiers job submit {name} --again"
        raise JobError(f"flow {name} has failed", hint=hint)
    as_wanted = is_as_wanted(live, rendered.body)
    if phase == SUCCEED and as_wanted:
        return Step.DONE
    if replace:
        return Step.REPLACE
    if as_wanted:
        return Step.NOTHING
    ended = phase == SUCCEED
    raise JobError(
        f"flow {name} {'has run' if ended else 'runs'} with other steps than tiers.yaml has now",
        hint=f"tiers job submit {name} {'--again' if ended else '--replace'}",
    )


def submit_flow(kinds: Kinds, found: FlowLook, *, dry_run: bool = False, seconds: float = 600.0) -> None:
    """Do what `look_at_flow` found out.

    Raises:
        JobError: Volcano's webhook does not take it, or the one that is replaced did not go in time.
        RefusedError: this user may not submit flows there.
        UnreachableError: the server does not answer.
    """
    if found.step in {Step.REPLACE, Step.AGAIN} and not dry_run:
        remove_flow(kinds, found.rendered.namespace, found.rendered.name, seconds=seconds)
    elif found.step is not Step.CREATE:
        return
    try:
        put(kinds, found.rendered, dry_run=dry_run)
    except RefusedError as error:
        if error.status in {UNAUTHORIZED, FORBIDDEN}:
            raise
        message = f"the cluster refuses flow {found.rendered.name}: {error.message}"
        raise JobError(message, hint="tiers lint") from error


def remove_flow(kinds: Kinds, namespace: str, name: str, *, seconds: float) -> bool:
    """Delete a flow with its jobs and their pods, and wait until all are gone; say whether it was there.

    Raises:
        JobError: it is there still after so many seconds; what is asked of the cluster stays asked.
        RefusedError: it may not be deleted.
        UnreachableError: the server does not answer.
    """
    live = read(kinds, FLOW, namespace, name)
    if live is None:
        return False
    deadline = time.monotonic() + seconds
    uid = text(live, "metadata", "uid")
    # The flow first and at once, not in the foreground: as long as it is there its controller makes anew a step whose
    # job has gone. Then the jobs, each with its pods: a new flow of this name would take them for its own.
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": uid},
    }
    try:
        kinds.connection.send("DELETE", kinds.resource(*FLOW).path(namespace, name), {}, options)
    except RefusedError as error:
        if error.status not in {NOT_FOUND, CONFLICT}:
            raise
    while left := _left(kinds, live, namespace, name):
        rest = deadline - time.monotonic()
        if rest <= 0:
            raise JobError(
                f"flow {name} is being deleted and after {seconds:.0f} s {', '.join(left)} is left",
                hint=f"repeat: tiers job cancel {name}",
            )
        for job, job_uid in left.items():
            if job_uid:
                remove(kinds, namespace, job, job_uid, seconds=rest)
        threading.Event().wait(_PAUSE_SECONDS)
    return True


def _left(kinds: Kinds, flow: Json, namespace: str, name: str) -> dict[str, str]:
    """Give what is left of a flow: its jobs with their uid, and pods without one whose job has gone before them."""
    uid = text(flow, "metadata", "uid")
    jobs = list_all(kinds, kinds.resource(*JOB), f"{CREATED_BY}={namespace}.{name}", namespace)
    mine = {
        name_of(job): text(job, "metadata", "uid")
        for job in jobs
        if any(uid == text(owner, "uid") for owner in mappings(job, "metadata", "ownerReferences"))
    }
    made = ",".join(f"{name}-{text(step, 'name')}" for step in mappings(flow, "spec", "flows"))
    pods = list_all(kinds, kinds.resource("v1", "Pod"), f"{JOB_LABEL} in ({made})", namespace)
    return mine or {name_of(pod): "" for pod in pods}


def flow_place(topology: Topology, name: str) -> tuple[str, str]:
    """Give cluster and namespace of a flow.

    Raises:
        UsageError: tiers.yaml has no such flow.
    """
    if name not in topology.flows:
        known = ", ".join(sorted(topology.flows)) or "none; add one below `flows:`"
        raise UsageError(f"there is no flow {name!r} in tiers.yaml", hint=f"flows: {known}")
    cluster = cluster_of_flow(topology, name)
    return cluster, topology.namespace(cluster)


def _templates(topology: Topology, lock: Lock, name: str) -> Iterator[RenderedObject]:
    """Give the templates that a flow's steps name."""
    body = job_flow(topology, name).body
    steps = {text(each, "name") for each in mappings(body, "spec", "flows")}
    for each in job_templates(topology, lock, cluster_of_flow(topology, name)):
        if each.kind == TEMPLATE[1] and each.name in steps:
            yield each


def _require_templates(kinds: Kinds, name: str, templates: tuple[RenderedObject, ...]) -> None:
    for each in templates:
        live = read(kinds, TEMPLATE, each.namespace, each.name)
        if live is not None and _says(live, each.body):
            continue
        said = "is not there" if live is None else "is not as tiers.yaml says now"
        raise ClusterError(
            f"the JobTemplate {each.name}, which flow {name} needs, {said}", hint="tiers apply"
        )


def _says(live: Mapping[str, object], wanted: Mapping[str, object]) -> bool:
    """Tell whether a live template says what the rendered one does; the label of apply's set is no part of that."""
    return not any(each.path.startswith("spec") for each in differences(live, wanted))
