"""A healthy cluster has no finding; each thing that is broken on the real API server is exactly its finding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import urllib3
import yaml

from tests.cluster.external_metrics import GROUP, registration
from toolkit.cli import main
from toolkit.cluster.applyset import Contents, applyset_of
from toolkit.cluster.doctor.examine import CHECKS, ailments, examine
from toolkit.cluster.doctor.rights import needed
from toolkit.cluster.request import Connection
from toolkit.cluster.server_clock import ServerClock
from toolkit.errors import Severity
from toolkit.render.objects import render
from toolkit.render.rendered import RenderedObject

SCHEDULER, CONFIG = "volcano-system/volcano-scheduler", "volcano-system/volcano-scheduler-configmap"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
APIS = "/apis/apiregistration.k8s.io/v1/apiservices"
CLOUD = "kubeedge/cloudcore"
NODE = "/api/v1/nodes/"


def config_map(place: str) -> str:
    return "/api/v1/namespaces/{}/configmaps/{}".format(*place.split("/"))


def image(name: str) -> dict:
    return {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": name}]}}}}


def kubelet(version: str) -> dict:
    return {"status": {"nodeInfo": {"kubeletVersion": version}}}


def scheduler(ward, old: str, new: str) -> dict:
    text = ward.text_of(CONFIG, "volcano-scheduler.conf")
    assert old in text
    return {"data": {"volcano-scheduler.conf": text.replace(old, new)}}


def cloudcore(ward, **modules: object) -> dict:
    body = yaml.safe_load(ward.text_of(CLOUD, "cloudcore.yaml"))
    body["modules"] |= modules
    return {"data": {"cloudcore.yaml": yaml.safe_dump(body)}}


def test_a_healthy_cluster_has_no_finding(ward):
    found = ward.examine()
    assert [str(each) for each in found.problems] == []
    assert found.healthy
    assert found.checks == len(CHECKS) >= 20
    facts = dict(found.facts)
    assert facts["Kubernetes"] == "v1.35.3"
    assert facts["CloudCore"] == "kubeedge/cloudcore:v1.23.1"
    assert "v1.32.10-kubeedge-v1.23.1 on 122 nodes" in {
        value for name, value in found.facts if name == "kubelet"
    }


@pytest.mark.parametrize(
    ("place", "written", "code", "said"),
    [
        (SCHEDULER, "volcanosh/vc-scheduler:v1.14.4", "D103 D104 D105", "tested up to Kubernetes 1.34"),
        (SCHEDULER, "example.org/own-scheduler:1", "D101", "no Deployment runs it"),
        (CLOUD, "kubeedge/cloudcore:v1.23.0@sha256:" + "0" * 64, "D108", "known holes"),
        (CLOUD, "kubeedge/cloudcore:v1.21.2", "D106 D109", "kubelet 1.30"),
        (CLOUD, "example.org/own:1", "D401", "122 devices"),
        ("kubeedge/controller-manager", "example.org/own:1", "D405", "NodeGroup"),
        ("keda/keda-operator", "example.org/own:1", "D611", "services.medical-ai.scale"),
    ],
)
def test_another_image_is_another_version(ward, place, written, code, said):
    with ward.changed(ward.deployment(place), image(written)):
        found = ward.examine()
    assert sorted(each.code for each in found.problems) == code.split()
    assert any(said in each.message for each in found.problems), found.problems
    assert all(each.why and each.cure for each in found.problems)


@pytest.mark.parametrize(
    ("place", "code"),
    [
        (SCHEDULER, "D102"),
        (CLOUD, "D402"),
        ("kubeedge/controller-manager", "D402"),
        ("keda/keda-operator", "D612"),
        ("monitoring/prometheus-operator", "D612"),
    ],
)
def test_what_has_no_pod_is_named(ward, place, code):
    ward.available(place, 0)
    try:
        found = ward.examine()
    finally:
        ward.available(place, 1)
    assert [(each.code, each.place.where) for each in found.problems] == [(code, f"Deployment {place}")]


@pytest.mark.parametrize(("version", "code"), [("v1.31.9", "D106"), ("v1.36.0", "D107")])
def test_a_kubelet_too_far_from_the_server(ward, version, code):
    with ward.changed(f"{NODE}nlp-001", kubelet(version), "/status"):
        found = ward.examine()
    (problem,) = found.problems
    assert problem.code == code
    assert f"1 with kubelet {version}" in problem.message
    assert "nlp-001" in problem.message


def test_a_kubernetes_that_the_others_do_not_fit(ward):
    newer = ward.examine(version="v1.36.1")
    assert [each.code for each in newer.problems] == ["D103", "D106", "D106"]
    assert "122 with kubelet v1.32.10-kubeedge-v1.23.1" in newer.problems[1].message
    older = ward.examine(version="v1.20.4")
    assert {each.code for each in older.problems} == {"D001", "D103", "D107"}
    assert next(each for each in older.problems if each.code == "D001").message.startswith(
        "there are no schemas"
    )


def test_a_kubernetes_that_lets_nothing_run_beside_a_worker(ward):
    data = {"from": "warm", "path": "datasets/seg3d", "bring": "ahead", "budget": "1GiB"}
    ahead = {"jobs": {"seg3d": {"data": data}}}
    (problem,) = [each for each in ward.examine(ahead, version="v1.28.9").problems if each.code == "D111"]
    assert "job seg3d" in problem.message
    assert "D111" not in ward.codes(ahead, version="v1.29.0")
    assert "D111" not in ward.codes(version="v1.28.9")


def test_a_kind_that_is_not_installed(ward, wait_until):
    path = f"{CRDS}/nodegroups.apps.kubeedge.io"
    ward.api.delete(path)
    wait_until(lambda: ward.api.gone(path), "the CRD is gone")
    try:
        found = ward.examine()
    finally:
        ward.plane.install_crds(("kubeedge",))
    (problem,) = found.problems
    assert problem.code == "D201"
    assert problem.place.where == "NodeGroup of apps.kubeedge.io/v1alpha1"
    assert "medical-imaging-endoscopy" in problem.message
    assert "KubeEdge's cloudcore chart" in problem.cure


def test_a_crd_of_another_version_and_with_other_fields(ward):
    path = f"{CRDS}/queues.scheduling.volcano.sh"
    crd = ward.api.get(path)
    older = json.loads(json.dumps(crd["spec"]["versions"]))
    del older[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["deserved"]
    with ward.changed(path, {"spec": {"versions": older}}):
        found = ward.examine()
    (problem,) = found.problems
    assert (problem.code, "deserved" in problem.message) == ("D204", True)
    renamed = [
        {**older[0], "name": "v1beta2", "storage": False},
        {**crd["spec"]["versions"][0], "served": False},
    ]
    with ward.changed(path, {"spec": {"versions": renamed}}):
        codes = ward.codes()
    assert codes == ["D202"]


def _custom(plural: str, kind: str) -> dict:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object"}},
    }
    names = {"plural": plural, "kind": kind, "listKind": "ThingList"}
    spec = {"group": "example.org", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": f"{plural}.example.org"}, "spec": spec}


def test_a_crd_whose_names_are_taken(ward, wait_until):
    made = [ward.api.create(CRDS, _custom("others", "Other"))["metadata"]["name"]]
    wait_until(
        lambda: "conditions" in ward.api.get(f"{CRDS}/{made[0]}").get("status", {}),
        "the first is accepted",
    )
    made.append(ward.api.create(CRDS, _custom("things", "Thing"))["metadata"]["name"])
    wait_until(
        lambda: "conditions" in ward.api.get(f"{CRDS}/{made[1]}").get("status", {}), "the second is seen"
    )
    body = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "a"}}
    try:
        (problem,) = ward.examine(more=(RenderedObject("main", "a", body),)).problems
    finally:
        for name in made:
            ward.api.delete(f"{CRDS}/{name}")
    assert problem.code == "D203"
    assert problem.place.where == "CRD things.example.org"
    assert "ThingList" in problem.message


def test_wrong_scheduler_configurations(ward):
    with ward.changed(config_map(CONFIG), scheduler(ward, "preempt, reclaim", "backfill")):
        codes = ward.codes()
    assert [code for code in codes if not code.startswith("L")] == ["D302", "D302"]
    assert set(codes) - {"D302"} <= {"L190", "L191", "L192", "L193"}, "lint speaks of what it lacks too"
    with ward.changed(config_map(CONFIG), scheduler(ward, "name: capacity", "name: pdb")):
        found = {each.code: each.message for each in ward.examine().problems}
    assert set(found) == {"D303", "L178"}
    assert "Queue medical-imaging-research" in found["D303"]
    with ward.changed(
        config_map(CONFIG), scheduler(ward, "allocate, backfill", "enqueue, allocate, backfill")
    ):
        (problem,) = ward.examine().problems
    assert (problem.code, problem.severity) == ("D304", Severity.WARNING)
    with ward.changed(config_map(CONFIG), {"data": {"volcano-scheduler.conf": "actions: [\n"}}):
        assert ward.codes() == ["L171"]
    with ward.changed(config_map(CONFIG), scheduler(ward, "reclaim", "reclame")):
        assert "L172" in ward.codes()
    with ward.without(config_map(CONFIG)):
        assert ward.codes() == ["D301"]
    assert ward.codes() == []


def test_missing_switches_of_cloudcore(ward):
    with ward.changed(config_map(CLOUD), cloudcore(ward, edgeController={"enable": False})):
        (problem,) = ward.examine().problems
    assert (problem.code, "edgeController" in problem.cure) == ("D404", True)
    with ward.changed(
        config_map(CLOUD), cloudcore(ward, cloudHub={"advertiseAddress": ["192.0.2.1"], "nodeLimit": 100})
    ):
        codes = ward.codes()
    assert "D406" in codes
    assert set(codes) <= {"D406", "D407", "L235"}, "the rules of lint say what CloudCore will rewrite"
    with ward.changed(config_map(CLOUD), cloudcore(ward, rooter={"enable": True})):
        assert ward.codes() == ["L232"]
    with ward.without(config_map(CLOUD)):
        assert ward.codes() == ["D403"]


def test_a_cloudcore_that_answers_elsewhere(ward):
    ours = {"advertiseAddress": ["192.0.2.10"], "dnsNames": ["cloud.hospital.example"]}
    for wrong, said in (
        ({"advertiseAddress": ["192.0.2.11"]}, "advertiseAddress lacks 192.0.2.10"),
        ({"dnsNames": []}, "dnsNames lacks cloud.hospital.example"),
        ({"https": {"port": 30002}}, "https.port is 30002, devices dial 10002"),
    ):
        with ward.changed(config_map(CLOUD), cloudcore(ward, cloudHub=ours | wrong)):
            (problem,) = [each for each in ward.examine().problems if each.code == "D407"]
        assert said in problem.message
    with ward.changed(config_map(CLOUD), cloudcore(ward, cloudHub=ours)):
        assert "D407" not in ward.codes()


@pytest.mark.parametrize(
    ("api_version", "kind", "module"),
    [
        ("rules.kubeedge.io/v1", "Rule", "router"),
        ("operations.kubeedge.io/v1alpha2", "ImagePrePullJob", "taskManager"),
        ("operations.kubeedge.io/v1alpha2", "NodeUpgradeJob", "taskManager"),
        ("devices.kubeedge.io/v1beta1", "Device", "deviceController"),
        ("policy.kubeedge.io/v1alpha1", "ServiceAccountAccess", "dynamicController"),
    ],
)
def test_a_switch_that_is_off_by_default_is_asked_for_by_the_object_that_needs_it(
    ward, api_version, kind, module
):
    rule = {"source": "a", "sourceResource": {}, "target": "b", "targetResource": {}}
    body = {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": "a", "namespace": "medical-imaging"},
        "spec": rule if kind == "Rule" else {},
    }
    one = RenderedObject("main", "routes.frames", body)
    off = {module: {"enable": False}}
    with ward.changed(config_map(CLOUD), cloudcore(ward, **off)):
        (problem,) = ward.examine(more=(one,)).problems
    assert (problem.code, f"{kind} a" in problem.message) == ("D404", True)
    assert problem.cure.startswith(f"set modules.{module}.enable: true")
    with ward.changed(config_map(CLOUD), cloudcore(ward, **{module: {"enable": True}})):
        assert ward.codes(more=(one,)) == []


def test_a_newer_tiers_has_been_here(ward):
    ours = applyset_of("medical-imaging", "main", render(ward.hospital))
    parent = ours.parent(Contents(), "9.0.0")
    ward.api.create("/api/v1/namespaces", {"metadata": {"name": ours.namespace}})
    place = f"/api/v1/namespaces/{ours.namespace}/configmaps"
    ward.api.create(place, parent)
    try:
        (problem,) = ward.examine().problems
        with ward.changed(f"{place}/{ours.name}", ours.parent(Contents(), "0.0.1")):
            assert ward.codes() == []
    finally:
        ward.api.delete(f"{place}/{ours.name}")
    assert problem.code == "D110"
    assert "tiers 9.0.0 applied last" in problem.message


def test_a_node_without_labels(ward):
    with ward.changed(f"{NODE}ultrasound-007", {"metadata": {"labels": {"tiers.dev/pool": None}}}):
        found = ward.examine()
    assert [each.code for each in found.problems] == ["D501", "D503"]
    few, unlabelled = found.problems
    assert "119 nodes of 120" in few.message
    assert unlabelled.cure == "kubectl label node ultrasound-007 --overwrite tiers.dev/pool=ultrasound"
    with ward.changed(f"{NODE}a100-001", {"metadata": {"labels": {"kubernetes.io/arch": "arm64"}}}):
        assert ward.codes() == ["D503"]
    with ward.changed(f"{NODE}nlp-001", {"metadata": {"labels": {"tiers.dev/pool": "archive"}}}):
        assert ward.codes() == ["D501", "D502"]


def test_a_taint_that_nobody_tolerates(ward):
    taint = {"key": "example.org/repair", "value": "yes", "effect": "NoSchedule"}
    with ward.changed(f"{NODE}h100-001", {"spec": {"taints": [taint]}}):
        (problem,) = ward.examine().problems
    assert problem.code == "D504"
    assert "example.org/repair=yes:NoSchedule on h100-001" in problem.message
    passing = {"key": "node.kubernetes.io/disk-pressure", "effect": "NoSchedule"}
    with ward.changed(f"{NODE}h100-001", {"spec": {"taints": [passing]}}):
        assert ward.codes() == []


def gpus(number: str | None) -> dict:
    return {"status": {"allocatable": {"nvidia.com/gpu": number}, "capacity": {"nvidia.com/gpu": number}}}


def test_gpus_that_are_not_as_tiers_yaml_says(ward):
    with ward.changed(f"{NODE}a100-002", gpus("7"), "/status"):
        (problem,) = ward.examine().problems
    assert (problem.code, "a100-002 (7)" in problem.message) == ("D603", True)
    with ward.changed(f"{NODE}a100-002", gpus(None), "/status"):
        (problem,) = ward.examine().problems
        assert (problem.code, "no DaemonSet" in problem.message) == ("D601", True)
        plugin = {**_plugin(), "metadata": {"name": "nvidia-device-plugin"}}
        ward.api.create("/apis/apps/v1/namespaces/kubeedge/daemonsets", plugin)
        try:
            assert ward.codes() == ["D602"]
        finally:
            ward.api.delete("/apis/apps/v1/namespaces/kubeedge/daemonsets/nvidia-device-plugin")
    with ward.changed(f"{NODE}a100-003", {"metadata": {"labels": {"nvidia.com/gpu.product": "A100-PCIE"}}}):
        (problem,) = ward.examine().problems
    assert (problem.code, "A100-PCIE on a100-003" in problem.message) == ("D604", True)


def _plugin() -> dict:
    labels = {"app": "plugin"}
    pod = {"containers": [{"name": "main", "image": "nvcr.io/nvidia/k8s-device-plugin:v0.17.1"}]}
    return {
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        }
    }


def test_shared_gpus_count_as_often_as_they_are_shared(ward):
    shared = {"tiers": {"hot": {"pools": {"h100": {"gpu": {"share": "timeslice", "replicas": 4}}}}}}
    assert ward.codes(shared) == ["D603"]
    sixteen = [f"{NODE}h100-00{number}" for number in (1, 2)]
    with ward.changed(sixteen[0], gpus("16"), "/status"), ward.changed(sixteen[1], gpus("16"), "/status"):
        assert ward.codes(shared) == []


def test_operators_are_looked_for_only_when_needed(ward):
    fixed = {"services": {"medical-ai": {"scale": None}}}
    with ward.changed(ward.deployment("keda/keda-operator"), image("example.org/own:1")):
        assert ward.codes() == ["D611"]
        assert ward.codes(fixed) == []
    plain = {"monitoring": {"kind": "prometheus", "discovery": "kubernetes"}}
    with ward.changed(ward.deployment("monitoring/prometheus-operator"), image("example.org/own:1")):
        (problem,) = ward.examine().problems
        assert (problem.code, problem.severity) == ("D611", Severity.WARNING)
        assert "monitoring.kind: operator" in problem.message
        assert ward.codes(plain) == []


def test_a_plain_hpa_needs_an_adapter_and_no_keda(ward):
    by_hpa = {"services": {"medical-ai": {"scale": {"by": "hpa", "peaks": None}}}}
    with ward.changed(ward.deployment("keda/keda-operator"), image("example.org/own:1")):
        (problem,) = ward.examine(by_hpa).problems
        assert (problem.code, problem.severity) == ("D613", Severity.WARNING)
        assert "services.medical-ai.scale" in problem.message
        for place, body in zip(("/api/v1/namespaces/default/services", APIS), registration(1), strict=True):
            ward.api.create(place, body)
        try:
            (problem,) = ward.examine(by_hpa).problems
            assert problem.code == "D613"
            assert "does not answer" in problem.message
        finally:
            ward.api.delete(f"{APIS}/v1beta1.{GROUP}")
            ward.api.delete("/api/v1/namespaces/default/services/metrics-adapter")


def test_a_user_without_rights_learns_which_and_how_to_get_them(ward):
    found = ward.examine(user="guest")
    codes = [each.code for each in found.problems]
    assert set(codes) == {"D001", "D701"}
    assert codes.count("D701") == 1
    assert not found.healthy
    rights = next(each for each in found.problems if each.code == "D701")
    assert rights.place.where == "user guest"
    assert {each["kind"] for each in yaml.safe_load_all(rights.excerpt)} == {"Role", "ClusterRole"}


def test_every_right_that_is_asked_for_is_one_that_the_server_knows(ward, hospital):
    """A typing error in a resource would be asked for for ever and never be granted by a person's role."""
    from toolkit.cluster.connect import connect
    from toolkit.cluster.doctor.patient import Patient

    connection = connect(hospital, "main", ward.plane.kubeconfig)
    rights = needed(Patient(connection, hospital, render(hospital)))
    assert len(rights) > 50
    groups = {each.group for each in rights}
    served = set()
    for group in groups:
        if group:
            preferred = ward.api.get(f"/apis/{group}")["preferredVersion"]["groupVersion"]
        path = f"/apis/{preferred}" if group else "/api/v1"
        served |= {(group, each["name"]) for each in ward.api.get(path)["resources"]}
    assert {(each.group, each.resource) for each in rights} <= served


