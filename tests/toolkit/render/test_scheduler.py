"""volcano-scheduler.conf says what the profile says, and is an object only where tiers.yaml names one."""

from __future__ import annotations

import pytest
import yaml

from toolkit.render.objects import render
from toolkit.render.scheduler import scheduler_config


def config(topology, **scheduler):
    return yaml.safe_load(scheduler_config(topology({"scheduler": scheduler})))


@pytest.mark.parametrize(
    ("scheduler", "actions"),
    [
        ({}, "allocate, backfill, preempt, reclaim"),
        ({"profile": "priority"}, "allocate, backfill, preempt, reclaim"),
        ({"profile": "queued"}, "enqueue, allocate, backfill, preempt, reclaim"),
        ({"profile": "whole-gang"}, "allocate, backfill, gangreclaim, gangpreempt"),
    ],
)
def test_the_actions_of_a_profile(topology, scheduler, actions):
    assert config(topology, **scheduler)["actions"] == actions


def test_those_who_name_victims_stand_in_one_tier(topology):
    first, second = config(topology)["tiers"]
    assert [each["name"] for each in first["plugins"]] == ["priority", "gang", "conformance", "capacity"]
    assert not {"gang", "capacity", "conformance"} & {each["name"] for each in second["plugins"]}


def test_gangs_are_packed_by_their_gpus_and_nothing_spreads_them(topology):
    plugins = {each["name"]: each.get("arguments", {}) for each in config(topology)["tiers"][1]["plugins"]}
    assert plugins["binpack"]["binpack.resources"] == "nvidia.com/gpu"
    assert plugins["binpack"]["binpack.resources.nvidia.com/gpu"] == 10
    assert plugins["nodeorder"] == {"leastrequested.weight": 0, "podtopologyspread.weight": 0}


def test_it_is_no_object_unless_its_place_is_named(topology):
    assert [each for each in render(topology()) if each.source == "scheduler"] == []


def test_its_place_is_named(topology):
    place = {"config_map": "volcano-system/volcano-scheduler-configmap"}
    named = topology({"scheduler": place})
    (found,) = [each for each in render(named) if each.source == "scheduler"]
    assert (found.kind, found.namespace, found.name) == (
        "ConfigMap", "volcano-system", "volcano-scheduler-configmap",
    )  # fmt: skip
    assert found.body["data"] == {"volcano-scheduler.conf": scheduler_config(named)}
    kept = found.body["metadata"]["annotations"]
    assert kept == {"tiers.dev/prune": "false"}, "Volcano's scheduler still reads it when the key is gone"


def test_a_cluster_of_devices_alone_has_none(topology):
    clusters = {
        "main": {"context": "hospital", "tiers": ["edge"]},
        "gpu": {"context": "gpus", "tiers": ["hot", "warm", "cold"]},
    }
    named = topology({"clusters": clusters, "scheduler": {"config_map": "volcano-system/conf"}})
    assert [each.cluster for each in render(named) if each.source == "scheduler"] == ["gpu"]
