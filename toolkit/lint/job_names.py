"""Names of a Volcano Job and its tasks that the API server or Volcano's webhook refuses. One rule a function.

Names that are accepted and then never become a pod are in `gang_starts`. Source: volcano-sh/volcano v1.15.1,
pkg/webhooks/admission/jobs/validate (validateJobName, validateK8sPodNameLength) and the CRD's patterns.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.errors import Severity
from toolkit.lint.document import Document, ValuePath, mapping, text
from toolkit.lint.gang_document import is_gang, task_name, tasks
from toolkit.lint.name_forms import (
    LABEL_FORM,
    LONGEST_LABEL,
    SUBDOMAIN_FORM,
    is_label,
    is_qualified,
    is_subdomain,
)
from toolkit.lint.rule import Finding, rule
from toolkit.lint.volcano_admission import REFUSED

_RANDOM = 5
"""Characters that the API server puts behind generateName."""


def is_job_name(name: str) -> bool:
    """Whether API server and webhook take a name for a job: a DNS subdomain of at most 63."""
    return is_subdomain(name) and is_qualified(name)


@rule(
    "L104",
    Severity.ERROR,
    why=REFUSED,
    cure="take a shorter name of a-z, 0-9 and -, beginning with a letter",
)
def names(document: Document) -> Iterator[Finding]:
    """Names of job, tasks and pods have the form and the length that the API server and the webhook ask for."""
    if not is_gang(document):
        return
    name, key = _name(document)
    if not is_job_name(name):
        yield Finding(
            ("metadata", key),
            f"job name {name!r} is not 1 to {LONGEST_LABEL} of a-z, 0-9 and -, with a letter or digit at both ends",
        )
    for index, task in enumerate(tasks(document)):
        path: ValuePath = ("spec", "tasks", index, "name")
        if task.get("name") not in (None, "") and not is_label(text(task.get("name"))):
            yield Finding(path, f"task name {task.get('name')!r} is not {LABEL_FORM}")
            continue
        # The webhook counts with the place of the task, not with the number of the pod.
        pod = f"{name}-{task_name(task, index)}-{index}"
        if len(pod) > LONGEST_LABEL:
            yield Finding(path, f"pod name {pod!r} has {len(pod)} characters, {LONGEST_LABEL} are allowed")


@rule(
    "L133",
    Severity.ERROR,
    why="the API server refuses the job",
    cure="correct the name",
)
def names_of_others(document: Document) -> Iterator[Finding]:
    """Names of a queue, a priority class and a scheduler have their form too."""
    if not is_gang(document):
        return
    for key in ("queue", "priorityClassName"):
        value = document.spec.get(key)
        if key == "queue" and value == "":
            continue  # the mutating webhook writes `default`
        if value is not None and not is_subdomain(text(value)):
            yield Finding(("spec", key), f"{key} {value!r} is not {SUBDOMAIN_FORM}")
    scheduler = document.spec.get("schedulerName")
    if scheduler is not None and (not isinstance(scheduler, str) or len(scheduler) > LONGEST_LABEL):
        yield Finding(("spec", "schedulerName"), f"{scheduler!r} is no text of up to {LONGEST_LABEL}")


def _name(document: Document) -> tuple[str, str]:
    """Give the name of a job, or one that the API server may make of its generateName, and the key it comes from."""
    prefix = text(mapping(document.body.get("metadata")).get("generateName"))
    if document.name or not prefix:
        return document.name, "name"
    return prefix[: LONGEST_LABEL - _RANDOM] + "x" * _RANDOM, "generateName"


RULES = (
    names,
    names_of_others,
)
"""What is wrong with names."""
