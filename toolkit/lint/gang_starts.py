"""Gangs that would stay Pending because their pods are never made. One rule a function.

Codes of the range L151 to L169, as in `gang_fit`: the webhook takes the job, and then a controller cannot make the
Service or the pods, or waits for pods that wait for it. Source: volcano-sh/volcano v1.15.1, pkg/controllers/job
(createJobPod, waitDependsOnTaskMeetCondition, plugins/svc, plugins/ssh); the names from issue 4691, measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from toolkit.errors import Severity
from toolkit.lint.document import Document, ValuePath, mapping, sequence, text
from toolkit.lint.gang_document import (
    NEED_SERVICE,
    is_gang,
    job_minimum,
    plugins,
    replicas,
    task_minimum,
    task_name,
    tasks,
)
from toolkit.lint.job_names import is_job_name, names
from toolkit.lint.name_forms import LONGEST_LABEL, is_label, is_service_name, is_subdomain
from toolkit.lint.pod_templates import pod_templates
from toolkit.lint.rule import Finding, rule, rule_around
from toolkit.lint.surroundings import BUILT_IN_PRIORITIES, NOTHING_KNOWN, Surroundings
from toolkit.lint.volcano_admission import depends_on_order, parents

_RANDOM = 12
"""Characters that Volcano puts behind a job's name for the volumes it makes."""
HOSTS = "/etc/volcano"
"""Where the svc plugin mounts the names of all pods."""
KEYS = str(PurePosixPath("/", "root", ".ssh"))
"""Where the ssh plugin mounts its keys, unless it is told another place."""


@rule(
    "L151",
    Severity.ERROR,
    why="the job would stay Pending: the svc plugin makes a Service of the job's name first, and cannot",
    cure="take a name of a-z, 0-9 and -, beginning with a letter",
)
def service_name(document: Document) -> Iterator[Finding]:
    """With a plugin that brings a Service, the job's name must be the name of a Service."""
    name = document.name
    if NEED_SERVICE & set(plugins(document)) and is_job_name(name) and not is_service_name(name):
        yield Finding(("metadata", "name"), f"would stay Pending: {name!r} cannot be the name of a Service")


@rule(
    "L152",
    Severity.ERROR,
    why="the job would stay Pending: the API server refuses pods whose names make no host or volume name",
    cure="take shorter names for job and task",
)
def names_of_pods(document: Document) -> Iterator[Finding]:
    """Host names of all pods, and names of volumes that Volcano adds, have at most 63 characters."""
    brings = set(plugins(document))
    made = []
    if not is_job_name(document.name) or any(names.look(document, NOTHING_KNOWN)):
        return  # then it is refused anyway
    if NEED_SERVICE & brings:
        made += [f"{document.name}-svc"] if is_service_name(document.name) else []
        for index, task in enumerate(tasks(document)):
            last = f"{document.name}-{task_name(task, index)}-{max(replicas(task) - 1, 0)}"
            spec = mapping(mapping(task.get("template")).get("spec"))
            if replicas(task) and not spec.get("hostname") and len(last) > LONGEST_LABEL:
                yield Finding(
                    ("spec", "tasks", index, "name"),
                    f"would stay Pending: host name {last!r} has {len(last)} characters, {LONGEST_LABEL} are allowed",
                )
    if {"ssh", "mpi"} & brings:
        made.append(f"{document.name}-ssh")
    if is_gang(document) and sequence(document.spec.get("volumes")):
        made.append(f"{document.name}-{'x' * _RANDOM}")
    for name in made:
        if not is_label(name):
            yield Finding(
                ("metadata", "name"),
                f"would stay Pending: the volume {name!r} that Volcano adds to the pods has {len(name)} characters"
                f" ({LONGEST_LABEL} of a-z, 0-9 and - are allowed)",
            )
            return


