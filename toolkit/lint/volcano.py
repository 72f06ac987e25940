"""Volcano Jobs that are accepted and then lose GPUs, retries or data. One rule a function.

The reasons come from reading volcano-sh/volcano v1.15.1 (pkg/controllers/job) and its issues; each rule names its own.
`volcano_admission` holds the rules about jobs that are refused, `gang_fit` and `gang_starts` those about jobs that
never start; `check` runs all.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.errors import Severity
from toolkit.lint.document import Document, ValuePath, mapping, sequence, text
from toolkit.lint.gang_document import (
    events,
    is_gang,
    job_minimum,
    pods_of,
    policies,
    replicas,
    task_minimum,
    tasks,
)
from toolkit.lint.pod_templates import pod_templates
from toolkit.lint.quantity import whole
from toolkit.lint.rule import Finding, rule

DEFAULT_RETRIES = 3
"""What Volcano takes when maxRetry is missing or 0."""


@rule(
    "L111",
    Severity.WARNING,
    why="two jobs can each hold half of the GPUs and wait for ever",
    cure="leave minAvailable out, or make it the sum of the tasks'",
)
def whole_gang(document: Document) -> Iterator[Finding]:
    """A minAvailable below the tasks' own minima switches their gang checks off (CheckTaskReady)."""
    wanted = sum(min(task_minimum(task), replicas(task)) for task in tasks(document))
    given = job_minimum(document)
    if given < wanted:
        yield Finding(("spec", "minAvailable"), f"starts with {given} of {wanted} pods: this is no gang")


@rule(
    "L112",
    Severity.WARNING,
    why="after one eviction the rest holds its GPUs and does nothing",
    cure="add {event: PodEvicted, action: RestartJob}",
)
def eviction_policy(document: Document) -> Iterator[Finding]:
    """Without a policy an evicted pod leaves the others waiting in their collective, with their GPUs."""
    if pods_of(document) < 2:  # noqa: PLR2004 -- one pod holds nobody up
        return
    listed = [policy for _, group in policies(document) for policy in group]
    if not any({"PodEvicted", "*"} & set(events(policy)) for policy in listed):
        yield Finding(("spec", "policies"), "no policy for PodEvicted")


@rule(
    "L113",
    Severity.WARNING,
    why="after one crash the rest holds its GPUs until a collective times out",
    cure="add {event: PodFailed, action: TerminateJob} after the exit codes",
)
def failure_policy(document: Document) -> Iterator[Finding]:
    """Without one, a crashed worker leaves the rest running until a collective times out."""
    if pods_of(document) < 2:  # noqa: PLR2004 -- one pod holds nobody up
        return
    listed = [policy for _, group in policies(document) for policy in group]
    if not any({"PodFailed", "TaskFailed", "*"} & set(events(policy)) for policy in listed):
        yield Finding(("spec", "policies"), "no policy for PodFailed")


@rule(
    "L114",
    Severity.WARNING,
    why="PodFailed and exit codes need a pod that stays failed",
    cure="write restartPolicy: Never and let the job restart",
)
def kubelet_restarts(document: Document) -> Iterator[Finding]:
    """With restartPolicy OnFailure the kubelet restarts in place, so the pod never fails (issue 1099)."""
    if not is_gang(document):
        return
    for template in pod_templates(document):
        policy = text(template.spec.get("restartPolicy"))
        if policy and policy != "Never":
            yield Finding(
                (*template.path, "restartPolicy"), f"restartPolicy {policy} hides failures from the policies"
            )


@rule(
    "L115",
    Severity.WARNING,
    why="a pod that cannot pull its image holds the gang for ever",
    cure="add timeout: 1h",
)
def pending_needs_timeout(document: Document) -> Iterator[Finding]:
    """A PodPending policy only ever fires through its timeout."""
    for path, listed in policies(document):
        for index, policy in enumerate(listed):
            if "PodPending" in events(policy) and not policy.get("timeout"):
                yield Finding((*path, index), "PodPending without a timeout never fires")


