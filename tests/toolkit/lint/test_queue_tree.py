"""Queues, alone and below others; the same ones meet the real webhook in tests/toolkit/cluster/test_refusals.py."""

from __future__ import annotations

import pytest

from tests.toolkit.lint.wrong_queues import QUEUES, TREE, queue
from toolkit.errors import Severity
from toolkit.lint.check import lint
from toolkit.lint.document import from_objects

ROOT = {**queue("root"), "status": {"state": "Open"}}


def found(*bodies):
    problems = lint(from_objects([*bodies, ROOT]))
    return [(each.code, str(each.place)) for each in problems if each.severity is Severity.ERROR]


@pytest.mark.parametrize(("code", "body"), QUEUES)
def test_a_queue_is_refused_for_what_is_wrong(code, body):
    mine = {
        each for each, place in found(body, *TREE) if place.startswith(f"Queue {body['metadata']['name']} ")
    }
    assert mine == ({code} if code else set())


def test_the_tree_itself_is_right():
    assert found(*TREE) == []


def test_a_parent_that_may_stand_in_the_cluster_is_not_held_against_a_queue():
    """Without a listing of the cluster nobody knows which queues there are."""
    assert lint(from_objects([queue(parent="elsewhere")])) == ()


def test_a_queue_that_runs_pods_gets_no_queue_below():
    busy = {**queue("busy"), "status": {"state": "Open", "allocated": {"pods": "3"}}}
    assert found(queue(parent="busy"), busy) == [("L127", "Queue corpus-new spec.parent")]
    assert found(queue(parent="busy"), queue("first", parent="busy"), busy) == []


def test_parents_in_a_circle_end():
    assert found(queue("a", parent="b"), queue("b", parent="a")) == []
