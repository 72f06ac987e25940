"""Objects for the Prometheus operator: they select what we render and stand where their Secrets are."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from toolkit.placement import GPU
from toolkit.render.lock import Lock
from toolkit.render.monitoring.dcgm import CSV_FILE
from toolkit.render.monitoring.plain import monitoring_files
from toolkit.render.objects import render
from toolkit.topology.load import load

REPOSITORY = Path(__file__).parents[4]
CASE = REPOSITORY / "tests/golden/monitoring/tiers.yaml"
MONITORS = {"PodMonitor": "podMetricsEndpoints", "ServiceMonitor": "endpoints"}


@pytest.fixture(scope="module")
def objects():
    return render(load([CASE]).topology)


@pytest.fixture(scope="module")
def monitors(objects):
    return {each.name: each for each in objects if each.kind in MONITORS}


def endpoint(monitor):
    (only,) = monitor.body["spec"][MONITORS[monitor.kind]]
    return only


def pods(objects):
    """Give labels and named ports of every rendered pod."""
    for each in objects:
        if each.kind in {"Deployment", "DaemonSet"}:
            template = each.body["spec"]["template"]
            ports = {port["name"] for one in template["spec"]["containers"] for port in one.get("ports", ())}
            yield each.name, template["metadata"]["labels"], ports


def selected(objects, monitor) -> set[str]:
    wanted = monitor.body["spec"]["selector"]["matchLabels"]
    port = endpoint(monitor).get("port")
    if monitor.kind == "ServiceMonitor":
        return {
            each.name
            for each in objects
            if each.kind == "Service"
            and wanted.items() <= each.body["metadata"]["labels"].items()
            and port in {one["name"] for one in each.body["spec"]["ports"]}
        }
    return {
        name
        for name, labels, ports in pods(objects)
        if wanted.items() <= labels.items() and (not port or port in ports)
    }


def test_each_monitor_selects_exactly_its_own(objects, monitors):
    assert {name: selected(objects, each) for name, each in monitors.items()} == {
        "watched-devices": {
            "tiers-edge-endoscopy-jetson-orin-nano",
            "tiers-edge-ultrasound-jetson-orin-nx",
        },
        "watched-answers": {"answers"},
        "watched-agent-hot": {"tiers-sync-hot"},
        "watched-depot": {"tiers-depot"},
        "watched-driver": {"tiers-driver"},
        "watched-gpus": {"tiers-dcgm-a100"},
    }


def test_a_monitor_with_secrets_of_ours_stands_beside_them(monitors):
    """The operator reads a monitor's Secrets from its own namespace; the others are where the site wants them."""
    assert {name: each.namespace for name, each in monitors.items()} == {
        "watched-devices": "monitoring",
        "watched-answers": "watched",
        "watched-agent-hot": "watched",
        "watched-depot": "watched",
        "watched-driver": "watched",
        "watched-gpus": "monitoring",
    }
    for each in monitors.values():
        names = each.body["spec"].get("namespaceSelector", {"matchNames": [each.namespace]})["matchNames"]
        assert names == ["watched"]


def test_the_operator_takes_up_what_carries_its_labels(objects):
    for each in objects:
        if each.api_version.startswith("monitoring.coreos.com/"):
            assert each.body["metadata"]["labels"]["release"] == "prometheus"


def test_every_target_gets_the_labels_of_a_place(monitors):
    place = {"job", "tiers_topology", "tiers_cluster", "tiers_tier", "tiers_pool", "node"}
    for each in monitors.values():
        targets = {step["targetLabel"] for step in endpoint(each)["relabelings"]}
        assert place <= targets, each.name
        assert ("tiers_service" in targets) == (each.kind == "ServiceMonitor")


def test_both_forms_hold_the_same_rules(objects):
    (rules,) = [each for each in objects if each.kind == "PrometheusRule"]
    assert rules.namespace == "monitoring"
    text = monitoring_files(load([CASE]).topology)["tiers-rules.yml"]
    assert rules.body["spec"]["groups"] == yaml.safe_load(text)["groups"]


def test_a_plain_prometheus_gets_no_objects_of_the_operator():
    plain = render(load([REPOSITORY / "tests/golden/monitoring-files/tiers.yaml"]).topology)
    assert not any("monitoring" in each.api_version or each.name.startswith("tiers-dcgm") for each in plain)


def test_without_the_key_nothing_is_rendered(topology):
    quiet = render(topology({"monitoring": None, "services": {"medical-ai": {"scale": None}}}))
    assert not any("monitoring" in each.api_version or "dcgm" in each.name for each in quiet)


# ---------------------------------------------------------------- DCGM's exporter
def exporter(objects, pool="a100"):
    (found,) = [each.body for each in objects if each.name == f"tiers-dcgm-{pool}"]
    return found["spec"]["template"]["spec"]


def capabilities(objects) -> dict[str, list[str]]:
    return exporter(objects)["containers"][0]["securityContext"]["capabilities"]


def test_it_runs_beside_every_gpu_and_takes_none(objects, hospital):
    spec = exporter(objects)
    (container,) = spec["containers"]
    assert GPU not in container["resources"]["limits"]
    assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"} in container["env"]
    assert {each["key"] for each in spec["tolerations"]} >= {GPU}
    pools = {
        each.name
        for each in render(hospital)
        if each.name.startswith("tiers-dcgm-") and each.kind == "DaemonSet"
    }
    assert pools == {"tiers-dcgm-a100", "tiers-dcgm-h100"}, "no Jetson, no disk server"


def test_it_reads_the_list_that_it_is_given(objects):
    spec = exporter(objects)
    (container,) = spec["containers"]
    (config,) = [each for each in objects if each.kind == "ConfigMap" and CSV_FILE in each.body["data"]]
    (volume,) = [each["configMap"]["name"] for each in spec["volumes"] if "configMap" in each]
    (folder,) = [each["mountPath"] for each in container["volumeMounts"] if each["name"] == "metrics"]
    assert (volume, container["args"]) == (config.name, ["-f", f"{folder}/{CSV_FILE}"])


def test_it_may_profile_only_where_a_service_scales_by_its_gpus(objects, hospital, topology):
    assert capabilities(objects) == {"drop": ["ALL"]}
    assert capabilities(render(hospital)) == {"drop": ["ALL"], "add": ["SYS_ADMIN"]}
    by_queue = {"medical-ai": {"scale": {"gpu": None}}}
    assert capabilities(render(topology({"services": by_queue}))) == {"drop": ["ALL"]}


def test_its_image_comes_from_where_the_site_keeps_it_and_is_pinned_by_the_lock(topology):
    image, digest = "mirror.example/dcgm-exporter:4.5", "sha256:" + "d" * 64
    mirrored = topology({"monitoring": {"exporter": image}})
    (container,) = exporter(render(mirrored, Lock(images={image: digest})))["containers"]
    assert container["image"] == f"{image}@{digest}"
