"""Who may share a volume: one machine at a time for ReadWriteOnce, one cluster for every claim."""

from __future__ import annotations

import json

import pytest

CLASSES = {"disk": {"installed": "disk"}, "nvme": {"local": True}}


def once(url: str, kind: str = "disk") -> dict:
    return {"url": url, "claim": {"class": kind, "size": "1TiB", "access": "ReadWriteOnce"}}


def site(**changes) -> str:
    return json.dumps({"storage_classes": CLASSES, **changes}, indent=1)


def codes(problems_of, text: str) -> list[str]:
    return [line.split()[1] for line in problems_of(text)]


JOB = {"pool": "gpu", "gang": {"workers": 1}, "run": "train"}
ROUTE = {"from": "hot", "to": "warm", "path": "x"}
DATA = {"from": "warm", "path": "x"}
DEPOT = {"pool": "disks", "keyring": {"secret": "keys"}}
SMALL = {"research": {"capability": {"gpus": 8}}}
ONE_MACHINE = {"hot": {"storage": once("file:///hot"), "pools": {"gpu": {"nodes": {"count": 1}}}}}


@pytest.mark.parametrize(
    "changes",
    [
        {"tiers": {"hot": {"storage": once("file:///hot")}}},
        {"tiers": {"hot": {"storage": once("file:///hot")}}, "jobs": {"train": JOB}},
        {"tiers": {"hot": {"storage": once("file:///hot", "nvme")}}, "jobs": {"train": JOB}},
        {"tiers": ONE_MACHINE, "queues": SMALL, "jobs": {"train": {**JOB, "gang": {"workers": 2}}}},
        {
            "tiers": {"hot": {"storage": once("file:///hot"), "agent": {"pool": "gpu"}}},
            "routes": {"back": {"from": "warm", "to": "hot", "path": "x"}},
        },
    ],
    ids=["nobody", "one-worker", "a-local-disk", "one-machine", "an-agent-of-another-tier-that-is-not-there"],
)
def test_one_pod_or_one_machine_may_have_a_volume_of_one_machine(over_site, changes):
    assert over_site(site(**changes)).warnings == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"tiers": {"hot": {"storage": once("file:///hot"), "agent": {"pool": "gpu"}}}, "jobs": {"train": JOB},
         "routes": {"out": ROUTE}},
        {"tiers": {"hot": {"agent": {"pool": "gpu"}},
                   "warm": {"storage": once("file:///w"), "agent": {"pool": "disks"}}},
         "routes": {"out": ROUTE, "back": {"from": "warm", "to": "hot", "path": "y"}}},
        {"tiers": {"warm": {"storage": once("file:///w")}}, "flows": {"all": {"steps": {"train": {}, "other": {}}}},
         "jobs": {"train": {**JOB, "data": DATA}, "other": {**JOB, "data": DATA}}},
        {"registry": once("file:///registry"), "depot": {**DEPOT, "replicas": 2}},
    ],
    ids=["agent-and-gang", "two-agents", "staging-for-two-jobs", "two-depots"],
)  # fmt: skip
def test_pods_on_several_machines_may_not(problems_of, changes):
    assert codes(problems_of, site(**changes)) == ["E0902"]


def test_a_volume_is_where_its_depot_is_not_in_two_clusters(problems_of):
    clusters = {
        "main": {"tiers": ["edge", "hot"], "context": "here"},
        "far": {"tiers": ["warm"], "context": "there"},
    }
    hot = {"storage": {"url": "file:///hot", "claim": {"class": "disk", "size": "1TiB"}}}
    changes = {
        "clusters": clusters,
        "tiers": {"hot": hot, "warm": {"agent": {"pool": "disks"}}},
        "routes": {"back": {"from": "warm", "to": "hot", "path": "x"}},
    }
    assert codes(problems_of, site(**changes)) == ["E0905"]
