"""The daemon's pods hold to every line of the list for a day without the cloud, and carry no version of a model."""

from __future__ import annotations

import json

import pytest

from edge_runtime.config import read_settings
from toolkit.errors import RenderError, TopologyError
from toolkit.render.device import device_config, service_config
from toolkit.render.lock import Lock
from toolkit.render.objects import render
from toolkit.sync.task import decode_task
from toolkit.topology.settings import Doors
from toolkit.topology.units import Bytes
from toolkit.wire.device_config import (
    CacheConfig,
    InstallWindow,
    ServingConfig,
    ShadowConfig,
    decode_device_config,
)
from toolkit.wire.document import encode_json
from toolkit.wire.keyring import Keyring
from toolkit.wire.offload import OffloadConfig

PINNED = Lock(images={"registry.example/tiers-edge:1.0": "sha256:" + "a" * 64})


def agents(topology, lock=PINNED, kind="DaemonSet"):
    mine = [each for each in render(topology, lock) if not each.name.startswith("tiers-dcgm-")]
    return {each.name: each.body for each in mine if each.kind == kind}


@pytest.fixture(scope="module")
def ultrasound(hospital):
    return agents(hospital)["tiers-edge-ultrasound-jetson-orin-nx"]


@pytest.fixture(scope="module")
def pod(ultrasound):
    return ultrasound["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def container(pod):
    (only,) = pod["containers"]
    return only


# ---------------------------------------------------------------- the list
def test_outages_are_tolerated_without_end(pod):
    for taint in ("node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"):
        assert {"key": taint, "operator": "Exists", "effect": "NoExecute"} in pod["tolerations"]
    assert not any("tolerationSeconds" in each for each in pod["tolerations"])


def test_no_token_is_mounted(pod):
    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod


def test_the_image_is_pinned_and_not_pulled_at_start(container):
    assert container["image"] == "registry.example/tiers-edge:1.0@sha256:" + "a" * 64
    assert container["imagePullPolicy"] == "IfNotPresent"


def test_no_runtime_class(pod):
    assert "runtimeClassName" not in pod


def test_all_that_lasts_is_on_the_devices_own_disk(pod, container):
    sources = {next(key for key in volume if key != "name") for volume in pod["volumes"]}
    assert sources == {"configMap", "emptyDir", "hostPath", "secret"}
    folders = {volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume}
    assert folders == {"/var/lib/tiers/state", "/var/lib/tiers/data"}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert {mounts[volume["name"]] for volume in pod["volumes"] if "hostPath" in volume} == folders
    assert "initContainers" not in pod


def test_the_set_up_of_a_device_is_told(ultrasound):
    prepare = ultrasound["metadata"]["annotations"]["tiers.dev/prepare"]
    assert prepare == "install -d -o 65532 -g 65532 -m 0700 /var/lib/tiers/state /var/lib/tiers/data"


def test_the_devices_network_only_where_something_is_served(hospital, pod):
    assert (pod["hostNetwork"], pod["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    other = agents(hospital)["tiers-edge-endoscopy-jetson-orin-nano"]["spec"]["template"]["spec"]
    assert "hostNetwork" not in other
    assert "dnsPolicy" not in other


def test_nobody_is_root_and_nothing_can_be_changed(pod, container):
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_devices_restart_only_when_somebody_says_so(ultrasound):
    assert ultrasound["spec"]["updateStrategy"] == {"type": "OnDelete"}


def test_nodes_are_chosen_by_architecture_pool_and_edge(pod):
    assert pod["nodeSelector"]["kubernetes.io/arch"] == "arm64"
    assert pod["nodeSelector"]["tiers.dev/pool"] == "ultrasound"
    assert pod["nodeSelector"]["node-role.kubernetes.io/edge"] == ""


def test_a_jetson_has_one_gpu_and_its_device_files(pod, container):
    assert container["resources"]["limits"] == {"memory": "12Gi", "nvidia.com/gpu": "1"}
    assert pod["securityContext"]["supplementalGroups"] == [44]


def test_the_daemon_learns_its_name_from_the_node(container):
    assert container["env"] == [
        {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    ]


# ---------------------------------------------------------------- what it reads
def configuration(topology, name):
    data = agents(topology, kind="ConfigMap")[name]["data"]
    return decode_device_config(data["config.json"].encode(), what=name)


def test_the_configuration_is_one_that_the_daemon_reads(hospital):
    config = configuration(hospital, "tiers-edge-ultrasound-jetson-orin-nx")
    assert (config.site, config.device, config.state) == ("medical-imaging", "", "/var/lib/tiers/state")
    assert (config.broker.host, config.broker.port, config.broker.tls) == (
        "broker.hospital.example",
        8883,
        True,
    )
    assert config.broker.key_file == "/var/lib/tiers/state/identity/device.key"
    assert [(model.name, model.engine, model.max_batch, model.queue) for model in config.models] == [
        ("us-segmentation", "auto", 8, 100),
        ("us-segmentation-lite", "auto", 1, 100),
    ]
    assert config.disk_budget_bytes == 8 * 2**30
    assert config.outbox.max_bytes == 4 * 2**30


def test_how_a_new_version_is_tried_and_what_memory_models_may_take_reach_the_device(topology):
    serving = {
        "load": "lazy",
        "trial": {"share": "10%", "time": "30m"},
        "shadow": {"requests": 50, "time": "2m", "max_difference": 0.05},
    }
    changed = topology(
        {
            "models": {"us-segmentation": {"serving": serving}},
            "tiers": {"edge": {"settings": {"memory": "4GiB"}}},
        }
    )
    config = configuration(changed, "tiers-edge-ultrasound-jetson-orin-nx")
    model = config.models[0]
    assert (model.load, model.trial_share, model.probation_seconds) == ("lazy", 0.1, 1800.0)
    assert model.shadow == ShadowConfig(requests=50, seconds=120.0, max_difference=0.05)
    assert config.memory_budget_bytes == 4 * 2**30


def test_what_is_kept_and_who_may_ask_reaches_the_device(topology, hospital):
    name = "tiers-edge-ultrasound-jetson-orin-nx"
    assert not configuration(hospital, name).serving.mqtt
    cache = {"key": "text", "follow": True, "memory": "8MiB", "disk": "0B", "prefetch": True}
    changed = topology(
        {"broker": {"inference": True}, "models": {"us-segmentation": {"serving": {"cache": cache}}}}
    )
    config = configuration(changed, name)
    kept = CacheConfig(
        kind="text", ttl_seconds=604800.0, follow=True, memory_bytes=8 * 2**20, disk_bytes=0, prefetch=True
    )
    assert (config.serving.mqtt, config.models[0].cache) == (True, kept)


def test_routes_that_begin_on_the_device_come_with_it(hospital):
    data = agents(hospital, kind="ConfigMap")["tiers-edge-ultrasound-jetson-orin-nx"]["data"]
    (route,) = json.loads(data["routes.json"])
    assert decode_task(json.dumps(route).encode()).route == "frames"


def test_no_version_of_a_model_is_in_any_object(topology):
    before, after = (
        render(topology({"models": {"us-segmentation": {"source": f"us-segmentation@{version}"}}}))
        for version in ("1.4.0", "9.9.9")
    )
    assert before == after


def test_another_image_changes_the_pods_and_not_the_names(topology):
    old = agents(topology())
    new = agents(topology({"images": {"edge": "registry.example/tiers-edge:2.0"}}))
    assert set(old) == set(new)
    for name in old:
        pod = old[name]["spec"]["template"]["spec"]
        pod["containers"][0]["image"] = "registry.example/tiers-edge:2.0"
        assert old[name] == new[name]


def test_hardware_without_tensorrt_gets_its_own_image_and_no_gpu(topology):
    pool = {"hardware": "jetson-nano"}
    changed = topology(
        {
            "tiers": {"edge": {"pools": {"ultrasound": pool}}},
            "images": {"runtimes": {"onnxruntime": "registry.example/tiers-edge-ort:1.0"}},
            "models": {
                "us-segmentation": {"precision": "fp16"},
                "us-segmentation-lite": {"precision": "fp16"},
            },
        }
    )
    pod = agents(changed)["tiers-edge-ultrasound-jetson-nano"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "registry.example/tiers-edge-ort:1.0"
    assert "nvidia.com/gpu" not in pod["containers"][0]["resources"]["limits"]
    assert "supplementalGroups" not in pod["securityContext"]
    config = configuration(changed, "tiers-edge-ultrasound-jetson-nano")
    assert {model.engine for model in config.models} == {"onnxruntime"}


ENDOSCOPY = "tiers-edge-endoscopy-jetson-orin-nano"


def started_with(topology, pool, node, tmp_path):
    """Give what the daemon itself would start with on a node, from the files of its pool's ConfigMap."""
    for file, text in agents(topology, kind="ConfigMap")[pool]["data"].items():
        (tmp_path / file).write_text(text.replace("/var/lib/tiers/state", str(tmp_path)))
    (tmp_path / "identity").mkdir(exist_ok=True)
    (tmp_path / "identity" / "keyring.json").write_bytes(encode_json(Keyring(keys=())))
    return read_settings(tmp_path / "config.json", node).config


def test_a_device_with_settings_of_its_own_starts_with_them(topology, tmp_path):
    devices = {"endo-02": {"disk": "2GiB"}}
    changed = topology({"tiers": {"edge": {"pools": {"endoscopy": {"devices": devices}}}}})
    disks = [
        started_with(changed, ENDOSCOPY, name, tmp_path).disk_budget_bytes for name in ("endo-01", "endo-02")
    ]
    assert disks == [8 * 2**30, 2 * 2**30]


def test_all_settings_that_the_daemon_reads_reach_it(topology, tmp_path):
    window = {"days": "fri,sat", "opens": "22:00", "closes": "04:00", "timezone": "Europe/Berlin"}
    own = {"report": "2m", "install_window": window, "log": "debug", "hold": True, "download": "8Mbit/s"}
    devices = {"endo-02": {**own, "trust_clock": True}}
    changed = topology({"tiers": {"edge": {"pools": {"endoscopy": {"devices": devices}}}}})
    config = started_with(changed, ENDOSCOPY, "endo-02", tmp_path)
    assert config.install_window == InstallWindow(
        opens="22:00", closes="04:00", days=("fri", "sat"), timezone="Europe/Berlin"
    )
    assert (config.report_seconds, config.log, config.hold) == (120.0, "debug", True)
    assert (config.download_bytes_per_second, config.trust_clock) == (1_000_000, True)
    usual = started_with(changed, ENDOSCOPY, "endo-01", tmp_path)
    assert (usual.install_window, usual.hold, usual.format) == (None, False, 1)


def test_settings_that_are_rolled_out_are_no_model_of_a_device(topology):
    name = "device-settings"
    changed = topology({"models": {name: {"source": f"{name}@1", "pools": ["ultrasound"]}}})
    assert agents(changed) == agents(topology())


def test_settings_of_devices_change_nothing_that_could_end_a_pod(topology):
    devices = {"endo-02": {"disk": "2GiB"}}
    changed = topology({"tiers": {"edge": {"pools": {"endoscopy": {"devices": devices}}}}})
    assert agents(changed) == agents(topology())


def test_devices_that_are_set_up_alike_share_one_file(topology):
    devices = {f"ultrasound-{number:03d}": {"disk": f"{1 + number % 2}GiB"} for number in range(1, 101)}
    changed = topology({"tiers": {"edge": {"pools": {"ultrasound": {"devices": devices}}}}})
    data = agents(changed, kind="ConfigMap")["tiers-edge-ultrasound-jetson-orin-nx"]["data"]
    assert len(data) == len({"config.json", "routes.json", "devices.json"}) + 2
    listed = json.loads(data["devices.json"])["files"]
    assert set(listed) == set(devices)
    assert listed["ultrasound-001"] == listed["ultrasound-003"] != listed["ultrasound-002"]


def test_what_equals_the_pools_settings_is_not_listed(topology):
    pool = {"settings": {"hold": True}, "devices": {"ultrasound-001": {"disk": "8GiB"}}}
    changed = topology({"tiers": {"edge": {"pools": {"ultrasound": pool}}}})
    data = agents(changed, kind="ConfigMap")["tiers-edge-ultrasound-jetson-orin-nx"]["data"]
    assert set(data) == {"config.json", "routes.json"}


# ---------------------------------------------------------------- the broker
def test_the_brokers_authority_is_a_mounted_secret(topology, schema_errors):
    changed = topology({"broker": {"ca": {"secret": "broker-ca/root.pem"}}})
    body = agents(changed)["tiers-edge-ultrasound-jetson-orin-nx"]
    volumes = {each["name"]: each for each in body["spec"]["template"]["spec"]["volumes"]}
    assert volumes["broker-ca"]["secret"] == {"secretName": "broker-ca", "defaultMode": 0o440}
    ca_file = configuration(changed, "tiers-edge-ultrasound-jetson-orin-nx").broker.ca_file
    assert ca_file == "/etc/tiers/broker-ca/root.pem"
    assert schema_errors(body) == []


@pytest.mark.parametrize("reference", [{"file": "/home/me/ca.pem"}, {"env": "BROKER_CA"}])
def test_an_authority_that_devices_cannot_read_is_refused_with_the_cure(topology, reference):
    with pytest.raises(RenderError, match=r"broker\.ca") as refused:
        render(topology({"broker": {"ca": reference}}))
    assert "kubectl create secret" in refused.value.hint


def test_a_broker_without_encryption_needs_no_certificate(topology):
    config = configuration(
        topology({"broker": {"url": "mqtt://10.0.0.1"}}), "tiers-edge-ultrasound-jetson-orin-nx"
    )
    assert (config.broker.port, config.broker.tls, config.broker.key_file) == (1883, False, "")


# ---------------------------------------------------------------- who else answers
def test_what_a_device_offloads_goes_to_the_service_of_that_tier(topology, schema_errors):
    hospital = topology({})
    name = "tiers-edge-ultrasound-jetson-orin-nx"
    model, lite = configuration(hospital, name).models
    folder = "/etc/tiers/offload/medical-ai"
    assert model.offload == OffloadConfig(
        url="https://medical-ai.medical-imaging.svc:8080",
        ca_file=f"{folder}/ca.crt",
        token_file=f"{folder}/token",
    )
    assert lite.offload is None
    body = agents(hospital)[name]
    pod = body["spec"]["template"]["spec"]
    volumes = {each["name"]: each for each in pod["volumes"]}
    secret = {"secretName": "medical-ai-offload", "optional": True, "defaultMode": 0o440}
    assert volumes["offload-0"]["secret"] == secret
    mounts = {each["name"]: each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
    assert mounts["offload-0"] == folder
    assert schema_errors(body) == []
    own = topology({"services": {"medical-ai": {"url": "https://ai.hospital.example"}}})
    assert configuration(own, name).models[0].offload.url == "https://ai.hospital.example"


def test_a_service_offloads_nothing_and_a_pool_without_offload_mounts_nothing(topology):
    hospital = topology({})
    assert all(model.offload is None for model in service_config(hospital, "medical-ai").models)
    pod = agents(hospital)["tiers-edge-endoscopy-jetson-orin-nano"]["spec"]["template"]["spec"]
    assert not [each for each in pod["volumes"] if each["name"].startswith("offload")]


def test_an_address_without_encryption_is_refused(topology):
    with pytest.raises(TopologyError) as refusal:
        topology({"services": {"medical-ai": {"url": "http://ai.hospital.example"}}})
    assert "'url' String should match pattern '^https://'" in str(refusal.value.problems[0])


def test_the_outbox_of_the_settings_reaches_the_device(hospital):
    placed = hospital.pool("ultrasound")
    settings = hospital.settings_of(placed).model_copy(update={"outbox": Bytes.parse("64MiB")})
    config = device_config(hospital, placed, settings)
    assert (config.outbox.max_bytes, config.format) == (64 * 2**20, 3)


def test_the_doors_of_the_settings_open_on_the_device(hospital):
    placed = hospital.pool("ultrasound")
    doors = Doors(unix_socket=True, client_requests=16, client_rate=2.5, access_log=True)
    settings = hospital.settings_of(placed).model_copy(update={"doors": doors})
    serving = device_config(hospital, placed, settings).serving
    assert (serving.unix_socket, serving.host) == ("/var/lib/tiers/state/serving.sock", "127.0.0.1")
    assert (serving.client_requests, serving.client_rate, serving.access_log) == (16, 2.5, True)
    assert device_config(hospital, placed).serving == ServingConfig()