class Ahead(ServerClock):
    """The clock of a server that is five minutes ahead."""

    def saw(self, date: str) -> None:
        super().saw(date)
        self.offset_seconds = (self.offset_seconds or 0.0) + 300


def test_clocks_that_differ(ward):
    (problem,) = ward.examine(clock=Ahead()).problems
    assert problem.code == "D801"
    assert "s ahead of this machine" in problem.message
    # An answer that took its time makes the server look behind by as much.
    assert int(problem.message.split(" s ")[0].rsplit(" ", 1)[1]) in range(240, 303)


def test_every_finding_is_caused_by_a_test():
    here = Path(__file__).read_text(encoding="utf-8")
    assert [each.code for each in ailments() if here.count(each.code) == 0] == []


def test_a_cluster_that_is_silent_is_one_finding(hospital, free_port):
    silent = Connection("main", "hospital", f"http://127.0.0.1:{free_port()}", urllib3.PoolManager(), dict)
    found = examine(silent, hospital, render(hospital))
    assert [each.code for each in found.problems] == ["D002"]
    assert (found.checks, found.healthy) == (0, False)


def test_the_command_counts_and_ends_with_one_for_errors(ward, files, capsys):
    command = ["doctor", *files, "--kubeconfig", str(ward.plane.kubeconfig)]
    assert main(command) == 0
    told = capsys.readouterr()
    assert f"{len(CHECKS)} checks, 0 findings" in told.err
    assert "Kubernetes" in told.out
    with ward.changed(f"{NODE}a100-002", gpus("7"), "/status"):
        assert main(command) == 1
        told = capsys.readouterr()
        assert "pool hot/a100: error D603" in told.out
        assert "help: " in told.out
        assert main([*command, "--json"]) == 1
    (diagnosis,) = json.loads(capsys.readouterr().out)
    assert [each["code"] for each in diagnosis["problems"]] == ["D603"]
    with ward.changed(
        config_map(CONFIG), scheduler(ward, "allocate, backfill", "enqueue, allocate, backfill")
    ):
        assert main(command) == 0, "a warning alone ends well"
