"""What a complete log of pods says about gangs: each binding, and each time in which a gang had a part of its workers.

A worker is bound from the first version that names a node until its pod is gone or has failed; one that has ended well
keeps counting, for it has had its place. A gang is over when all its workers have ended well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from tests.cluster.watchlog import Change


@dataclass(frozen=True)
class Binding:
    """One pod that got a node."""

    moment: float
    job: str
    uid: str
    node: str


@dataclass(frozen=True)
class Part:
    """A time, in seconds of the wall clock, in which a gang had nodes for some of its workers and not for all."""

    job: str
    begin: float
    end: float
    most: int
    """Workers bound, at most."""
    needed: int

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def bindings(changes: Iterable[Change]) -> list[Binding]:
    """Give the bindings in the order in which they happened.

    A pod that is bound does not run yet. When the first version with a node is that of a pod that runs already, the
    version before it is missing in the log, and the binding is not counted.
    """
    found: list[Binding] = []
    seen: set[str] = set()
    for each in changes:
        if each.node and each.uid not in seen:
            seen.add(each.uid)
            if each.phase == "Pending":
                found.append(Binding(each.moment, each.job, each.uid, each.node))
    return found


def parts(changes: Iterable[Change], needed: Mapping[str, int], end: float) -> list[Part]:
    """Give every time with 0 < bound < needed.

    Args:
        changes: the log, in order.
        needed: job -> workers without which it cannot work.
        end: when the log ended; what is still open then ends there.
    """
    bound: dict[str, set[str]] = defaultdict(set)
    done: dict[str, set[str]] = defaultdict(set)
    open_since: dict[str, tuple[float, int]] = {}
    found: list[Part] = []
    for each in changes:
        job = each.job
        if job not in needed or len(done[job]) == needed[job]:
            continue
        gone = each.kind == "DELETED" or each.phase == "Failed"
        if each.node and not gone:
            bound[job].add(each.uid)
        elif gone:
            bound[job].discard(each.uid)
        if each.phase == "Succeeded":
            done[job].add(each.uid)
        count = len(bound[job])
        if 0 < count < needed[job]:
            since, most = open_since.get(job, (each.moment, 0))
            open_since[job] = (since, max(most, count))
        elif job in open_since:
            since, most = open_since.pop(job)
            found.append(Part(job, since, each.moment, most, needed[job]))
    found += [Part(job, since, end, most, needed[job]) for job, (since, most) in open_since.items()]
    return found


def quiet_moments(binds: Iterable[Binding], pause: float) -> list[float]:
    """Give the moments, one a pause, at which nothing had been bound for `pause` seconds, between first and last."""
    moments = [each.moment for each in binds]
    return [before + pause for before, after in pairwise(moments) if after - before > pause]


def open_at(found: Iterable[Part], moments: Iterable[float]) -> list[Part]:
    """Give the parts that were open at one of these moments."""
    at = list(moments)
    return [each for each in found if any(each.begin < moment < each.end for moment in at)]
