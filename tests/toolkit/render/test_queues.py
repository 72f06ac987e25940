"""Queues carry what tiers.yaml names, and no queue may use what another one of its tier keeps."""

from __future__ import annotations

import pytest

from toolkit.errors import TopologyError
from toolkit.render.objects import render

CARE = {"tier": "hot", "guarantee": {"gpus": 16}, "deserved": {"gpus": 16}}


def queue(topology, name="research", jobs=None, **queues):
    wanted = f"medical-imaging-{name}"
    changed = topology({"queues": queues, "jobs": jobs or {}})
    found = {each.name: each.body["spec"] for each in render(changed) if each.kind == "Queue"}
    return found[wanted]


def test_only_what_is_named_stands_there(topology):
    assert queue(topology) == {
        "weight": 1,
        "reclaimable": True,
        "guarantee": {"resource": {"nvidia.com/gpu": "8"}},
        "deserved": {"nvidia.com/gpu": "32"},
        "capability": {"nvidia.com/gpu": "48"},
    }


@pytest.mark.parametrize(("asked", "given"), [(48, "40"), (32, "32"), (None, "40")])
def test_what_another_queue_keeps_is_never_lent(topology, asked, given):
    """The hot tier has 56 GPUs, care keeps 16 of them."""
    mine = {"capability": None if asked is None else {"gpus": asked}, "deserved": {"gpus": 16}}
    assert queue(topology, research=mine, care=CARE)["capability"] == {"nvidia.com/gpu": given}


def test_a_queue_deserves_no_more_than_it_may_use(topology):
    mine = {"deserved": {"gpus": 48}}
    assert queue(topology, research=mine, care=CARE)["deserved"] == {"nvidia.com/gpu": "40"}


def test_queues_of_other_tiers_keep_nothing_here(topology):
    other = {"tier": "cold", "guarantee": {"cpus": 8}, "deserved": {"cpus": 8}}
    assert queue(topology, archive=other)["capability"] == {"nvidia.com/gpu": "48"}
    assert "nvidia.com/gpu" not in queue(topology, "archive", archive=other).get("capability", {})


def test_queues_below_a_queue_share_what_it_may_use(topology):
    """Of the 40 GPUs that care leaves to research, interns are kept 4, so staff may use 36, and interns 8 of 40."""
    below = {
        "staff": {"tier": "hot", "parent": "research", "deserved": {"gpus": 20}},
        "interns": {
            "tier": "hot",
            "parent": "research",
            "guarantee": {"gpus": 4},
            "deserved": {"gpus": 4},
            "capability": {"gpus": 8},
        },
    }
    jobs = {"seg3d": None, "digits": None}
    found = {
        name: queue(topology, name, jobs, care=CARE, **below) for name in ("research", "staff", "interns")
    }
    limits = {name: body["capability"]["nvidia.com/gpu"] for name, body in found.items()}
    assert limits == {"research": "40", "staff": "36", "interns": "8"}
    assert [body.get("parent") for body in found.values()] == [
        None,
        "medical-imaging-research",
        "medical-imaging-research",
    ]


def test_a_queue_is_made_after_the_one_above_it(topology):
    below = {"a-part": {"tier": "hot", "parent": "research"}, "b-part": {"tier": "hot", "parent": "a-part"}}
    ranks = {
        each.name: each.rank
        for each in render(topology({"queues": below, "jobs": {"seg3d": None, "digits": None}}))
        if each.kind == "Queue"
    }
    names = ["medical-imaging-research", "medical-imaging-a-part", "medical-imaging-b-part"]
    assert sorted(ranks, key=ranks.__getitem__) == names
    assert len(set(ranks.values())) == len(names)


def test_a_circle_of_queues_is_refused_and_ends(topology):
    circle = {"a": {"tier": "hot", "parent": "b"}, "b": {"tier": "hot", "parent": "a"}}
    with pytest.raises(TopologyError) as refused:
        topology({"queues": circle})
    assert {each.code for each in refused.value.problems if each.code.startswith("E")} == {"E0847"}