@rule(
    "L116",
    Severity.WARNING,
    why="Volcano takes the first policy that fits",
    cure="put exit codes first, PodFailed last",
)
def reachable_policies(document: Document) -> Iterator[Finding]:
    """The first policy that fits wins: an exit code after PodFailed or '*' is never looked at."""
    for path, listed in policies(document):
        caught = ""
        for index, policy in enumerate(listed):
            if policy.get("exitCode") is not None and caught:
                here: ValuePath = (*path, index, "exitCode")
                yield Finding(here, f"exit code {policy['exitCode']} stands after {caught}, which wins")
            caught = caught or next((event for event in events(policy) if event in {"PodFailed", "*"}), "")


@rule(
    "L117",
    Severity.WARNING,
    why="every eviction uses up a retry",
    cure="write maxRetry: 100 for jobs that may be evicted",
)
def retries_for_evictions(document: Document) -> Iterator[Finding]:
    """Each eviction takes one of maxRetry, three by default (issue 2560)."""
    restarts = any(
        "PodEvicted" in events(policy) and policy.get("action") == "RestartJob"
        for _, listed in policies(document)
        for policy in listed
    )
    if restarts and whole(document.spec.get("maxRetry"), DEFAULT_RETRIES) <= DEFAULT_RETRIES:
        yield Finding(
            ("spec", "maxRetry"), f"at most {DEFAULT_RETRIES} evictions until the job has failed for good"
        )


@rule(
    "L118",
    Severity.WARNING,
    why="the workers never find each other",
    cure="name one task master, or set MASTER_ADDR and RANK yourself with env and svc",
)
def torch_master(document: Document) -> Iterator[Finding]:
    """The pytorch plugin looks for a task by name; without it there is one log line and no MASTER_ADDR."""
    plugins = mapping(document.spec.get("plugins")) if is_gang(document) else {}
    if "pytorch" not in plugins:
        return
    names = {"master": "master", "worker": "worker"}
    for argument in map(text, sequence(plugins["pytorch"])):
        flag, _, value = argument.lstrip("-").partition("=")
        names.update({flag: value} if flag in names else {})
    if names["master"] not in {text(task.get("name")) for task in tasks(document)}:
        yield Finding(
            ("spec", "plugins", "pytorch"),
            f"no task is called {names['master']!r}: no rank is set in any pod",
        )
    elif names["master"] == names["worker"]:
        yield Finding(
            ("spec", "plugins", "pytorch"), "master and worker are one task: ranks begin at 1 and nobody is 0"
        )


@rule(
    "L119",
    Severity.WARNING,
    why="finished objects pile up in the cluster",
    cure="write ttlSecondsAfterFinished: 86400",
)
def kept_for_ever(document: Document) -> Iterator[Finding]:
    """Finished jobs and their pods stay until somebody deletes them; those of a flow go with it (L139)."""
    if is_gang(document) and document.kind == "Job" and document.spec.get("ttlSecondsAfterFinished") is None:
        yield Finding(("spec",), "no ttlSecondsAfterFinished")


@rule(
    "L125",
    Severity.WARNING,
    why="Volcano takes a task without replicas as one of 0 pods",
    cure="write replicas: 1 or more",
)
def tasks_without_pods(document: Document) -> Iterator[Finding]:
    """A task that has no pod does nothing; Kubernetes' own kinds would take 1, Volcano takes 0."""
    for index, task in enumerate(tasks(document)):
        if replicas(task) == 0:
            yield Finding(("spec", "tasks", index), "the task has no pods")


RULES = (
    whole_gang,
    eviction_policy,
    failure_policy,
    kubelet_restarts,
    pending_needs_timeout,
    reachable_policies,
    retries_for_evictions,
    torch_master,
    kept_for_ever,
    tasks_without_pods,
)
"""What runs badly, in order of code."""
