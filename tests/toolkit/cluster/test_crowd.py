"""200 gangs want a pool that holds a few of them: from the whole log of all pods, none is ever left with a part.

The jobs are those of a tiers.yaml, rendered by our code and written as `tiers job submit` writes one. What happened is
read from a watch that begins before the first job is there, and is proven complete: it must hold as many bindings as
the API server has answered. The control is the same crowd with a minimum of one worker, in which the same assertion
must find parts.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import pytest

from tests.cluster.crowd import crowd, workers_of
from tests.cluster.partial import Binding, Part, bindings, open_at, parts, quiet_moments
from tests.cluster.plane import Plane
from tests.cluster.watchlog import Change, WatchLog
from toolkit.cluster.apply import apply, raise_for
from toolkit.cluster.diff import put
from toolkit.cluster.kinds import Kinds

SEED, GANGS = 20261122, 200
GANGS_OF_THE_CONTROL = 60
LONGEST_PART = 40.0
"""Seconds: bindings of one gang come one by one, and a busy machine takes its time."""
LONG_IN_THE_CONTROL = 10.0
"""Seconds: there a part stays until the rest finds room, at the latest when one of the three large gangs ends."""
PAUSE = 12.0
"""Seconds without a binding that make a quiet moment; three gangs of the crowd hold the whole pool for longer.

Longer than a busy machine stands still between two bindings of one gang: that pause would be a quiet moment too.
"""
DEADLINE = 400


@dataclass
class Run:
    """What a crowd did."""

    binds: list[Binding]
    parts: list[Part]
    quiet: list[float]
    answered: int
    """Bindings that the API server has answered with success, from its audit log."""
    done: set[str]
    pods: Counter[str]
    connections: int

    def longer(self, seconds: float) -> list[Part]:
        return [each for each in self.parts if each.seconds > seconds]

    @property
    def at_quiet_moments(self) -> list[Part]:
        return open_at(self.parts, self.quiet)


def answered_bindings(plane: Plane, namespace: str) -> int:
    path = re.compile(rf"/api/v1/namespaces/{namespace}/pods/[^/]+/binding(\?.*)?")
    return sum(
        1
        for each in plane.audited()
        if each["verb"] == "create"
        and each["stage"] == "ResponseComplete"
        and each["responseStatus"]["code"] == 201
        and path.fullmatch(each["requestURI"])
    )


def run(site, gangs: int, *, minimum: int | None) -> Run:
    jobs = dict(crowd(SEED, gangs, minimum=minimum))
    hospital = site({"jobs": {"seg3d": None, "digits": None, **jobs}})
    surroundings = [each for each in hospital.objects if each.kind in {"Namespace", "PriorityClass"}]
    submitted = [each for each in hospital.objects if each.submitted]
    assert len(submitted) == gangs
    kinds = Kinds(hospital.connection)
    needed, ended = workers_of(jobs), Counter[str]()
    log = WatchLog(hospital.api).start()
    try:
        raise_for([apply(hospital.connection, hospital.name, surroundings)])
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda each: put(kinds, each, dry_run=False), submitted))
        read, over = 0, set[str]()

        def all_over() -> bool:
            nonlocal read
            fresh, read = log.changes[read:], len(log.changes)
            for each in fresh:
                if each.namespace == hospital.name and each.phase == "Succeeded" and each.uid not in over:
                    over.add(each.uid)
                    ended[each.job] += 1
            return ended == needed

        with suppress(TimeoutError):  # then what the log says until now is told first
            log.wait(all_over, "every gang has ended", DEADLINE)
        changes = log.catch_up()
        end = time.time()
    finally:
        log.stop()
    mine: list[Change] = [each for each in changes if each.namespace == hospital.name]
    binds = bindings(mine)
    return Run(
        binds,
        parts(mine, needed, end),
        quiet_moments(binds, PAUSE),
        answered_bindings(hospital.plane, hospital.name),
        {name for name, of in needed.items() if ended[name] == of},
        Counter(each.job for each in binds),
        log.connections,
    )


def report(found: Run, gangs: int) -> None:
    worst = max((each.seconds for each in found.parts), default=0.0)
    took = found.binds[-1].moment - found.binds[0].moment
    print(
        f"{len(found.done)} of {gangs} gangs have ended, {len(found.binds)} bindings in {took:.1f} s, "
        f"{found.answered} in the audit log, {len(found.parts)} parts, "
        f"longest {worst:.2f} s, {len(found.at_quiet_moments)} at one of "
        f"{len(found.quiet)} quiet moments, {found.connections} connections"
    )


@pytest.mark.slow
@pytest.mark.timeout(560)
def test_no_gang_is_left_with_a_part_of_its_workers(site):
    found = run(site, GANGS, minimum=None)
    report(found, GANGS)
    assert len(found.binds) == found.answered, "the log holds every binding"
    assert found.connections > 2, "the log went over several connections"
    assert found.quiet, "there were moments in which a part would have been seen"
    assert found.longer(LONGEST_PART) == []
    assert found.at_quiet_moments == []
    assert len(found.done) == GANGS


@pytest.mark.slow
@pytest.mark.timeout(560)
def test_the_same_crowd_with_a_minimum_of_one_shows_parts(site):
    """The control: what finds nothing above finds something here."""
    found = run(site, GANGS_OF_THE_CONTROL, minimum=1)
    report(found, GANGS_OF_THE_CONTROL)
    assert len(found.binds) == found.answered
    assert found.longer(LONG_IN_THE_CONTROL)
    assert len(found.done) == GANGS_OF_THE_CONTROL
