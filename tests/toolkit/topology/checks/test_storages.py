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


KEY = {"key": {"secret": "archive-key"}}
EVERYWHERE = {"main": {"tiers": ["edge", "hot", "warm", "cold"]}}


@pytest.mark.parametrize(
    ("tier", "storage", "expected"),
    [
        ("cold", {"url": "s3://archive"}, ["E0920"]),
        ("cold", {"url": "sftp://archive.example/data", "encryption": KEY}, []),
        ("cold", {"url": "s3://archive", "encryption": "none"}, []),
        ("cold", {"url": "file:///srv/archive", "layout": "packs"}, []),
        ("warm", {"url": "s3://warm"}, []),
        ("warm", {"url": "s3://warm", "encryption": KEY}, []),
        ("warm", {"url": "file:///srv/warm", "encryption": KEY}, ["E0921"]),
        ("warm", {"url": "file:///srv/warm", "layout": "packs", "encryption": KEY}, []),
        ("warm", {"url": "s3://warm", "encryption": {"key": {"env": "KEY"}}}, ["E0922"]),
    ],
)
def test_what_is_encrypted_and_what_must_be(problems_of, over_site, tier, storage, expected):
    clusters = EVERYWHERE if tier == "cold" else {}
    text = site(clusters=clusters, tiers={tier: {"storage": [storage]}})
    if expected:
        assert codes(problems_of, text) == expected
    else:
        assert over_site(text).warnings == ()


def test_a_second_storage_of_the_archive_is_looked_at_too(problems_of):
    storages = [{"url": "file:///srv/archive"}, {"url": "s3://archive"}]
    assert codes(problems_of, site(clusters=EVERYWHERE, tiers={"cold": {"storage": storages}})) == ["E0920"]


def test_a_registry_is_signed_and_not_secret(problems_of):
    registry = {"url": "s3://models", "encryption": KEY}
    assert codes(problems_of, site(registry=registry)) == ["E0921"]


def test_a_key_that_an_agent_needs_is_a_secret_of_the_cluster(problems_of):
    cold = {"storage": [{"url": "s3://archive", "encryption": {"key": {"file": "/etc/archive.key"}}}]}
    warm = {"storage": [{"url": "file:///srv/warm"}], "agent": {"pool": "disks"}}
    route = {"from": "warm", "to": "cold", "path": "x"}
    text = site(clusters=EVERYWHERE, tiers={"cold": cold, "warm": warm}, routes={"archive": route})
    assert codes(problems_of, text) == ["E0907"]
