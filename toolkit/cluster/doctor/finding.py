"""How a check says what it found. Between the checks of `doctor` and the Problem that every command prints."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from toolkit.cluster.doctor.patient import Patient
from toolkit.errors import Place, Problem, Severity

Check = Callable[[Patient], Iterator[Problem]]
MOST_NAMED = 5


@dataclass(frozen=True)
class Ailment:
    """A kind of finding: its code, what it is, why it will bite and what cures it."""

    code: str
    severity: Severity
    what: str
    why: str
    cure: str

    def at(self, place: str, message: str, *, cure: str = "", excerpt: str = "") -> Problem:
        """Say where it was found.

        Args:
            place: the object or part of the cluster, such as `ConfigMap kubeedge/cloudcore`.
            message: what is wrong, in one sentence.
            cure: in place of the general one, where the exact command is known.
            excerpt: lines to show under the message.
        """
        return Problem(self.code, self.severity, Place(place), message, self.why, cure or self.cure, excerpt)


def error(code: str, what: str, *, why: str, cure: str) -> Ailment:
    """Declare what stops something from working."""
    return Ailment(code, Severity.ERROR, what, why, cure)


def warning(code: str, what: str, *, why: str, cure: str) -> Ailment:
    """Declare what will be missed some day."""
    return Ailment(code, Severity.WARNING, what, why, cure)


def some(names: Sequence[str]) -> str:
    """Name the first few of many."""
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
