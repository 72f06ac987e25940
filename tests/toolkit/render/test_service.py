"""A service becomes servers that stand together, never give way, and answer for the models that it names."""

from __future__ import annotations

import pytest

from toolkit.placement import GPU_PRODUCT_LABEL
from toolkit.render.device import EVERY_ADDRESS
from toolkit.render.lock import Lock
from toolkit.render.objects import render
from toolkit.wire.device_config import decode_device_config

PINNED = Lock(images={"registry.example/tiers-edge:1.0": "sha256:" + "a" * 64})


def objects(topology, kind, **changes):
    changed = topology({"services": {"medical-ai": changes}})
    found = [each.body for each in render(changed, PINNED) if each.source == "services.medical-ai"]
    return next(body for body in found if body["kind"] == kind)


def pod(topology, **changes):
    return objects(topology, "Deployment", **changes)["spec"]["template"]["spec"]


def test_as_many_as_the_fewest_while_nothing_scales_them(topology):
    assert objects(topology, "Deployment", replicas={"min": 3, "max": 9})["spec"]["replicas"] == 3


def test_one_scheduler_has_all_gpus(topology):
    assert pod(topology)["schedulerName"] == "volcano"


def test_a_server_is_nobodys_victim(topology):
    template = objects(topology, "Deployment")["spec"]["template"]
    assert template["metadata"]["annotations"] == {"volcano.sh/preemptable": "false"}


def test_servers_wish_to_stand_beside_servers(topology):
    (wish,) = pod(topology)["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    labels = wish["podAffinityTerm"]["labelSelector"]["matchLabels"]
    template = objects(topology, "Deployment")["spec"]["template"]
    assert labels.items() <= template["metadata"]["labels"].items()
    assert wish["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"


def test_the_service_finds_its_servers_and_the_deployment_only_its_own(topology):
    changed = topology({"services": {"second": {"pool": "h100", "models": ["us-segmentation"]}}})
    bodies = [each.body for each in render(changed) if each.source.startswith("services.")]
    deployments = {body["metadata"]["name"]: body["spec"] for body in bodies if body["kind"] == "Deployment"}
    for body in bodies:
        if body["kind"] == "Service":
            mine = deployments[body["metadata"]["name"]]
            assert body["spec"]["selector"] == mine["selector"]["matchLabels"]
    for name, spec in deployments.items():
        for other, another in deployments.items():
            selected = (
                spec["selector"]["matchLabels"].items() <= another["template"]["metadata"]["labels"].items()
            )
            assert selected == (name == other)


def test_probes_ask_as_the_open_inference_protocol_answers(topology):
    (container,) = pod(topology, port=9000)["containers"]
    paths = {
        kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")
    }
    assert paths == {
        "startup": "/v2/health/live",
        "liveness": "/v2/health/live",
        "readiness": "/v2/health/ready",
    }
    assert container["ports"] == [{"name": "http", "containerPort": 9000}]
    (port,) = objects(topology, "Service", port=9000)["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (9000, "http")


def test_it_runs_where_its_pool_is_with_gpus_of_one_kind(topology):
    spec = pod(topology, gpus_per_replica=2)
    assert spec["nodeSelector"]["tiers.dev/pool"] == "a100"
    assert spec["nodeSelector"][GPU_PRODUCT_LABEL] == "NVIDIA-A100-SXM4-80GB"
    (container,) = spec["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert container["resources"]["requests"]["nvidia.com/gpu"] == "2"
    assert GPU_PRODUCT_LABEL not in pod(topology, gpus_per_replica=0)["nodeSelector"]


def test_the_priority_normal_when_there_is_one(topology):
    assert pod(topology)["priorityClassName"] == "medical-imaging-normal"
    without = topology({"priorities": {"normal": None}})
    (deployment,) = [each.body for each in render(without) if each.kind == "Deployment"]
    assert "priorityClassName" not in deployment["spec"]["template"]["spec"]


def test_it_is_locked_down_and_pinned(topology):
    spec = pod(topology)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    (container,) = spec["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["image"] == "registry.example/tiers-edge:1.0@sha256:" + "a" * 64


def test_its_configuration_is_one_the_daemon_reads_and_names_no_version(topology):
    config_map = objects(topology, "ConfigMap")
    config = decode_device_config(config_map["data"]["config.json"].encode(), what="config.json")
    assert [model.name for model in config.models] == ["us-segmentation"]
    assert (config.serving.host, config.serving.port) == (EVERY_ADDRESS, 8080)
    assert "1.4.0" not in config_map["data"]["config.json"]
    names = {volume["name"]: volume for volume in pod(topology)["volumes"]}
    assert names["config"]["configMap"]["name"] == config_map["metadata"]["name"]


def test_it_says_which_secret_has_to_be_there(topology):
    deployment = objects(topology, "Deployment")
    prepare = deployment["metadata"]["annotations"]["tiers.dev/prepare"]
    secrets = [volume["secret"]["secretName"] for volume in pod(topology)["volumes"] if "secret" in volume]
    assert f"create secret generic {secrets[0]} " in prepare


@pytest.mark.parametrize(
    "changes", [{}, {"gpus_per_replica": 0}, {"replicas": {"min": 0, "max": 20}}, {"port": 443}]
)
def test_it_is_valid_for_the_api_server(topology, schema_errors, changes):
    for kind in ("ConfigMap", "Service", "Deployment"):
        assert schema_errors(objects(topology, kind, **changes)) == []
