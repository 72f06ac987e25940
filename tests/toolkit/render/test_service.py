"""A service becomes servers that stand together, never give way, and answer for the models that it names."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

import pytest

from edge_runtime.serving.guard import check_exposure
from toolkit.placement import GPU_PRODUCT_LABEL
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
    assert objects(topology, "Deployment", scale=None, replicas={"min": 3, "max": 9})["spec"]["replicas"] == 3


def test_one_scheduler_has_all_gpus(topology):
    assert pod(topology)["schedulerName"] == "volcano"


def test_a_server_is_nobodys_victim(topology):
    template = objects(topology, "Deployment")["spec"]["template"]
    assert template["metadata"]["annotations"]["volcano.sh/preemptable"] == "false"


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
    for kind in paths:
        asked = container[f"{kind}Probe"]["httpGet"]
        assert (asked["scheme"], asked["port"]) == ("HTTPS", "https")
    assert container["ports"] == [{"name": "https", "containerPort": 9000}]
    (port,) = objects(topology, "Service", port=9000)["spec"]["ports"]
    assert (port["port"], port["targetPort"], port["appProtocol"]) == (9000, "https", "https")


def test_it_runs_where_its_pool_is_with_gpus_of_one_kind(topology):
    spec = pod(topology, gpus_per_replica=2)
    assert spec["nodeSelector"]["tiers.dev/pool"] == "a100"
    assert spec["nodeSelector"][GPU_PRODUCT_LABEL] == "NVIDIA-A100-SXM4-80GB"
    (container,) = spec["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert container["resources"]["requests"]["nvidia.com/gpu"] == "2"
    assert GPU_PRODUCT_LABEL not in pod(topology, gpus_per_replica=0, scale=None)["nodeSelector"]


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
    assert (config.serving.host, config.serving.port) == ("0.0.0.0", 8080)  # noqa: S104 -- of a pod
    assert "1.4.0" not in config_map["data"]["config.json"]
    names = {volume["name"]: volume for volume in pod(topology)["volumes"]}
    assert names["config"]["configMap"]["name"] == config_map["metadata"]["name"]


def test_a_drain_takes_one_server_at_a_time(topology):
    budget = objects(topology, "PodDisruptionBudget")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert "minAvailable" not in budget
    assert budget["selector"] == objects(topology, "Deployment")["spec"]["selector"]


@pytest.mark.parametrize(("fewest", "guarded"), [(1, False), (2, True)])
def test_a_server_alone_keeps_no_drain_waiting(topology, fewest, guarded):
    changed = topology({"services": {"medical-ai": {"replicas": {"min": fewest, "max": 9}}}})
    assert ("PodDisruptionBudget" in {each.kind for each in render(changed)}) == guarded


def test_what_it_serves_with_comes_from_a_secret_that_is_never_rendered(topology):
    changes = {"address": "::", "client_ca": {"secret": "doctors/root.pem"}}
    config_map = objects(topology, "ConfigMap", **changes)
    serving = decode_device_config(config_map["data"]["config.json"].encode(), what="config.json").serving
    assert serving.host == "::"
    check_exposure(serving)
    spec = pod(topology, **changes)
    (container,) = spec["containers"]
    mounted = {mount["name"]: mount for mount in container["volumeMounts"]}
    secrets = {each["name"]: each["secret"]["secretName"] for each in spec["volumes"] if "secret" in each}
    assert secrets["serving"] == "medical-ai-serving"
    assert secrets["client-ca"] == "doctors"
    for file, name in (
        (serving.certificate_file, "serving"),
        (serving.key_file, "serving"),
        (serving.token_file, "serving"),
        (serving.client_ca_file, "client-ca"),
    ):
        assert str(PurePosixPath(file).parent) == mounted[name]["mountPath"]
        assert mounted[name]["readOnly"]
        assert "subPath" not in mounted[name], "kubelet never renews such a file"
    assert serving.client_ca_file.endswith("/root.pem")
    kinds = {each.kind for each in render(topology({"services": {"medical-ai": changes}}))}
    assert "Secret" not in kinds


def test_another_configuration_is_another_pod(topology):
    templates = [
        objects(topology, "Deployment", port=port)["spec"]["template"] for port in (9000, 9000, 9001)
    ]
    digests = [template["metadata"]["annotations"]["tiers.dev/config"] for template in templates]
    assert digests[0] == digests[1] != digests[2]


def test_its_account_is_its_own_and_may_nothing(topology):
    account = objects(topology, "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert pod(topology)["serviceAccountName"] == account["metadata"]["name"]
    bound = [each for each in render(topology()) if each.kind.endswith("RoleBinding")]
    assert account["metadata"]["name"] not in json.dumps([each.body for each in bound])


def test_it_says_how_its_secrets_are_made(topology):
    prepare = objects(topology, "Deployment")["metadata"]["annotations"]["tiers.dev/prepare"]
    secrets = {volume["secret"]["secretName"] for volume in pod(topology)["volumes"] if "secret" in volume}
    made = {words.split()[0] for words in prepare.split("create secret generic ")[1:]}
    assert made == secrets


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gpus_per_replica": 0, "scale": None},
        {"replicas": {"min": 0, "max": 20}, "scale": None},
        {"port": 443},
        {"client_ca": {"secret": "ca"}},
    ],
)
def test_it_is_valid_for_the_api_server(topology, schema_errors, changes):
    kinds = ["ServiceAccount", "ConfigMap", "Service", "Deployment"]
    fewest = changes.get("replicas", {"min": 2})["min"]
    for kind in kinds + ["PodDisruptionBudget"] * (fewest > 1):
        assert schema_errors(objects(topology, kind, **changes)) == []
