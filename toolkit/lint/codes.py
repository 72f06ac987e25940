"""Every code of `tiers lint`: what is found, how bad it is, why it bites, what cures it. For people who look one up.

After `check` and `schema_words`, which own the rules and the words; `tiers lint --explain` asks here.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.errors import Severity, UsageError
from toolkit.lint.check import RULES
from toolkit.lint.schema_words import CURES, WHAT, WHY


@dataclass(frozen=True)
class Code:
    """One code of the catalogue."""

    code: str
    severity: Severity
    what: str
    why: str
    cure: str


def codes() -> tuple[Code, ...]:
    """List every code: those of schemas first, then those of rules, in order."""
    of_schemas = (Code(code, Severity.ERROR, WHAT[code], WHY, CURES[code]) for code in sorted(WHAT))
    of_rules = (
        Code(
            each.code, each.severity, (each.check.__doc__ or "").strip().splitlines()[0], each.why, each.cure
        )
        for each in RULES
    )
    return (*of_schemas, *of_rules)


def explain(code: str) -> Code:
    """Look a code up, whatever its letters' size.

    Raises:
        UsageError: there is no such code.
    """
    listed = {each.code: each for each in codes()}
    found = listed.get(code.upper())
    if found is None:
        span = f"{min(listed)} to {max(listed)}"
        raise UsageError(
            f"tiers lint has no code {code!r}; its codes are {span}", hint="see docs/reference/problems.md"
        )
    return found
