"""What a lint rule is: a function over one object, with its code, its reason and its cure.

Rules stand one subject a file (`volcano_admission`, `volcano`, `queues`, `kubeedge`, `pods`); `check` runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from toolkit.errors import Problem, Severity
from toolkit.lint.document import Document, ValuePath


@dataclass(frozen=True)
class Finding:
    """Where in an object something is wrong, and what, in one sentence."""

    path: ValuePath
    message: str


Check = Callable[[Document], Iterator[Finding]]


@dataclass(frozen=True)
class Rule:
    """One rule: `check` finds, `why` says what happens in the cluster, `cure` what to write instead."""

    code: str
    severity: Severity
    check: Check
    why: str
    cure: str

    def problems(self, document: Document) -> Iterator[Problem]:
        """Run the rule over one object."""
        for finding in self.check(document):
            yield Problem(
                code=self.code,
                severity=self.severity,
                place=document.place(finding.path),
                message=finding.message if document.node is None else f"{document.title}: {finding.message}",
                why=self.why,
                cure=self.cure,
            )


def rule(code: str, severity: Severity, *, why: str, cure: str) -> Callable[[Check], Rule]:
    """Turn the function below it into a Rule."""

    def declare(check: Check) -> Rule:
        return Rule(code, severity, check, why, cure)

    return declare
