"""What a Volcano Job says: its tasks, policies, plugins and how many pods must start together.

Between `document` and every rule about gangs. A number that is missing reads the way Volcano v1.15.1 reads it
(pkg/webhooks/admission/jobs/mutate): no replicas are 0 pods, no minAvailable is all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toolkit.lint.document import Document, ValuePath, mapping, sequence, text
from toolkit.lint.pod_templates import VOLCANO_JOBS
from toolkit.lint.quantity import whole

NEED_SERVICE = frozenset({"svc", "pytorch", "tensorflow", "mpi", "ray"})
"""Plugins that bring a Service of the job's name; Volcano adds svc to the others itself."""


def is_gang(document: Document) -> bool:
    """Whether an object is a Volcano Job or JobTemplate (and not the Job of Kubernetes' own batch group)."""
    return (document.kind, document.group) in VOLCANO_JOBS


def tasks(document: Document) -> list[Mapping[str, object]]:
    """Give the tasks of a Volcano Job; none for every other object."""
    return [mapping(task) for task in sequence(document.spec.get("tasks"))] if is_gang(document) else []


def task_name(task: Mapping[str, object], index: int) -> str:
    """Give a task's name; one without gets `default` and its place."""
    return text(task.get("name")) or f"default{index}"


def replicas(task: Mapping[str, object]) -> int:
    """Give the number of pods of a task."""
    return whole(task.get("replicas"), 0)


def task_minimum(task: Mapping[str, object]) -> int:
    """Give how many pods of a task must start together."""
    partition = mapping(task.get("partitionPolicy"))
    partitions = whole(partition.get("minPartitions"), 0)
    default = partitions * whole(partition.get("partitionSize"), 0) if partitions > 0 else replicas(task)
    return whole(task.get("minAvailable"), default)


def job_minimum(document: Document) -> int:
    """Give how many pods of the whole job must start together; 0 counts as not given."""
    return whole(document.spec.get("minAvailable"), 0) or sum(map(task_minimum, tasks(document)))


def pods_of(document: Document) -> int:
    """Give the number of pods of all tasks together."""
    return sum(map(replicas, tasks(document)))


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


def plugins(document: Document) -> Mapping[str, object]:
    """Give the plugins of a Volcano Job with their arguments; none for every other object."""
    return mapping(document.spec.get("plugins")) if is_gang(document) else {}


def plugin_flags(arguments: object, known: frozenset[str]) -> dict[str, str]:
    """Read a plugin's arguments as Go's package flag does: `--name=value` or `--name value`.

    What follows the first argument that is no known flag is not read; Volcano only logs it.
    """
    given: dict[str, str] = {}
    words = iter([text(each) for each in sequence(arguments)])
    for word in words:
        name, sign, value = word.removeprefix("-").removeprefix("-").partition("=")
        if not word.startswith("-") or name not in known:
            break
        given[name] = value if sign else next(words, "")
    return given


def written_anew(document: Document) -> bool:
    """Whether Volcano's mutating webhook completes the tasks and writes all of them again.

    Then an empty text in a task is the same as nothing, and a fraction such as cpu: 1.5 becomes a quantity.
    """
    return any(
        not task.get("name") or task.get("minAvailable") is None or not task.get("maxRetry")
        for task in tasks(document)
    )
