"""Configurations of CloudCore and EdgeCore: one change to a good one, and exactly one rule speaks about that place."""

from __future__ import annotations

import copy
import json

import pytest
import yaml

from toolkit.lint.document import Document, from_objects, from_text
from toolkit.lint.kubeedge_config import RULES, derived

LIMIT = 1000
CLOUD = {
    "apiVersion": "cloudcore.config.kubeedge.io/v1alpha2",
    "kind": "CloudCore",
    "kubeAPIConfig": {"qps": 5000, "burst": 10000},
    "modules": {
        "cloudHub": {"enable": True, "advertiseAddress": ["192.0.2.10"], "nodeLimit": LIMIT},
        "edgeController": {"load": {"queryNodeWorkers": LIMIT}, "buffer": {"patchNode": 1524}},
        "router": {"enable": False},
    },
}
EDGE = {
    "apiVersion": "edgecore.config.kubeedge.io/v1alpha2",
    "kind": "EdgeCore",
    "modules": {
        "edgeHub": {"httpServer": "https://192.0.2.10:10002", "token": "", "websocket": {"enable": True}},
        "edged": {
            "nodeLabels": {"tiers.dev/tier": "edge"},
            "tailoredKubeletConfig": {
                "featureGates": {"DisableCSIVolumePlugin": True},
                "registerWithTaints": [{"key": "node-role.kubernetes.io/edge", "effect": "NoSchedule"}],
            },
        },
    },
}
HUB, CONTROLLER = ("modules", "cloudHub"), ("modules", "edgeController")
EDGED, EDGE_HUB = ("modules", "edged"), ("modules", "edgeHub")
KUBELET = (*EDGED, "tailoredKubeletConfig")

BAD = [
    ("L232", CLOUD, (*CONTROLLER, "buffer", "updateEdgeStatus"), 1, "meant is updateNodeStatus"),
    ("L232", CLOUD, (*CONTROLLER, "buffer", "queryCloudStatus"), 1, "meant is queryNode"),
    ("L232", CLOUD, (*HUB, "nodeLimits"), 9, "did you mean 'nodeLimit'?"),
    ("L232", CLOUD, ("cloudHub",), {}, "it belongs under modules"),
    ("L232", CLOUD, (*CONTROLLER, "load", "CreatePodWorkers"), 9, "did you mean 'CreatePodWorks'?"),
    ("L232", EDGE, (*EDGED, "gpuPluginEnabled"), True, "the device plugin announces GPUs"),
    ("L232", EDGE, ("modules", "edgeMesh"), {}, "a program of its own"),
    ("L233", CLOUD, (*HUB, "advertiseAddress"), "192.0.2.10", "not a list"),
    ("L233", CLOUD, (*HUB, "advertiseAddress"), [""], "an empty address"),
    ("L233", CLOUD, (*HUB, "advertiseAddress"), [], "an empty address"),
    ("L234", CLOUD, (*HUB, "nodeLimit"), "1000", "'1000' is not a number"),
    ("L235", CLOUD, ("kubeAPIConfig", "qps"), 100, "will make it 5000"),
    ("L235", CLOUD, (*CONTROLLER, "load", "queryNodeWorkers"), 100, "will make it 1000"),
    ("L235", CLOUD, (*CONTROLLER, "buffer", "patchNode"), 1024, "will make it 1524"),
    ("L236", EDGE, (*EDGE_HUB, "quic"), {"enable": True}, "websocket and quic"),
    ("L236", EDGE, (*EDGE_HUB, "websocket"), {"enable": False}, "no way"),
    ("L237", EDGE, (*EDGE_HUB, "token"), "abc.def", "holds a join token"),
    ("L238", EDGE, (*KUBELET, "featureGates"), {}, "CSI plugin"),
    ("L239", EDGE, (*KUBELET, "registerWithTaints"), [], "without a taint"),
]


def spoiled(body, path, value):
    changed = copy.deepcopy(body)
    inner = changed
    for part in path[:-1]:
        inner = inner.setdefault(part, {})
    inner[path[-1]] = value
    return changed


def found(document: Document):
    return [problem for rule in RULES for problem in rule.problems(document)]


def in_config_map(body) -> dict:
    name = body["kind"].lower() + ".yaml"
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c"},
        "data": {name: json.dumps(body)},
    }


@pytest.mark.parametrize(("code", "good", "path", "value", "said"), BAD)
def test_one_change_one_finding(code, good, path, value, said):
    body = spoiled(good, path, value)
    (problem,) = found(from_objects([body])[0])
    assert problem.code == code
    assert said in problem.message
    (problem,) = found(from_text(yaml.safe_dump(body), "f.yaml")[0])
    assert problem.place.line > 1, "it stands at the key, not at the top of the file"


@pytest.mark.parametrize(("code", "good", "path", "value", "said"), BAD)
def test_the_same_inside_a_config_map(code, good, path, value, said):
    body = in_config_map(good) | {"data": in_config_map(spoiled(good, path, value))["data"]}
    body["data"] = {name: yaml.safe_dump(json.loads(text)) for name, text in body["data"].items()}
    (problem,) = found(from_objects([body])[0])
    assert (problem.code, said in problem.message) == (code, True)
    assert ".".join(path[:2]) in problem.message or path[0] in problem.message


@pytest.mark.parametrize("good", [CLOUD, EDGE])
def test_good_ones_have_no_findings(good):
    assert found(from_objects([good])[0]) == []
    as_text = yaml.safe_dump(good)
    body = in_config_map(good)
    body["data"] = dict.fromkeys(body["data"], as_text)
    assert found(from_objects([body])[0]) == []


def test_a_text_that_is_no_yaml_is_named():
    body = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"cloudcore.yaml": "modules: [\n"}}
    (problem,) = found(from_objects([body])[0])
    assert problem.code == "L231"


def test_other_objects_and_other_texts_are_left_alone():
    other = {"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"nginx.conf": "modules: ["}}
    assert found(from_objects([other])[0]) == []
    assert found(from_objects([{"kind": "Pod", "modules": {"x": 1}}])[0]) == []


def test_what_cloudcore_derives_from_the_limit():
    """The numbers of AdjustCloudCoreConfig at 1,000 nodes."""
    assert {path[-1]: number for path, number, _ in derived(LIMIT)} == {
        "qps": 5000,
        "burst": 10000,
        "queryNodeWorkers": 1000,
        "createLeaseWorkers": 1000,
        "patchNodeWorkers": 120,
        "patchNode": 1524,
        "queryNode": 2024,
        "createLease": 2024,
    }


def test_every_rule_has_a_bad_example():
    assert {rule.code for rule in RULES} == {code for code, *_ in BAD} | {"L231"}
