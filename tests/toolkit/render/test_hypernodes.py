"""Racks become a tree of HyperNodes, and a gang that wants to stay near asks for it in Volcano's words."""

from __future__ import annotations

import pytest

from toolkit.errors import TopologyError
from toolkit.render.objects import render
from toolkit.render.scheduler import scheduler_config

NAMES = [f"a100-{number:03d}" for number in range(1, 7)]
RACKS = {"left": {"names": NAMES[:3]}, "right": {"names": NAMES[3:]}}
NEAR = {
    "scheduler": {"profile": "whole-gang"},
    "tiers": {"hot": {"pools": {"a100": {"nodes": {"count": None, "names": NAMES, "racks": RACKS}}}}},
    "jobs": {"seg3d": {"gang": {"workers": 3, "network": {"mode": "hard"}}}},
}


def test_racks_are_tier_one_and_their_pool_is_tier_two(topology, schema_errors):
    found = {each.name: each.body for each in render(topology(NEAR)) if each.kind == "HyperNode"}
    assert {name: body["spec"]["tier"] for name, body in found.items()} == {
        "medical-imaging-a100-left": 1,
        "medical-imaging-a100-right": 1,
        "medical-imaging-a100": 2,
    }
    members = [
        each["selector"]["exactMatch"]["name"] for each in found["medical-imaging-a100"]["spec"]["members"]
    ]
    assert members == ["medical-imaging-a100-left", "medical-imaging-a100-right"]
    machines = found["medical-imaging-a100-right"]["spec"]["members"]
    assert [each["selector"]["exactMatch"]["name"] for each in machines] == NAMES[3:]
    assert {each["type"] for each in machines} == {"Node"}
    assert [schema_errors(body) for body in found.values()] == [[], [], []]


def test_the_gang_asks_and_the_scheduler_listens(topology):
    near = topology(NEAR)
    (job,) = [each.body for each in render(near) if each.kind == "Job" and each.name == "seg3d"]
    assert job["spec"]["networkTopology"] == {"mode": "hard", "highestTierAllowed": 1}
    assert "network-topology-aware" in scheduler_config(near)
    far = topology({**NEAR, "jobs": {"seg3d": {"gang": {"network": None}}}})
    assert "network-topology-aware" not in scheduler_config(far)
    assert all("networkTopology" not in each.body.get("spec", {}) for each in render(far))


def test_a_gang_that_no_rack_holds_is_refused(topology):
    with pytest.raises(TopologyError) as refused:
        topology({**NEAR, "jobs": {"seg3d": {"gang": {"workers": 4, "network": {"mode": "hard"}}}}})
    assert {each.code for each in refused.value.problems if each.code.startswith("E")} == {"E0851"}
