"""Priorities and quotas as the API server wants them."""

from __future__ import annotations

import pytest

from toolkit.render.objects import render

BATCH = {"batch": {"gpus": 8, "cpus": 64, "memory": "512GiB", "pods": 200}}


def bodies(topology, kind, changes):
    return {each.source: each.body for each in render(topology(changes)) if each.kind == kind}


def policies(topology, changes):
    found = bodies(topology, "PriorityClass", changes)
    return {source.partition(".")[2]: body["preemptionPolicy"] for source, body in found.items()}


def test_the_lowest_ends_nobody_where_nothing_is_lent(topology):
    no_queues = {"queues": None, "jobs": {"seg3d": {"queue": None}, "digits": {"queue": None}}}
    assert policies(topology, no_queues) == {
        "emergency": "PreemptLowerPriority",
        "normal": "PreemptLowerPriority",
        "batch": "Never",
    }


def test_with_queues_everybody_may_take_back_what_was_lent(topology):
    assert set(policies(topology, {}).values()) == {"PreemptLowerPriority"}


def test_what_is_said_of_a_priority_is_rendered_beside_a_plain_number(topology):
    said = policies(topology, {"priorities": {"normal": {"value": 100000, "preempts": False}}})
    assert (said["emergency"], said["normal"]) == ("PreemptLowerPriority", "Never")


def test_a_quota_counts_the_pods_of_one_priority(topology, schema_errors):
    changes = {"quotas": BATCH, "jobs": None}
    quota = bodies(topology, "ResourceQuota", changes)["quotas.batch"]
    assert quota["spec"] == {
        "hard": {
            "requests.nvidia.com/gpu": "8",
            "requests.cpu": "64",
            "requests.memory": "512Gi",
            "pods": "200",
        },
        "scopeSelector": {
            "matchExpressions": [
                {"scopeName": "PriorityClass", "operator": "In", "values": ["medical-imaging-batch"]}
            ]
        },
    }
    classes = bodies(topology, "PriorityClass", changes)
    assert classes["priorities.batch"]["metadata"]["name"] == "medical-imaging-batch"
    assert quota["metadata"]["namespace"] == "medical-imaging"
    assert schema_errors(quota) == []


@pytest.mark.parametrize(("amount", "key"), [("gpus", "requests.nvidia.com/gpu"), ("pods", "pods")])
def test_what_is_left_out_is_not_limited(topology, amount, key):
    quota = bodies(topology, "ResourceQuota", {"quotas": {"batch": {amount: 40}}})["quotas.batch"]
    assert set(quota["spec"]["hard"]) == {key}


def test_every_cluster_counts_for_itself(topology):
    clusters = {
        "main": {"context": "a", "tiers": ["edge"]},
        "gpu": {"context": "b", "tiers": ["hot", "warm", "cold"], "namespace": "work"},
    }
    changed = topology({"clusters": clusters, "quotas": {"batch": {"pods": 9}}})
    found = {each.cluster: each.namespace for each in render(changed) if each.kind == "ResourceQuota"}
    assert found == {"main": "medical-imaging", "gpu": "work"}


def test_every_pod_of_ours_says_what_a_quota_counts(topology):
    """The API server refuses a pod that leaves out cores or memory which a quota of its priority counts."""
    templates = []
    for each in render(topology({"quotas": BATCH, "jobs": {"seg3d": None, "digits": None}})):
        spec = each.body.get("spec")
        if isinstance(spec, dict) and "template" in spec:
            templates.append((each.file_name, spec["template"]["spec"]))
    assert templates
    for name, spec in templates:
        if spec.get("priorityClassName"):
            for container in (*spec["containers"], *spec.get("initContainers", ())):
                assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
