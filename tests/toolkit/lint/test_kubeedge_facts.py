"""Each line of what a device needs to live alone for more than a day, and each fault of widely copied configurations.

A line names the rules that find it missing in anybody's files, and shows the property in what we render. The rules'
own faulty documents are in faults/ and in the tables of good objects; here one more stands for each line, as people
would write it, with its repair.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from tests.toolkit.lint.conftest import EDGE_POD
from tests.toolkit.lint.test_kubeedge_config import CLOUD, EDGE
from toolkit.lint.check import RULES, lint
from toolkit.lint.document import from_objects
from toolkit.placement import OUTAGE_TAINTS
from toolkit.render.kubeedge_config import cloud_config, edge_config
from toolkit.render.lock import Lock
from toolkit.render.objects import render

PINNED = Lock(images={"registry.example/tiers-edge:1.0": "sha256:" + "a" * 64})
Body = dict[str, Any]
POD = ("spec", "template", "spec")
KUBELET = ("modules", "edged", "tailoredKubeletConfig")
GONE = object()
"""In place of a value: the key is not there."""


@dataclass(frozen=True)
class Line:
    """One line of a checklist."""

    says: str
    rules: tuple[str, ...]
    good: Body
    changes: tuple[tuple[tuple[str | int, ...], object], ...]
    """What makes the good document faulty, one change for each rule, in order."""
    rendered: Callable[[Body, Body, Body], bool]
    """Whether pod, edgecore.yaml and cloudcore.yaml of what we render have the property."""


def deployment() -> Body:
    pod = copy.deepcopy(EDGE_POD)
    pod["initContainers"] = [copy.deepcopy(pod["containers"][0]) | {"name": "first"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "viewer"},
        "spec": {"template": {"spec": pod}},
    }


def edgecore() -> Body:
    body = copy.deepcopy(EDGE)
    body["modules"]["edged"]["tailoredKubeletConfig"]["imageGCHighThresholdPercent"] = 95
    return body


def daemon_set() -> Body:
    return deployment() | {
        "kind": "DaemonSet",
        "spec": {"updateStrategy": {"type": "OnDelete"}, **deployment()["spec"]},
    }


def pull() -> Body:
    image = "registry.example/app:1.0@sha256:" + "0" * 64
    template = {"images": [image], "nodeNames": ["box-1"]}
    return {
        "apiVersion": "operations.kubeedge.io/v1alpha2", "kind": "ImagePrePullJob",
        "metadata": {"name": "ahead"}, "spec": {"imagePrePullTemplate": template},
    }  # fmt: skip


def kubelet(edge: Body) -> Body:
    return edge["modules"]["edged"]["tailoredKubeletConfig"]


def tolerated(pod: Body) -> set[str]:
    return {each["key"] for each in pod["tolerations"] if "tolerationSeconds" not in each}


FLOATING = "registry.example/app:1.0"
ALONE = [
    Line("1 no token of a service account", ("L202",), deployment(),
         (((*POD, "automountServiceAccountToken"), GONE),),
         lambda pod, _edge, _cloud: pod["automountServiceAccountToken"] is False),
    Line("2 no outage moves or deletes the pod", ("L203", "L204"), deployment(),
         (((*POD, "tolerations"), []), ((*POD, "tolerations", 0, "tolerationSeconds"), 300)),
         lambda pod, _edge, _cloud: set(OUTAGE_TAINTS) <= tolerated(pod)),
    Line("2 a DaemonSet that restarts nobody", ("L209",), daemon_set(),
         ((("spec", "updateStrategy", "type"), "RollingUpdate"),),
         lambda pod, _edge, _cloud: pod["strategy"] == "OnDelete"),
    Line("3 images are there, pinned, and not asked for", ("L205", "L206"), deployment(),
         (((*POD, "containers", 0, "imagePullPolicy"), "Always"), ((*POD, "containers", 0, "image"), FLOATING)),
         lambda pod, _edge, _cloud: all(
             each["imagePullPolicy"] == "IfNotPresent" and "@sha256:" in each["image"] for each in pod["containers"])),
    Line("3 images are pulled ahead, pinned", ("L248",), pull(),
         ((("spec", "imagePrePullTemplate", "images", 0), FLOATING),),
         lambda pod, _edge, _cloud: all("@sha256:" in image for image in pod["ahead"])),
    Line("3 the image of yesterday is kept", ("L268",), edgecore(),
         (((*KUBELET, "imageGCHighThresholdPercent"), 85),),
         lambda _pod, edge, _cloud: kubelet(edge)["imageGCHighThresholdPercent"] > 85),
    Line("4 no CSI plugin", ("L238",), edgecore(),
         (((*KUBELET, "featureGates", "DisableCSIVolumePlugin"), False),),
         lambda _pod, edge, _cloud: kubelet(edge)["featureGates"]["DisableCSIVolumePlugin"] is True),
    Line("5 the device's own disk, and no start that asks the cloud", ("L207", "L264"), deployment(),
         (((*POD, "volumes"), [{"name": "v", "nfs": {"server": "a", "path": "/b"}}]),
          ((*POD, "initContainers", 0, "command"), ["wget", "https://cloud.example/ready"])),
         lambda pod, _edge, _cloud: "initContainers" not in pod
         and all(set(each) - {"name"} <= {"hostPath", "configMap", "secret", "emptyDir"} for each in pod["volumes"])),
    Line("6 a broker that keeps messages, and no name of the cluster", ("L265",), edgecore(),
         ((("modules", "eventBus"), {"mqttMode": 0}),),
         lambda _pod, edge, _cloud: edge["modules"]["eventBus"]["mqttMode"] == 2),
    Line("6 no service of the cluster", ("L264",), deployment(),
         (((*POD, "containers", 0, "args"), ["--broker=mqtt.imaging.svc.cluster.local"]),),
         lambda pod, _edge, _cloud: ".svc" not in json.dumps(pod)),
    Line("6 names on the host's network", ("L208",), deployment(),
         (((*POD, "hostNetwork"), True),),
         lambda pod, _edge, _cloud: not pod.get("hostNetwork") or pod["dnsPolicy"] == "ClusterFirstWithHostNet"),
    Line("7 certificates are renewed", ("L269",), edgecore(),
         ((("modules", "edgeHub", "rotateCertificates"), False),),
         lambda _pod, edge, _cloud: edge["modules"]["edgeHub"]["rotateCertificates"] is True),
    Line("8 a place for static pods", ("L269",), edgecore(),
         (((*KUBELET, "staticPodPath"), ""),),
         lambda _pod, edge, _cloud: kubelet(edge)["staticPodPath"] == "/etc/kubeedge/manifests"),
    Line("9 no rights that are asked of the cloud", ("L267",), edgecore(),
         ((("featureGates",), {"requireAuthorization": True}),),
         lambda _pod, edge, _cloud: "requireAuthorization" not in edge.get("featureGates", {})
         and edge["modules"]["metaManager"]["metaServer"]["enable"] is False),
]  # fmt: skip
HUB, BUFFER = ("modules", "cloudHub"), ("modules", "edgeController", "buffer")
COPIED = [
    Line("advertiseAddress as one text", ("L233",), CLOUD, (((*HUB, "advertiseAddress"), "192.0.2.10"),),
         lambda _pod, _edge, cloud: isinstance(cloud["modules"]["cloudHub"]["advertiseAddress"], list)),
    Line("nodeLimit in quotes", ("L234",), CLOUD, (((*HUB, "nodeLimit"), "1000"),),
         lambda _pod, _edge, cloud: type(cloud["modules"]["cloudHub"]["nodeLimit"]) is int),
    Line("updateEdgeStatus", ("L232",), CLOUD, (((*BUFFER, "updateEdgeStatus"), 1024),),
         lambda _pod, _edge, cloud: "updateEdgeStatus" not in json.dumps(cloud)),
    Line("queryCloudStatus", ("L232",), CLOUD, (((*BUFFER, "queryCloudStatus"), 1024),),
         lambda _pod, _edge, cloud: "queryCloudStatus" not in json.dumps(cloud)),
    Line("keys beside modules", ("L232",), CLOUD, ((("edgeController",), {"buffer": {}}),),
         lambda _pod, _edge, cloud: set(cloud) == {"apiVersion", "kind", "kubeAPIConfig", "modules"}),
    Line("numbers that CloudCore rewrites", ("L235",), CLOUD, ((("kubeAPIConfig", "burst"), 60),),
         lambda _pod, _edge, cloud: cloud["kubeAPIConfig"]["burst"]
         == 10 * cloud["modules"]["cloudHub"]["nodeLimit"]),
    *(Line(f"{key} of v1alpha1", ("L232",), EDGE, ((("modules", "edged", key), True),),
           lambda _pod, edge, _cloud, key=key: key not in json.dumps(edge))
      for key in ("devicePluginEnabled", "gpuPluginEnabled", "runtimeType", "remoteRuntimeEndpoint")),
    Line("edgeMesh as a module", ("L232",), EDGE, ((("modules", "edgeMesh"), {"enable": True}),),
         lambda _pod, edge, _cloud: "edgeMesh" not in edge["modules"]),
    Line("a token in the file", ("L237",), EDGE, ((("modules", "edgeHub", "token"), "a.b"),),
         lambda _pod, edge, _cloud: edge["modules"]["edgeHub"]["token"] == ""),
    Line("apiVersion of EdgeCore's past", ("L266",), edgecore(),
         ((("apiVersion",), "edgecore.config.kubeedge.io/v1alpha1"),),
         lambda _pod, edge, _cloud: edge["apiVersion"].endswith("/v1alpha2")),
    Line("no taint of its own", ("L239",), edgecore(), (((*KUBELET, "registerWithTaints"), []),),
         lambda _pod, edge, _cloud: kubelet(edge)["registerWithTaints"]
         == [{"key": "node-role.kubernetes.io/edge", "effect": "NoSchedule"}]),
]  # fmt: skip
LINES = [*ALONE, *COPIED]


def spoiled(body: Body, path: tuple[str | int, ...], value: object) -> Body:
    changed = copy.deepcopy(body)
    inner: Any = changed
    for part in path[:-1]:
        inner = inner[part] if isinstance(part, int) else inner.setdefault(part, {})
    if value is GONE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return changed


def codes(body: Body) -> set[str]:
    return {each.code for each in lint(from_objects([body]))}


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.says)
def test_a_file_without_it_is_told_and_its_repair_is_not(line):
    for code, (path, value) in zip(line.rules, line.changes, strict=True):
        assert code in codes(spoiled(line.good, path, value))
        assert code not in codes(line.good)


@pytest.fixture(scope="module")
def ours(topology) -> Iterator[list[tuple[Body, Body, Body]]]:
    """Give pod, edgecore.yaml and cloudcore.yaml of each edge pool of the hospital, which pulls its images ahead."""
    site = topology({"clusters": {"main": {"kubeedge": {"prepull": True}}}})
    objects = [each.body for each in render(site, PINNED)]
    ahead = [
        image
        for each in objects
        if each["kind"] == "ImagePrePullJob"
        for image in each["spec"]["imagePrePullTemplate"]["images"]
    ]
    found = []
    for body in objects:
        pod = body.get("spec", {}).get("template", {}).get("spec", {})
        if body["kind"] == "DaemonSet" and "node-role.kubernetes.io/edge" in pod.get("nodeSelector", {}):
            known = pod | {"strategy": body["spec"]["updateStrategy"]["type"], "ahead": ahead}
            pool = body["metadata"]["labels"]["tiers.dev/name"]
            edge, cloud = (
                yaml.safe_load(text) for text in (edge_config(site, pool), cloud_config(site, "main"))
            )
            found.append((known, edge, cloud))
    assert len(found) >= 2
    assert ahead
    return found


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.says)
def test_what_we_render_has_it(line, ours):
    assert all(line.rendered(*each) for each in ours)


def test_every_line_of_the_checklist_stands_here_with_rules_that_there_are():
    numbered = {int(found[0]) for line in ALONE if (found := re.match(r"\d+", line.says))}
    assert numbered == set(range(1, 10))
    assert {code for line in LINES for code in line.rules} <= {rule.code for rule in RULES}


@pytest.mark.parametrize(
    ("version", "found"),
    [
        ("v1.23.1", set()),
        ("1.23.1", set()),
        ("v1.23.1-acme.5", set()),
        ("v1.23.0-acme.5", {"L242"}),
        ("v1.23.1-$(reboot)", {"L241"}),
        ("v1.23.1-a;b", {"L241"}),
        ("v1.23.1\n", {"L241"}),
        (1.23, {"L241"}),
    ],
)
def test_a_vendors_version_is_a_version_and_a_command_is_none(version, found):
    body = pull() | {"kind": "NodeUpgradeJob", "spec": {"version": version, "nodeNames": ["box-1"]}}
    assert codes(body) == found