@rule_around(
    "L157",
    Severity.ERROR,
    why="the job would stay Pending: the API server refuses pods of a priority class that is not there",
    cure="name a class that is there; tiers.yaml lists yours under priorities:",
)
def priority_class(document: Document, around: Surroundings) -> Iterator[Finding]:
    """The priority class of a job or of its pods is there."""
    if not is_gang(document) or not around.all_priorities:
        return
    there = around.priorities | BUILT_IN_PRIORITIES
    named: list[tuple[ValuePath, str]] = [
        (("spec", "priorityClassName"), text(document.spec.get("priorityClassName")))
    ]
    named += [
        ((*template.path, "priorityClassName"), text(template.spec.get("priorityClassName")))
        for template in pod_templates(document)
    ]
    for path, name in named:
        if is_subdomain(name) and name not in there:
            known = ", ".join(sorted(around.priorities - BUILT_IN_PRIORITIES)) or "none"
            yield Finding(
                path, f"would stay Pending: there is no priority class {name!r} (there are {known})"
            )


@rule(
    "L159",
    Severity.ERROR,
    why="the job would stay Pending: the gang waits for pods that are made only when it has started",
    cure="make minAvailable of the job and of each waiting task small enough for the tasks that wait for nobody",
)
def waits_for_itself(document: Document) -> Iterator[Finding]:
    """With dependsOn, the pods that must start together are among those that wait for nobody."""
    listed = tasks(document)
    if not any(parents(task) for task in listed) or any(depends_on_order.look(document, NOTHING_KNOWN)):
        return
    first = _made_at_once(document)
    there = sum(replicas(task) for index, task in enumerate(listed) if task_name(task, index) in first)
    wanted = job_minimum(document)
    path: ValuePath = ("spec", "minAvailable")
    if wanted > there:
        yield Finding(
            path, f"would stay Pending: {wanted} pods must start together, {there} do not wait for others"
        )
        return
    if wanted < sum(map(task_minimum, listed)):
        return  # then Volcano does not look at the tasks' own minima
    for index, task in enumerate(listed):
        name = task_name(task, index)
        if name not in first and task_minimum(task) > 0:
            yield Finding(
                ("spec", "tasks", index, "minAvailable"),
                f"would stay Pending: {task_minimum(task)} pods of task {name!r} must start with the others,"
                " and are made only after them",
            )


@rule(
    "L162",
    Severity.ERROR,
    why="the job would stay Pending: the API server refuses pods with two mounts at one path",
    cure="mount it at another path",
)
def mounts_of_volcano(document: Document) -> Iterator[Finding]:
    """What Volcano mounts into every container meets no mount of the container's own."""
    if not is_gang(document):
        return
    brings = set(plugins(document))
    added = {
        text(mapping(volume).get("mountPath")): "the job's volumes"
        for volume in sequence(document.spec.get("volumes"))
    }
    if NEED_SERVICE & brings:
        added[HOSTS] = "the svc plugin"
    if {"ssh", "mpi"} & brings and not sequence(plugins(document).get("ssh")):
        added[KEYS] = "the ssh plugin"
    for template in pod_templates(document):
        for path, container in template.containers(init=False):
            for index, mount in enumerate(map(mapping, sequence(container.get("volumeMounts")))):
                where = text(mount.get("mountPath"))
                if where in added:
                    place: ValuePath = (*path, "volumeMounts", index, "mountPath")
                    yield Finding(place, f"would stay Pending: {where} is mounted by {added[where]} too")


def _made_at_once(document: Document) -> set[str]:
    """Name the tasks whose pods are made without waiting for pods that run."""
    listed = {task_name(task, index): task for index, task in enumerate(tasks(document))}
    made: set[str] = set()
    for name, task in listed.items():
        before = parents(task)
        ready = [task_minimum(listed[each]) <= 0 for each in before if each in listed]
        either = mapping(task.get("dependsOn")).get("iteration") == "any" and len(before) > 1
        if (any(ready) if either else all(ready)) or not before:
            made.add(name)
    return made


RULES = (
    service_name,
    names_of_pods,
    priority_class,
    waits_for_itself,
    mounts_of_volcano,
)
"""Whose pods are never made, in order of code."""
