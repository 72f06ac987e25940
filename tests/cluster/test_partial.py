"""The judge of the crowd: what it counts as a part, for how long, and what it does not count."""

from __future__ import annotations

import itertools

import pytest

from tests.cluster.partial import Part, bindings, open_at, parts, quiet_moments
from tests.cluster.watchlog import Change

_versions = itertools.count(1)


def change(
    moment: float, uid: str, phase: str = "Pending", node: str = "n1", kind: str = "MODIFIED"
) -> Change:
    job = uid.partition("-")[0]
    return Change(moment, kind, next(_versions), uid, "space", uid, job, node, phase)


def test_a_gang_bound_one_by_one_is_a_part_until_the_last():
    log = [change(1, "a-0"), change(1.5, "a-1"), change(3, "a-2"), change(9, "a-0", "Running")]
    assert parts(log, {"a": 3}, 10) == [Part("a", 1, 3, 2, 3)]


def test_a_part_that_never_becomes_whole_lasts_until_the_end():
    assert parts([change(1, "a-0"), change(2, "b-0")], {"a": 2, "b": 1}, 10) == [Part("a", 1, 10, 1, 2)]


@pytest.mark.parametrize("loss", [{"kind": "DELETED"}, {"phase": "Failed"}])
def test_a_gang_that_loses_a_worker_is_a_part_again(loss):
    log = [change(1, "a-0"), change(1, "a-1"), change(4, "a-0", **loss), change(7, "a-2")]
    assert [(each.begin, each.end) for each in parts(log, {"a": 2}, 10)] == [(1, 1), (4, 7)]


def test_workers_that_ended_well_keep_their_place_and_what_follows_the_end_is_no_part():
    whole = [change(1, "a-0"), change(1, "a-1")]
    ended = [change(2, "a-0", "Succeeded"), change(5, "a-1", "Succeeded")]
    cleared = [change(6, "a-0", "Succeeded", kind="DELETED"), change(9, "a-1", "Succeeded", kind="DELETED")]
    assert [each.seconds for each in parts([*whole, *ended, *cleared], {"a": 2}, 10)] == [0]


def test_a_binding_is_counted_once_and_only_when_the_log_has_it():
    log = [
        change(1, "a-0", node=""),
        change(2, "a-0"),
        change(3, "a-0", "Running"),
        change(4, "a-1", "Running"),
    ]
    assert [(each.uid, each.moment) for each in bindings(log)] == [("a-0", 2)]


def test_quiet_moments_lie_in_pauses_between_bindings():
    binds = bindings([change(1, "a-0"), change(1.5, "a-1"), change(4, "b-0"), change(4.9, "b-1")])
    assert quiet_moments(binds, 1.0) == [2.5]


def test_a_part_is_found_at_a_moment_within_it():
    early, late = Part("a", 1, 3, 1, 2), Part("b", 4, 9, 1, 2)
    assert open_at([early, late], [0.5, 3.5, 5]) == [late]
