"""What KubeEdge's two programs read: as reviewed, only keys they know, and with the numbers they would derive."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit.errors import UsageError
from toolkit.lint.document import from_text
from toolkit.lint.kubeedge_config import RULES
from toolkit.render.kubeedge_config import cloud_config, cloud_config_map, cloudcore, edge_config

GOLDEN = Path(__file__).parents[2] / "golden" / "hospital"


def findings(text: str) -> list[str]:
    (document,) = from_text(text, "config.yaml")
    return [f"{found.code} {found.message}" for rule in RULES for found in rule.problems(document)]


def test_they_are_as_reviewed(hospital):
    assert cloud_config(hospital, "main") == (GOLDEN / "cloudcore-main.yaml").read_text()
    for pool in ("ultrasound", "endoscopy"):
        assert edge_config(hospital, pool) == (GOLDEN / f"edgecore-{pool}.yaml").read_text()


@pytest.mark.parametrize("count", [1, 416, 417, 1000, 10_000])
def test_the_limit_leaves_room_and_nothing_that_cloudcore_would_change(topology, count):
    pools = {"ultrasound": {"nodes": {"count": count}}, "endoscopy": None}
    text = cloud_config(
        topology({"tiers": {"edge": {"pools": pools}}, "models": None, "services": None}), "main"
    )
    limit = yaml.safe_load(text)["modules"]["cloudHub"]["nodeLimit"]
    assert limit == {1: 500, 416: 500, 417: 500, 1000: 1200, 10_000: 12_000}[count]
    assert findings(text) == []


def adjusted(configuration: dict) -> dict:
    """Do what AdjustCloudCoreConfig of v1.23.1 does, written from its description and not from what we render."""
    limit = configuration["modules"]["cloudHub"]["nodeLimit"]
    api, controller = configuration["kubeAPIConfig"], configuration["modules"]["edgeController"]
    api["qps"], api["burst"] = limit * 5, limit * 10
    lowest = {
        "load": {
            "queryNodeWorkers": limit,
            "createLeaseWorkers": limit,
            "patchNodeWorkers": 100 + limit // 50,
        },
        "buffer": {"patchNode": 1024 + limit // 2, "queryNode": 1024 + limit, "createLease": 1024 + limit},
    }
    for part, numbers in lowest.items():
        for name, number in numbers.items():
            controller[part][name] = max(controller[part].get(name, 0), number)
    return configuration


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(count=st.integers(min_value=0, max_value=100_000))
def test_cloudcore_finds_nothing_to_change_whatever_the_number_of_devices(hospital, count):
    edge = hospital.tiers["edge"]
    pool = edge.pools["ultrasound"]
    nodes = pool.nodes.model_copy(update={"count": count})
    pools = {"ultrasound": pool.model_copy(update={"nodes": nodes})}
    tiers = {**hospital.tiers, "edge": edge.model_copy(update={"pools": pools})}
    rendered = cloudcore(hospital.model_copy(update={"tiers": tiers}), "main")
    assert adjusted(copy.deepcopy(rendered)) == rendered
    assert rendered["modules"]["cloudHub"]["nodeLimit"] >= max(500, count + count // 5 - 1)


def test_the_config_map_holds_the_same_text_and_nothing_of_ours(hospital):
    printed = cloud_config_map(hospital, "main")
    body = yaml.safe_load(printed)
    assert (body["kind"], body["metadata"]["namespace"], body["metadata"]["name"]) == (
        "ConfigMap", "kubeedge", "cloudcore",
    )  # fmt: skip
    assert not body["metadata"]["labels"], "our labels would make it a member of what apply prunes"
    text = body["data"]["cloudcore.yaml"]
    assert yaml.safe_load(text) == yaml.safe_load(cloud_config(hospital, "main"))
    assert findings(printed) == []


def test_devices_are_told_their_labels_their_taint_and_the_way_to_the_cloud(hospital):
    text = edge_config(hospital, "ultrasound", "ultrasound-007")
    assert findings(text) == []
    modules = yaml.safe_load(text)["modules"]
    edged = modules["edged"]
    assert edged["nodeLabels"] == {"tiers.dev/tier": "edge", "tiers.dev/pool": "ultrasound", "site": "north"}
    assert edged["hostnameOverride"] == "ultrasound-007"
    assert modules["edgeHub"]["websocket"]["server"] == "192.0.2.10:10000"
    assert modules["edgeHub"]["token"] == ""
    assert "tiers render --join ultrasound/ultrasound-007" in text


def test_an_address_of_version_6_is_bracketed(topology):
    split = topology({"clusters": {"main": {"kubeedge": {"addresses": ["2001:db8::1"]}}}})
    assert (
        yaml.safe_load(edge_config(split, "endoscopy"))["modules"]["edgeHub"]["httpServer"]
        == "https://[2001:db8::1]:10002"
    )


def test_what_is_not_there_is_named(hospital, topology):
    with pytest.raises(UsageError, match="no pool 'ultrasund' on the edge; there are ultrasound, endoscopy"):
        edge_config(hospital, "ultrasund")
    with pytest.raises(UsageError, match="no pool 'a100' on the edge"):
        edge_config(hospital, "a100")
    with pytest.raises(UsageError, match="the pool endoscopy has no device 'endo-03'"):
        edge_config(hospital, "endoscopy", "endo-03")
    with pytest.raises(UsageError, match="no cluster 'north', it has main"):
        cloud_config(hospital, "north")
    without = topology({"clusters": {"main": {"kubeedge": None}}})
    with pytest.raises(UsageError, match="does not say where the KubeEdge of cluster 'main' is") as caught:
        edge_config(without, "endoscopy")
    assert "kubeedge: {addresses: [IP]}" in caught.value.hint
