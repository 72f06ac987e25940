"""What the client of a soak wrote down, judged: each request has one of three ends, each answer its version.

A request is answered (status 200), refused with a status that says so (429, 503, 504), or cut by a kill of the fault
log while it was on its way. Whatever else comes, an error 500 too, is of a fourth kind, and a soak with one of
those has failed. Pure functions; `phases` calls them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

REFUSALS = frozenset({429, 503, 504})
SHOWN = 5
"""Requests of the fourth kind that are shown in full."""


@dataclass(frozen=True)
class Asked:
    """One request; moments on the monotonic clock, in seconds."""

    stream: str
    due: float
    ended: float
    status: int
    """0 when the connection ended first."""
    named: str
    """The version that the answer names; the text of a record."""
    proven: int
    """The version that its scores prove."""
    why: str = ""

    @property
    def seconds(self) -> float:
        """From the moment at which it was due."""
        return self.ended - self.due


@dataclass(frozen=True)
class Fault:
    """A kill: from it until the device was ready again, no answer can be expected."""

    began: float
    ended: float


@dataclass(frozen=True)
class Reign:
    """A time in which one version of a model had to answer: from the report that it serves to the next word."""

    began: float
    ended: float
    version: int


def read(file: Path) -> list[Asked]:
    """Read what the client wrote."""
    found = []
    for line in file.read_text().splitlines():
        stream, due, ended, status, named, proven, why = line.split("\t")
        found.append(Asked(stream, float(due), float(ended), int(status), named, int(proven), why))
    return found


def kinds(asked: Iterable[Asked], faults: Sequence[Fault]) -> tuple[Counter[str], list[Asked]]:
    """Count answered, refused and cut; also give those of a fourth kind."""
    count, strange = Counter[str](), []
    for each in asked:
        if each.status == 200:
            count["answered"] += 1
        elif each.status in REFUSALS:
            count[f"refused {each.status}"] += 1
        elif each.status == 0 and any(each.due <= f.ended and each.ended >= f.began for f in faults):
            count["cut by a kill"] += 1
        else:
            strange.append(each)
    return count, strange


def wrong_versions(asked: Iterable[Asked], reigns: Sequence[Reign] = ()) -> list[Asked]:
    """Give the answers whose scores are not of the version that they name, or not of the one that reigned.

    A request counts to a reign when it was due and ended within it.
    """
    wrong = []
    for each in asked:
        if each.status != 200:
            continue
        reigning = [r for r in reigns if r.began <= each.due and each.ended <= r.ended]
        if each.named != f"v{each.proven}" or any(r.version != each.proven for r in reigning):
            wrong.append(each)
    return wrong


def records(asked: Iterable[Asked], kept: Iterable[str]) -> tuple[set[str], list[str]]:
    """Give the records that were accepted and are not kept, and those that are kept more than once.

    One whose request was cut may be kept or not, because its client cannot know; twice it may not.
    """
    found = Counter(kept)
    accepted = {each.named for each in asked if each.status == 200}
    return accepted - found.keys(), [text for text, times in found.items() if times > 1]


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the smallest value that so many of 100 do not exceed; not a number when there are none."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)] if ordered else math.nan


def growth(samples: Sequence[tuple[float, float]]) -> float:
    """Give the slope of (seconds, size) by least squares, as the share of the mean that is added in a minute."""
    count = len(samples)
    mean_x = sum(x for x, _ in samples) / count
    mean_y = sum(y for _, y in samples) / count
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread
    return slope * 60 / mean_y
