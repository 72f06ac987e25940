"""All objects of the hospital: valid for their API servers, owned, ordered, linted, and as reviewed in the golden."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from toolkit.lint.check import check_objects
from toolkit.render.lock import Lock
from toolkit.render.objects import render
from toolkit.render.stream import to_stream

GOLDEN = Path(__file__).parents[2] / "golden" / "hospital" / "objects.yaml"


@pytest.fixture(scope="module")
def objects(hospital):
    return render(hospital)


def test_the_hospital_is_as_reviewed(objects):
    assert to_stream(objects) == GOLDEN.read_text(encoding="utf-8"), "make golden, and read the difference"


def test_the_golden_reads_back_as_the_objects(objects):
    assert list(yaml.safe_load_all(GOLDEN.read_text(encoding="utf-8"))) == [each.body for each in objects]


def test_every_object_is_valid_for_its_api_server(objects, schema_errors):
    errors = {each.file_name: schema_errors(each.body) for each in objects}
    assert {name: found for name, found in errors.items() if found} == {}


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Namespace", ("metadata", "lable"), "x"),
        ("PriorityClass", ("value",), "1000"),
        ("ConfigMap", ("data", "config.json"), {}),
        ("DaemonSet", ("spec", "template", "spec", "containers", 0, "imag"), "x"),
        ("Deployment", ("spec", "template", "spec", "containers", 0, "imag"), "x"),
        ("Service", ("spec", "ports", 0, "prot"), 1),
        ("NodeGroup", ("spec", "node"), []),
        ("Queue", ("spec", "weight"), 0),
        ("Job", ("spec", "minAvailabel"), 4),
        ("Job", ("spec", "tasks", 0, "template", "spec", "containers", 0, "imag"), "x"),
        ("Job", ("spec", "tasks", 0, "template", "metadata", "lables"), {}),
    ],
)
def test_the_schemas_refuse_a_wrong_field(objects, schema_errors, kind, path, value):
    body = copy.deepcopy(next(each.body for each in objects if each.kind == kind))
    target = body
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
    assert len(schema_errors(body)) == 1


def test_nothing_is_null(objects):
    def nulls(value, path):
        if value is None:
            yield path
        for key, each in (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        ):
            yield from nulls(each, f"{path}.{key}")

    assert [path for each in objects for path in nulls(each.body, each.file_name)] == []


def test_every_object_says_whose_it_is(objects):
    for each in objects:
        labels = each.body["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "tiers"
        assert labels["tiers.dev/topology"] == "medical-imaging"
        assert labels["tiers.dev/part-of"]
        assert labels["tiers.dev/name"] in each.source or each.kind == "Namespace"


def test_what_others_need_comes_first(objects):
    kinds = [each.kind for each in objects]
    order = ["Namespace", "PriorityClass", "ServiceAccount", "NodeGroup", "Queue", "ConfigMap", "Service"]
    order += ["DaemonSet", "Deployment", "PodDisruptionBudget", "ScaledObject"]
    order += ["ServiceMonitor", "PodMonitor", "PrometheusRule", "Job"]
    assert sorted(kinds, key=order.index) == kinds
    assert [each.file_name for each in objects] == sorted(each.file_name for each in objects)


def test_only_namespaced_kinds_have_a_namespace(objects):
    for each in objects:
        namespaced = each.kind not in {"Namespace", "PriorityClass", "NodeGroup", "Queue"}
        assert each.namespace == ("medical-imaging" if namespaced else "")


def test_lint_has_nothing_to_say_but_about_digests(objects, hospital):
    of_root = [each for each in objects if each.name.startswith("tiers-dcgm-") and each.kind == "DaemonSet"]
    found = check_objects(each.body for each in of_root)
    assert {problem.code for problem in found} == {"L302"}, "the socket that DCGM's exporter reads is root's"
    objects = [each for each in objects if each not in of_root]
    assert {problem.code for problem in check_objects(each.body for each in objects)} == {"L206"}
    images = [hospital.images.edge, hospital.images.jobs]
    pinned = render(hospital, Lock(images=dict.fromkeys(images, "sha256:" + "a" * 64)))
    names = {each.name for each in of_root}
    assert check_objects(each.body for each in pinned if each.name not in names) == ()


def test_a_cluster_gets_what_its_tiers_need(topology):
    clusters = {
        "main": {"context": "hospital", "tiers": ["edge"], "namespace": "devices"},
        "gpu": {"context": "gpus", "tiers": ["hot", "warm", "cold"]},
    }
    objects = render(topology({"clusters": clusters}))
    found = {(each.cluster, each.kind) for each in objects}
    assert {kind for cluster, kind in found if cluster == "gpu"} == {
        "Namespace",
        "PriorityClass",
        "ServiceAccount",
        "Queue",
        "ConfigMap",
        "Service",
        "DaemonSet",
        "Deployment",
        "PodDisruptionBudget",
        "ScaledObject",
        "ServiceMonitor",
        "PodMonitor",
        "PrometheusRule",
        "Job",
    }
    assert {kind for cluster, kind in found if cluster == "main"} == {
        "Namespace", "PriorityClass", "NodeGroup", "ConfigMap", "DaemonSet", "PrometheusRule",
    }  # fmt: skip
    assert {each.namespace for each in objects if each.cluster == "main"} == {"", "devices"}
    assert [each.cluster for each in objects] == sorted(each.cluster for each in objects)


def test_a_topology_of_nothing_but_a_tier_is_rendered(topology, schema_errors):
    empty = topology(
        {
            "queues": None, "models": None, "jobs": None, "routes": None, "services": None, "priorities": None,
            "monitoring": None,
            "tiers": {"hot": None, "warm": None, "cold": None, "edge": {"pools": {"ultrasound": None}}},
            "clusters": {"main": {"tiers": ["edge"]}},
        }
    )  # fmt: skip
    objects = render(empty)
    assert [each.kind for each in objects] == ["Namespace", "NodeGroup", "ConfigMap", "DaemonSet"]
    assert [schema_errors(each.body) for each in objects] == [[], [], [], []]


def test_a_pool_in_a_cluster_of_its_own_takes_its_objects_there(topology):
    split = topology({"clusters": {"north": {"context": "north", "pools": ["ultrasound"]}}})
    homes: dict[str, set[str]] = {}
    for each in render(split):
        homes.setdefault(each.cluster, set()).add(f"{each.kind} {each.source}")
    assert {each.rpartition(".")[2] for each in homes["north"] if "pools" in each} == {"ultrasound"}
    assert {each.rpartition(".")[2] for each in homes["main"] if "NodeGroup" in each} == {"endoscopy"}
    assert not any(each.startswith(("Job", "Queue")) for each in homes["north"]), "nothing of hot is in north"
