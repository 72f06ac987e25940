"""Spot machines and machines with much memory: where their pods go, what they tolerate, how long they have left."""

from __future__ import annotations

import pytest

from toolkit.placement import grace_seconds, place_job, place_pool
from toolkit.render.objects import render
from toolkit.topology.spot import MARKS

TAINTED = {
    "gke": ("cloud.google.com/gke-spot", "true"),
    "aks": ("kubernetes.azure.com/scalesetpriority", "spot"),
}
LABELLED = {
    "eks": ("eks.amazonaws.com/capacityType", "SPOT"),
    "karpenter": ("karpenter.sh/capacity-type", "spot"),
}


@pytest.fixture
def rented(topology):
    """Give `rented(provider, **job)`: the hospital with a spot pool and a job on it."""

    def make(provider, **job):
        pool = {"hardware": "l4-24gb", "gpus": 1, "nodes": {"count": 4}, "spot": {"provider": provider}}
        gang = {"workers": 2, "gpus_per_worker": 1}
        saved = {"to": "warm", "path": "spare"}
        spare = {"pool": "spare", "gang": gang, "run": "true", "checkpoints": saved, **job}
        return topology({"tiers": {"hot": {"pools": {"spare": pool}}}, "jobs": {"spare": spare}})

    return make


def pod(topology, name="spare"):
    (body,) = [each.body for each in render(topology) if each.source == f"jobs.{name}"]
    (task,) = body["spec"]["tasks"]
    return body, task["template"]["spec"]


@pytest.mark.parametrize(("provider", "mark"), [*TAINTED.items(), *LABELLED.items()])
def test_pods_go_to_the_providers_spot_machines_only(rented, provider, mark):
    _, spec = pod(rented(provider))
    key, value = mark
    assert spec["nodeSelector"][key] == value
    tolerated = {"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"}
    assert (tolerated in spec["tolerations"]) == (provider in TAINTED)
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]


def test_pods_of_other_pools_neither_want_nor_tolerate_them(rented):
    _, spec = pod(rented("gke"), "seg3d")
    assert "gke-spot" not in str(spec)


@pytest.mark.parametrize(
    ("provider", "seconds"), [("gke", 15), ("aks", 30), ("eks", 120), ("karpenter", 120)]
)
def test_a_worker_is_promised_no_more_time_than_the_cloud_leaves(rented, provider, seconds):
    _, spec = pod(rented(provider, grace="10m"))
    assert spec["terminationGracePeriodSeconds"] == seconds == MARKS[provider].notice_seconds
    _, spec = pod(rented(provider, grace="9s"))
    assert spec["terminationGracePeriodSeconds"] == 9


def test_elsewhere_it_has_what_it_asked_for(rented):
    assert grace_seconds(rented("gke"), "seg3d") == 120


def restarts(body):
    policies = [policy for policy in body["spec"]["policies"] if policy["action"] == "RestartJob"]
    return {policy.get("event") or policy["exitCode"] for policy in policies}


def test_the_loss_of_a_machine_starts_the_gang_again(rented):
    """Kubelet ends pods of a machine that goes down by itself: failed with 143 or 137, which is no eviction."""
    body, spec = pod(rented("aks"))
    assert restarts(body) >= {"PodEvicted", 143, 137}
    assert spec["restartPolicy"] == "Never", "a worker alone would start without its gang"
    assert 137 not in restarts(pod(rented("aks"), "digits")[0])
    kept, _ = pod(rented("aks", retry={"attempts": 3, "after": ["exit:7"]}))
    assert restarts(kept) == {7}


def test_it_says_why(rented):
    reasons = " ".join(place_job(rented("gke"), "spare").reasons)
    assert "15 s after it says so" in reasons


def test_machines_with_much_memory_are_known_by_a_label_of_their_hardware(topology):
    records = {"hardware": "cpu-memory-node", "cpus": 64, "memory": "512GiB", "nodes": {"count": 2}}
    own = {"arch": "amd64", "gpus": 0, "labels": {"family": "r7"}}
    changed = topology(
        {
            "hardware": {"big": own},
            "tiers": {"cold": {"pools": {"nlp": records, "archive": {"hardware": "big"}}}},
        }
    )
    selectors = {name: place_pool(changed, changed.pool(name)).node_selector for name in ("nlp", "archive")}
    assert selectors["nlp"]["tiers.dev/memory"] == "high"
    assert selectors["archive"]["family"] == "r7"
    assert "tiers.dev/memory" not in selectors["archive"]
