"""Volcano Jobs that the cluster would refuse, or take and never run. One rule a function.

The rules are those of Volcano's own webhook (volcano-sh/volcano v1.15.1, pkg/webhooks/admission/jobs/validate)
and of the names that it does not check (issue 4691). `volcano` holds the rules about jobs that run, but badly;
`check` runs both.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from toolkit.errors import Severity
from toolkit.lint.document import Document, ValuePath, mapping, sequence, text, written
from toolkit.lint.pod_templates import VOLCANO_BATCH
from toolkit.lint.rule import Finding, rule

EVENTS = frozenset(
    {"*", "PodFailed", "PodEvicted", "PodPending", "Unknown", "TaskCompleted", "TaskFailed", "JobUpdated"},
)
ACTIONS = frozenset(
    {
        "AbortJob", "RestartJob", "RestartTask", "RestartPod", "RestartPartition",
        "TerminateJob", "CompleteJob", "ResumeJob",
    },
)  # fmt: skip
PLUGINS = frozenset({"env", "svc", "ssh", "pytorch", "tensorflow", "mpi", "ray", "hcclrank"})
LONGEST_NAME = 63
_SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_TASK_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_REFUSED = "Volcano's webhook refuses the job"


def is_gang(document: Document) -> bool:
    """Whether an object is a Volcano Job (and not the Job of Kubernetes' own batch group)."""
    return document.kind == "Job" and document.group == VOLCANO_BATCH


def tasks(document: Document) -> list[Mapping[str, object]]:
    """Give the tasks of a Volcano Job; none for every other object."""
    return [mapping(task) for task in sequence(document.spec.get("tasks"))] if is_gang(document) else []


def policies(document: Document) -> Iterator[tuple[ValuePath, list[Mapping[str, object]]]]:
    """Give each list of policies, the job's first and then one a task, with its path."""
    if not is_gang(document):
        return
    yield ("spec", "policies"), [mapping(policy) for policy in sequence(document.spec.get("policies"))]
    for index, task in enumerate(tasks(document)):
        own = [mapping(policy) for policy in sequence(task.get("policies"))]
        yield ("spec", "tasks", index, "policies"), own


def events(policy: Mapping[str, object]) -> list[str]:
    """Give the events a policy names, in `event` or in `events`."""
    named = [text(event) for event in sequence(policy.get("events"))]
    return [*named, text(policy.get("event"))] if policy.get("event") else named


def number(value: object, default: int) -> int:
    """Take `value` as a whole number, or `default` when it is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else default


@rule(
    "L101",
    Severity.ERROR,
    why=_REFUSED,
    cure="give each task its own name and replicas ≥ minAvailable",
)
def task_names_and_sizes(document: Document) -> Iterator[Finding]:
    """No task at all, two of one name, a minimum above the number of pods."""
    if is_gang(document) and not tasks(document):
        yield Finding(("spec",), "has no task")
    count = Counter(text(task.get("name")) for task in tasks(document))
    for index, task in enumerate(tasks(document)):
        path: ValuePath = ("spec", "tasks", index)
        name, replicas = text(task.get("name")), number(task.get("replicas"), 1)
        if count[name] > 1:
            yield Finding((*path, "name"), f"two tasks are called {name!r}")
        if number(task.get("minAvailable"), replicas) > replicas:
            yield Finding(
                (*path, "minAvailable"), f"task {name!r} wants more pods to start than it has ({replicas})"
            )
    total = sum(number(task.get("replicas"), 1) for task in tasks(document))
    if tasks(document) and number(document.spec.get("minAvailable"), total) > total:
        yield Finding(("spec", "minAvailable"), f"wants more pods to start than all tasks have ({total})")


@rule(
    "L102",
    Severity.ERROR,
    why=_REFUSED,
    cure="take names of Volcano's list, each once, and exit codes other than 0",
)
def policy_shape(document: Document) -> Iterator[Finding]:
    """A policy names events or one exit code that is not 0, known events, a known action, and nothing twice."""
    for path, listed in policies(document):
        seen: set[str] = set()
        for index, policy in enumerate(listed):
            here: ValuePath = (*path, index)
            named, code = events(policy), policy.get("exitCode")
            if bool(named) == (code is not None):
                yield Finding(here, "a policy needs either an event or an exit code")
            if code == 0:
                yield Finding((*here, "exitCode"), "exit code 0 is success and starts no policy")
            keys = [*named] if code is None else [*named, f"exit code {code}"]
            yield from (Finding(here, f"{key} has two policies") for key in keys if key in seen)
            yield from (
                Finding(here, f"{event!r} is no event of Volcano ({', '.join(sorted(EVENTS))})")
                for event in named
                if event not in EVENTS
            )
            if text(policy.get("action")) not in ACTIONS:
                yield Finding(
                    (*here, "action"),
                    f"{policy.get('action')!r} is no action of Volcano ({', '.join(sorted(ACTIONS))})",
                )
            seen.update(keys)
        if "*" in seen and any(key in EVENTS - {"*"} for key in seen):
            yield Finding(path, "'*' stands beside other events")


@rule(
    "L103",
    Severity.ERROR,
    why=_REFUSED,
    cure="remove the plugin or correct its name",
)
def known_plugins(document: Document) -> Iterator[Finding]:
    """Only the plugins that Volcano has; its webhook refuses others."""
    for name in mapping(document.spec.get("plugins")) if is_gang(document) else ():
        if name not in PLUGINS:
            yield Finding(
                ("spec", "plugins", name), f"{name!r} is no plugin of Volcano ({', '.join(sorted(PLUGINS))})"
            )


@rule(
    "L104",
    Severity.ERROR,
    why="no check refuses the name, and the pods never start",
    cure="take a shorter name of a-z, 0-9 and -, beginning with a letter",
)
def names_that_start(document: Document) -> Iterator[Finding]:
    """Job, task and pod names that can become a Service and a pod; nobody else checks, the pods just never come."""
    if not is_gang(document):
        return
    if not _SERVICE_NAME.fullmatch(document.name):
        yield Finding(
            ("metadata", "name"), "the name cannot be the name of a Service, which the svc plugin makes"
        )
    for index, task in enumerate(tasks(document)):
        name = text(task.get("name"))
        if not _TASK_NAME.fullmatch(name):
            yield Finding(("spec", "tasks", index, "name"), f"task name {name!r} is no DNS label")
        last = max(number(task.get("replicas"), 1) - 1, 0)
        pod = f"{document.name}-{name}-{last}"
        if len(pod) > LONGEST_NAME:
            message = f"pod name {pod!r} has {len(pod)} characters, {LONGEST_NAME} are allowed"
            yield Finding(("spec", "tasks", index, "name"), message)


@rule(
    "L105",
    Severity.ERROR,
    why=_REFUSED,
    cure="name existing tasks, without a circle",
)
def depends_on_order(document: Document) -> Iterator[Finding]:
    """A task waits for tasks that exist and not, in the end, for itself."""
    waits = {text(task.get("name")): _parents(task) for task in tasks(document)}
    for index, task in enumerate(tasks(document)):
        name = text(task.get("name"))
        path: ValuePath = ("spec", "tasks", index, "dependsOn")
        for parent in waits[name]:
            if parent not in waits:
                yield Finding(path, f"task {name!r} waits for {parent!r}, which is no task of the job")
        if name in _reached(waits, name):
            yield Finding(path, f"task {name!r} waits for itself")


@rule(
    "L106",
    Severity.ERROR,
    why=_REFUSED,
    cure="give each volume its own mountPath and one source",
)
def volumes(document: Document) -> Iterator[Finding]:
    """A job volume has its own mount path and either a claim's name or a claim."""
    if not is_gang(document):
        return
    seen: set[str] = set()
    for index, volume in enumerate(map(mapping, sequence(document.spec.get("volumes")))):
        path: ValuePath = ("spec", "volumes", index)
        mount = text(volume.get("mountPath"))
        if not mount or mount in seen:
            yield Finding(path, f"mount path {mount!r} is empty or used twice")
        if bool(volume.get("volumeClaimName")) == bool(volume.get("volumeClaim")):
            yield Finding(path, f"{written(path)} needs either volumeClaimName or volumeClaim")
        seen.add(mount)


@rule(
    "L107",
    Severity.ERROR,
    why=_REFUSED,
    cure="make replicas equal to totalPartitions × partitionSize",
)
def partitions(document: Document) -> Iterator[Finding]:
    """A partitioned task has exactly partitions × size pods."""
    for index, task in enumerate(tasks(document)):
        policy = mapping(task.get("partitionPolicy"))
        size = number(policy.get("totalPartitions"), 0) * number(policy.get("partitionSize"), 0)
        if policy and number(task.get("replicas"), 1) != size:
            path: ValuePath = ("spec", "tasks", index, "partitionPolicy")
            yield Finding(path, f"replicas must be totalPartitions × partitionSize ({size})")


def _parents(task: Mapping[str, object]) -> list[str]:
    return [text(name) for name in sequence(mapping(task.get("dependsOn")).get("name"))]


def _reached(waits: Mapping[str, list[str]], start: str) -> set[str]:
    reached: set[str] = set()
    edge = list(waits[start])
    while edge:
        name = edge.pop()
        if name not in reached:
            reached.add(name)
            edge.extend(waits.get(name, []))
    return reached


RULES = (
    task_names_and_sizes,
    policy_shape,
    known_plugins,
    names_that_start,
    depends_on_order,
    volumes,
    partitions,
)
"""What is refused or never starts, in order of code."""
