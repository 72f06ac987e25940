"""Run every rule over objects. Last step of linting; `tiers lint`, `tiers render` and later `apply` call it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from toolkit.errors import Problem
from toolkit.lint import kubeedge, pods, queues, volcano, volcano_admission
from toolkit.lint.document import Document, from_objects

RULES = (*volcano_admission.RULES, *volcano.RULES, *queues.RULES, *kubeedge.RULES, *pods.RULES)
"""Every rule, in order of code."""


def lint(documents: Iterable[Document]) -> tuple[Problem, ...]:
    """Find every problem: object by object, in each by position and code."""
    problems: list[Problem] = []
    for document in documents:
        found = [problem for rule in RULES for problem in rule.problems(document)]
        problems.extend(
            sorted(found, key=lambda problem: (problem.place.line, problem.place.column, problem.code))
        )
    return tuple(problems)


def check_objects(bodies: Iterable[Mapping[str, object]]) -> tuple[Problem, ...]:
    """Find every problem of objects that never were a file, such as freshly rendered ones."""
    return lint(from_objects(bodies))
