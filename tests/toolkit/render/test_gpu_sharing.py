"""GPUs that pods share: the plugin says what it offers, pods ask for exactly that, and both say how much memory."""

from __future__ import annotations

import pytest
import yaml

from toolkit.render.objects import render
from toolkit.render.scheduler import scheduler_config

NO_GANGS = {"seg3d": None, "digits": None}


@pytest.fixture
def shared(topology):
    """Give `shared(gpu)`: the objects of the hospital whose pool a100 shares its GPUs, by kind and name."""

    def make(gpu, **pool):
        changed = topology({"tiers": {"hot": {"pools": {"a100": {"gpu": gpu, **pool}}}}, "jobs": NO_GANGS})
        return {(each.kind, each.name): each.body for each in render(changed)}

    return make


def pod(found, kind, name):
    return found[kind, name]["spec"]["template"]["spec"]


def asked(found):
    (server,) = pod(found, "Deployment", "medical-ai")["containers"]
    limits = server["resources"]["limits"]
    variables = {each["name"]: each.get("value") for each in server["env"]}
    return {name: amount for name, amount in limits.items() if "gpu" in name}, variables


def config(found):
    return yaml.safe_load(found["ConfigMap", "tiers-gpus-a100"]["data"]["config.yaml"])


def test_time_slices_have_a_name_of_their_own(shared):
    found = shared({"share": "timeslice", "replicas": 4})
    slices = config(found)["sharing"]["timeSlicing"]
    assert slices == {
        "failRequestsGreaterThanOne": True,
        "renameByDefault": True,
        "resources": [{"name": "nvidia.com/gpu", "replicas": 4}],
    }
    assert asked(found)[0] == {"nvidia.com/gpu.shared": "1"}
    assert ("DaemonSet", "tiers-mps-a100") not in found


def test_mps_has_its_daemon_and_a_limit_in_each_server(shared):
    found = shared({"share": "mps", "replicas": 4, "memory": "16GiB"})
    assert config(found)["sharing"]["mps"]["resources"] == [{"name": "nvidia.com/gpu", "replicas": 4}]
    resources, variables = asked(found)
    assert resources == {"nvidia.com/gpu.shared": "1"}
    assert variables["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] == "0=16384M"
    places = [
        {each["hostPath"]["path"] for each in pod(found, "DaemonSet", name)["volumes"] if "hostPath" in each}
        for name in ("tiers-gpus-a100", "tiers-mps-a100")
    ]
    assert places[1] <= places[0], "the plugin and the control daemon meet in the same folders"
    without = shared({"share": "mps", "replicas": 4})
    assert "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT" not in asked(without)[1]


def test_vgpus_are_volcanos_and_its_scheduler_counts_them(shared, topology):
    gpu = {"share": "vgpu", "replicas": 5, "memory": "12GiB"}
    found = shared(gpu)
    assert asked(found)[0] == {"volcano.sh/vgpu-number": "1", "volcano.sh/vgpu-memory": "12288"}
    assert pod(found, "DaemonSet", "tiers-vgpus-a100")["containers"][0]["args"] == ["--device-split-count=5"]
    assert not any(name == "tiers-gpus-a100" for _, name in found), "never two plugins on one machine"
    account = found["ServiceAccount", "tiers-vgpus-a100"]["metadata"]
    (subject,) = found["ClusterRoleBinding", "medical-imaging-tiers-vgpus-a100"]["subjects"]
    assert (subject["namespace"], subject["name"]) == (account["namespace"], account["name"])
    site = topology({"tiers": {"hot": {"pools": {"a100": {"gpu": gpu}}}}, "jobs": NO_GANGS})
    assert "deviceshare.VGPUEnable: true" in scheduler_config(site)
    assert "deviceshare" not in scheduler_config(topology())
    whole = asked(shared({"share": "vgpu", "replicas": 4}))[0]
    assert whole["volcano.sh/vgpu-memory"] == str(80 * 1024 // 4), "its part, when nothing is said"


def test_a_plugin_runs_on_the_machines_of_its_pool_alone(shared):
    found = shared({"share": "timeslice"})
    assert pod(found, "DaemonSet", "tiers-gpus-a100")["nodeSelector"]["tiers.dev/pool"] == "a100"
    left_out = shared({"share": "timeslice"}, device_plugin=False)
    assert ("DaemonSet", "tiers-gpus-a100") not in left_out
    assert asked(left_out)[0] == {"nvidia.com/gpu.shared": "1"}


def test_jetsons_get_one_when_asked_and_it_survives_offline(topology):
    plain = {each.name for each in render(topology()) if each.kind == "DaemonSet"}
    asked_for = topology({"tiers": {"edge": {"pools": {"endoscopy": {"device_plugin": True}}}}})
    found = {each.name: each.body for each in render(asked_for) if each.kind == "DaemonSet"}
    assert set(found) - plain == {"tiers-gpus-endoscopy"}
    spec = found["tiers-gpus-endoscopy"]["spec"]
    assert spec["updateStrategy"] == {"type": "OnDelete"}
    assert spec["template"]["spec"]["automountServiceAccountToken"] is False
    tolerated = {each["key"] for each in spec["template"]["spec"]["tolerations"]}
    assert {"node.kubernetes.io/unreachable", "node-role.kubernetes.io/edge"} <= tolerated


def test_a_share_gets_its_part_of_the_machine(shared):
    def cores(found):
        (server,) = pod(found, "Deployment", "medical-ai")["containers"]
        return int(server["resources"]["requests"]["cpu"])

    machine = {"cpus": 128, "memory": "1TiB"}
    assert (
        cores(shared(None, **machine))
        == 4 * cores(shared({"share": "timeslice", "replicas": 4}, **machine)) + 2
    )
