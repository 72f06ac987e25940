"""Which series a PromQL expression reads, by which labels it groups, and inside of which functions.

Between `monitoring_document` and the rules of `monitoring_*`. It is a scanner, not a parser: of an expression that
Prometheus would refuse it gives what it can (promtool says what is wrong with that one).
Source: prometheus.io/docs/prometheus/latest/querying/basics.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

_PART = re.compile(
    r"""(?P<comment>\#[^\n]*)
      |(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
      |(?P<word>[a-zA-Z_:][a-zA-Z0-9_:]*)
      |(?P<number>\d[\w.]*)
      |(?P<sign>=~|!~|!=|==|\S)""",
    re.VERBOSE,
)
_GROUPING = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "atan2", "inf", "nan", "start", "end"})
_DURATION = re.compile(r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")
_SECONDS = (31536000.0, 604800.0, 86400.0, 3600.0, 60.0, 1.0, 0.001)


@dataclass
class Selector:
    """One series selector. `window` is the text between its brackets, empty for an instant; `calls` go inwards."""

    metric: str
    calls: tuple[str, ...]
    labels: list[str] = field(default_factory=list)
    window: str = ""

    @property
    def seconds(self) -> float | None:
        """The range in s; None for an instant, a subquery, and a range that Grafana fills in."""
        return duration(self.window) if self.window and ":" not in self.window else None


@dataclass(frozen=True)
class Grouping:
    """A list of labels after by, without, on, ignoring, group_left or group_right."""

    word: str
    labels: tuple[str, ...]
    calls: tuple[str, ...]


@dataclass(frozen=True)
class Expression:
    """What an expression reads."""

    selectors: tuple[Selector, ...]
    groupings: tuple[Grouping, ...]
    calls: frozenset[str]

    def names(self, label: str) -> bool:
        """Whether a matcher or a grouping names a label."""
        matched = any(label in each.labels for each in self.selectors)
        return matched or any(label in each.labels for each in self.groupings)


def duration(text: str) -> float | None:
    """Read a duration of Prometheus (1h30m) in s; None when it is none."""
    if text == "0":
        return 0.0
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        return None
    return sum(int(part) * unit for part, unit in zip(found.groups(), _SECONDS, strict=True) if part)


@lru_cache(maxsize=4096)
def read(expression: str) -> Expression:
    """Scan an expression."""
    scanner = _Scanner(_parts(expression))
    scanner.run()
    return Expression(tuple(scanner.selectors), tuple(scanner.groupings), frozenset(scanner.calls))


def _parts(expression: str) -> list[str]:
    return [match[0] for match in _PART.finditer(expression) if match.lastgroup != "comment"]


class _Scanner:
    """Walks the parts once; `stack` holds the functions whose brackets are open."""

    def __init__(self, parts: Sequence[str]) -> None:
        self.parts = parts
        self.at = 0
        self.stack: list[str] = []
        self.pending = ""
        self.selectors: list[Selector] = []
        self.groupings: list[Grouping] = []
        self.calls: set[str] = set()

    def run(self) -> None:
        """Take part after part."""
        while self.at < len(self.parts):
            part = self.parts[self.at]
            self.at += 1
            if part == "(":
                self.stack.append(self.pending)
                self.pending = ""
            elif part == ")":
                self.stack[-1:] = []
            elif part == "{":
                self._matchers()
            elif part == "[":
                window = "".join(self._until("]"))
                if self.selectors:
                    self.selectors[-1].window = self.selectors[-1].window or window
            elif part[0].isalpha() or part[0] in "_:":
                self._word(part)

    def _word(self, part: str) -> None:
        following = self.parts[self.at] if self.at < len(self.parts) else ""
        if part in _GROUPING:
            if following == "(":
                self.at += 1
                labels = tuple(each for each in self._until(")") if each != ",")
                self.groupings.append(Grouping(part, labels, tuple(self.stack)))
        elif following == "(" or following in {"by", "without"}:
            self.pending = "" if part in _WORDS else part
            self.calls.add(part)
        elif part.lower() not in _WORDS:
            self.selectors.append(Selector(part, tuple(self.stack)))

    def _matchers(self) -> None:
        before = self.parts[self.at - 2] if self.at > 1 else ""
        if not (self.selectors and self.selectors[-1].metric == before):
            self.selectors.append(Selector("", tuple(self.stack)))
        inside = self._until("}")
        for label, sign in pairwise(inside):
            if sign in {"=", "!=", "=~", "!~"}:
                self.selectors[-1].labels.append(label)

    def _until(self, end: str) -> list[str]:
        found = []
        while self.at < len(self.parts) and self.parts[self.at] != end:
            found.append(self.parts[self.at])
            self.at += 1
        self.at += 1
        return found
