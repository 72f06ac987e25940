"""Volcano JobFlows that are refused, stand still, or begin again by themselves. One rule a function; `check` runs them.

Source: volcano-sh/volcano v1.15.1, pkg/webhooks/admission/jobflows/validate and pkg/controllers/jobflow. The job of a
step is called FLOW-STEP; NAMESPACE.FLOW and NAMESPACE.STEP become labels of it; the step's name is its JobTemplate's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toolkit.errors import Severity
from toolkit.lint.document import Document, ValuePath, mapping, sequence, text
from toolkit.lint.name_forms import LONGEST_LABEL, is_label
from toolkit.lint.neighbours import namespace_of
from toolkit.lint.rule import Finding, rule, rule_around
from toolkit.lint.surroundings import Surroundings

FLOW_GROUP = "flow.volcano.sh"
_REFUSED = "Volcano's webhook refuses the flow, and without the webhook it stands still"
_STEPS = ("spec", "flows")


def is_flow(document: Document) -> bool:
    """Whether an object is a Volcano JobFlow."""
    return document.kind == "JobFlow" and document.group == FLOW_GROUP


def is_job_template(document: Document) -> bool:
    """Whether an object is a Volcano JobTemplate."""
    return document.kind == "JobTemplate" and document.group == FLOW_GROUP


def _steps(document: Document) -> list[tuple[str, list[str]]]:
    """Give each step with the steps that it waits for; none for other objects."""
    if not is_flow(document):
        return []
    return [
        (
            text(mapping(each).get("name")),
            [text(one) for one in sequence(mapping(mapping(each).get("dependsOn")).get("targets"))],
        )
        for each in sequence(document.spec.get("flows"))
    ]


@rule("L135", Severity.ERROR, why=_REFUSED, cure="name another step of the same flow")
def targets_are_steps(document: Document) -> Iterator[Finding]:
    """A step waits for other steps of its flow."""
    steps = _steps(document)
    names = {name for name, _ in steps}
    for index, (name, targets) in enumerate(steps):
        for position, target in enumerate(targets):
            path: ValuePath = (*_STEPS, index, "dependsOn", "targets", position)
            if target not in names:
                yield Finding(path, f"step {name!r} waits for {target!r}, which is no step of the flow")
            elif target == name:
                yield Finding(path, f"step {name!r} waits for itself")


@rule("L136", Severity.ERROR, why=_REFUSED, cure="take one of the steps out of dependsOn")
def steps_get_their_turn(document: Document) -> Iterator[Finding]:
    """No steps wait for each other in a circle."""
    left: Mapping[str, set[str]] = {name: set(targets) - {name} for name, targets in _steps(document)}
    while free := [name for name, targets in left.items() if not targets & set(left)]:
        left = {name: targets for name, targets in left.items() if name not in free}
    if left:
        yield Finding(_STEPS, f"{', '.join(map(repr, left))} wait for each other")


@rule(
    "L137",
    Severity.ERROR,
    why="the API server refuses the jobs of the flow, which then stands still without a word",
    cure=f"choose short names: FLOW-STEP, NAMESPACE.FLOW and NAMESPACE.STEP have at most {LONGEST_LABEL} characters",
)
def names_of_steps(document: Document) -> Iterator[Finding]:
    """Names of the jobs and labels that Volcano makes fit, and no step has the name of another."""
    seen: set[str] = set()
    namespace = namespace_of(document)
    for index, (name, _) in enumerate(_steps(document)):
        path: ValuePath = (*_STEPS, index, "name")
        job, labels = f"{document.name}-{name}", (f"{namespace}.{document.name}", f"{namespace}.{name}")
        if name in seen:
            yield Finding(path, f"two steps are called {name!r}: only one of them runs")
        elif not is_label(job):
            yield Finding(path, f"its job would be called {job!r}, which is no name for a job's Service")
        elif namespace and max(map(len, labels)) > LONGEST_LABEL:
            yield Finding(path, f"{max(labels, key=len)!r} is too long for a label")
        seen.add(name)


@rule_around(
    "L138",
    Severity.WARNING,
    why="the flow waits at this step for ever, and says so only in the controller's log",
    cure="name a JobTemplate of the same namespace",
)
def templates_are_there(document: Document, around: Surroundings) -> Iterator[Finding]:
    """Each step has its JobTemplate; silent where no JobTemplate of the namespace is in the run."""
    there = {each.name for each in around.neighbours.of("JobTemplate", namespace_of(document))}
    for index, (name, _) in enumerate(_steps(document)):
        if there and name not in there:
            yield Finding((*_STEPS, index, "name"), f"there is no JobTemplate {name!r} among these objects")


@rule(
    "L139",
    Severity.WARNING,
    why="a flow makes a step anew whose job has gone, so the flow runs again, and again",
    cure="remove it; jobs of a flow go with the flow",
)
def steps_stay(document: Document) -> Iterator[Finding]:
    """A template without ttlSecondsAfterFinished: the flow's controller knows a step by its job alone."""
    if is_job_template(document) and document.spec.get("ttlSecondsAfterFinished") is not None:
        yield Finding(("spec", "ttlSecondsAfterFinished"), "the job of a step would be deleted after its end")


RULES = (targets_are_steps, steps_get_their_turn, names_of_steps, templates_are_there, steps_stay)
"""What is wrong with flows, in order of code."""
