"""What the steps of loading have found so far, and how it becomes Problems.

One Findings goes through all steps of `load`, which turns it into Problems with excerpts at the end.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from toolkit.errors import Place, Problem, Severity
from toolkit.topology.problems import CATALOGUE

_READING = "E01"


@dataclass(frozen=True)
class Finding:
    """One problem, before it gets its excerpt."""

    code: str
    place: Place
    message: str
    cure: str = ""


@dataclass
class Findings:
    """What the steps of loading have found, each once."""

    found: dict[Finding, None] = field(default_factory=dict)

    def add(self, code: str, place: Place, message: str, *, cure: str = "") -> None:
        """Add a finding; `cure` beats the catalogue's when this case has a better one.

        Raises:
            KeyError: the catalogue has no such code.
        """
        row = CATALOGUE[code]
        self.found[Finding(code, place, message, cure or row.cure)] = None

    @property
    def secrets(self) -> list[Place]:
        """Places at which a secret stands, so that no excerpt shows it."""
        return [finding.place for finding in self.found if finding.code == "E0311"]

    @property
    def errors(self) -> bool:
        """Tell whether anything stops the command."""
        return any(CATALOGUE[finding.code].severity is Severity.ERROR for finding in self.found)

    def problems(self, excerpt: Callable[[Place], str], files: Iterable[str]) -> tuple[Problem, ...]:
        """Give all findings as Problems in the order of the files and their lines.

        What could not be read has one reason, so no other finding is given for the same place.

        Args:
            excerpt: gives the line of a place with a caret.
            files: names of the files in the order in which they were given.
        """
        unreadable = {finding.place for finding in self.found if finding.code.startswith(_READING)}
        rank = {name: position for position, name in enumerate(files)}
        ordered = sorted(
            (each for each in self.found if each.code.startswith(_READING) or each.place not in unreadable),
            key=lambda finding: (
                rank.get(finding.place.where, len(rank)),
                finding.place.line,
                finding.place.column,
                finding.code,
            ),
        )
        return tuple(
            Problem(
                code=finding.code,
                severity=CATALOGUE[finding.code].severity,
                place=finding.place,
                message=finding.message,
                why=CATALOGUE[finding.code].why,
                cure=finding.cure,
                excerpt=excerpt(finding.place),
            )
            for finding in ordered
        )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Give the end of a message, `; did you mean 'x'?`, when a known word is near; else nothing."""
    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else ""


def listed(words: Iterable[str], last: str = "and") -> str:
    """Write words for a message: `a, b and c`; nothing for no words."""
    every = list(words)
    return f" {last} ".join(part for part in (", ".join(every[:-1]), *every[-1:]) if part)


def counted(count: int, what: str) -> str:
    """Write a count with its noun: `1 GPU`, `8 GPUs`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
