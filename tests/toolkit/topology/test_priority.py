"""Priorities: a number alone or with its right to end others, and who has that right when nothing is said."""

from __future__ import annotations

import pytest

from toolkit.errors import TopologyError
from toolkit.topology.priority import Priority, preempts

THREE = {name: Priority(value=value) for name, value in (("high", 100), ("middle", 10), ("low", 1))}


@pytest.mark.parametrize(("name", "may"), [("high", True), ("middle", True), ("low", False)])
def test_all_but_the_lowest_of_several_may_end_others(name, may):
    assert preempts(THREE, name, queues=False) == may


def test_with_queues_the_lowest_may_too_because_it_could_not_take_back_what_was_lent():
    assert preempts(THREE, "low", queues=True)


def test_one_alone_is_no_lowest():
    assert preempts({"only": Priority(value=5)}, "only", queues=False)


def test_two_lowest_end_nobody():
    equal = {**THREE, "also": Priority(value=1)}
    assert [preempts(equal, name, queues=False) for name in ("also", "low")] == [False, False]


@pytest.mark.parametrize("said", [True, False])
def test_what_is_said_holds(said):
    asked = {name: Priority(value=each.value, preempts=said) for name, each in THREE.items()}
    assert {preempts(asked, name, queues=queues) for name in asked for queues in (True, False)} == {said}


def test_a_number_and_a_mapping_mean_the_same(topology):
    short = topology({"priorities": {"emergency": 2000000}})
    long = topology({"priorities": {"emergency": {"value": 2000000}}})
    assert short.priorities == long.priorities
    assert short.priorities["emergency"].value == 2000000


@pytest.mark.parametrize("value", [1_000_000_001, {"value": 1_000_000_001}, "high", True, {"preempts": True}])
def test_anything_else_is_refused_where_it_stands(topology, value):
    with pytest.raises(TopologyError) as caught:
        topology({"priorities": {"emergency": value}})
    assert all(problem.place.line for problem in caught.value.problems)
