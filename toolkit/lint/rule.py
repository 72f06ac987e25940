"""What a lint rule is: a function over one object, with its code, its reason and its cure.

Rules stand one subject a file (`volcano_admission`, `gang_fit`, `queues`, `kubeedge`, `pods`, …); `check` runs them.
Most look at one object alone (`rule`); those that need to know what stands around it take its Surroundings too
(`rule_around`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from toolkit.errors import Problem, Severity
from toolkit.lint.document import Document, ValuePath
from toolkit.lint.surroundings import NOTHING_KNOWN, Surroundings


@dataclass(frozen=True)
class Finding:
    """Where in an object something is wrong, and what, in one sentence."""

    path: ValuePath
    message: str


Check = Callable[[Document], Iterator[Finding]]
CheckAround = Callable[[Document, Surroundings], Iterator[Finding]]


@dataclass(frozen=True)
class Rule:
    """One rule: `check` finds, `why` says what happens in the cluster, `cure` what to write instead."""

    code: str
    severity: Severity
    check: Check | CheckAround
    why: str
    cure: str
    look: CheckAround
    """`check` in the form that `problems` calls."""

    def problems(self, document: Document, surroundings: Surroundings = NOTHING_KNOWN) -> Iterator[Problem]:
        """Run the rule over one object; where nothing is known of its surroundings, rules about them are silent."""
        for finding in self.look(document, surroundings):
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
        return Rule(code, severity, check, why, cure, lambda document, _: check(document))

    return declare


def rule_around(code: str, severity: Severity, *, why: str, cure: str) -> Callable[[CheckAround], Rule]:
    """Turn the function below it, which also takes the Surroundings, into a Rule."""

    def declare(check: CheckAround) -> Rule:
        return Rule(code, severity, check, why, cure, check)

    return declare
