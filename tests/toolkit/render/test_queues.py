"""Queues carry what tiers.yaml names, and no queue may use what another one of its tier keeps."""

from __future__ import annotations

import pytest

from toolkit.render.objects import render

CARE = {"tier": "hot", "guarantee": {"gpus": 16}, "deserved": {"gpus": 16}}


def queue(topology, name="research", **queues):
    wanted = f"medical-imaging-{name}"
    found = {
        each.name: each.body["spec"] for each in render(topology({"queues": queues})) if each.kind == "Queue"
    }
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
