"""What KubeEdge's two programs read: as reviewed, only keys they know, and with the numbers they would derive."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from toolkit.errors import UsageError
from toolkit.lint.document import from_text
from toolkit.lint.kubeedge_config import RULES
from toolkit.render.kubeedge_config import cloud_config, edge_config

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
