"""Files of a plain Prometheus: whole or not at all, repeatable, and what they say of devices, pods and secrets."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from toolkit.errors import RenderError
from toolkit.render.monitoring.plain import monitoring_files
from toolkit.render.write import write_files
from toolkit.topology.load import load

REPOSITORY = Path(__file__).parents[4]
CASE = REPOSITORY / "tests/golden/monitoring-files/tiers.yaml"


def tiers(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "toolkit.cli", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100)


def files_of(topology) -> dict[str, object]:
    return {name: yaml.safe_load(text) for name, text in monitoring_files(topology).items()}


def test_the_command_writes_files_once_and_says_how_to_check_them(tmp_path):
    first = tiers("render", "-f", str(CASE), "--monitoring", "out", folder=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "promtool check config out/prometheus.yml" in first.stderr
    names = {"alertmanager.yml", "prometheus.yml", "tiers-devices.yml", "tiers-rules.yml"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    again = tiers("render", "-f", str(CASE), "--monitoring", "out", folder=tmp_path)
    assert (again.returncode, again.stdout) == (0, "")
    assert "4 of them as before" in again.stderr


def test_without_the_key_there_is_an_error_with_the_key_to_add(hospital):
    nobody = hospital.model_copy(update={"monitoring": None})
    with pytest.raises(RenderError, match="nobody watches") as caught:
        monitoring_files(nobody)
    assert "monitoring: {kind: prometheus}" in caught.value.hint


def test_a_file_that_is_no_more_goes_and_one_of_somebody_else_stays(tmp_path):
    write_files({"a.yml": "a: 1\n", "b.yml": "b: 1\n"}, tmp_path, "site")
    (tmp_path / "own.yml").write_text("mine: true\n")
    written = write_files({"a.yml": "a: 1\n"}, tmp_path, "site")
    assert (written.written, written.unchanged, written.removed) == ((), ("a.yml",), ("b.yml",))
    assert (tmp_path / "own.yml").read_text() == "mine: true\n"
    with pytest.raises(RenderError, match="in the way"):
        write_files({"own.yml": "x: 1\n", "new.yml": "x: 1\n"}, tmp_path, "site")
    assert not (tmp_path / "new.yml").exists(), "nothing at all is written"


def test_a_device_is_known_by_its_name_whatever_its_address():
    """The relabelling of the job gives the device's name back from the address in the list."""
    found = files_of(load([CASE]).topology)
    (job,) = found["prometheus.yml"]["scrape_configs"]
    (rule,) = job["relabel_configs"]
    assert rule["target_label"] == "node"
    addresses = [target for group in found["tiers-devices.yml"] for target in group["targets"]]
    assert addresses[0] == "endo-01.edge.example:8443"
    names = [re.fullmatch(rule["regex"], address)[1] for address in addresses]
    assert names == ["endo-01", "endo-02", "ultrasound-001", "ultrasound-002", "ultrasound-003"]


def test_every_group_of_devices_has_the_labels_of_a_place():
    groups = files_of(load([CASE]).topology)["tiers-devices.yml"]
    assert [each["labels"] for each in groups] == [
        {"tiers_topology": "plain", "tiers_cluster": "main", "tiers_tier": "edge", "tiers_pool": pool}
        for pool in ("endoscopy", "ultrasound")
    ]


def test_pods_are_asked_only_when_prometheus_can_find_them(topology):
    plain = {"kind": "prometheus", "labels": None}
    blind = topology({"monitoring": plain, "services": {"medical-ai": {"scale": None}}})
    assert files_of(blind)["prometheus.yml"]["scrape_configs"] == []
    seeing = topology({"monitoring": {**plain, "discovery": "kubernetes"}})
    jobs = {each["job_name"]: each for each in files_of(seeing)["prometheus.yml"]["scrape_configs"]}
    service = jobs["tiers-service-main-medical-imaging-medical-ai"]
    assert service["kubernetes_sd_configs"] == [{"role": "pod", "namespaces": {"names": ["medical-imaging"]}}]
    assert service["scheme"] == "https"
    assert service["tls_config"]["server_name"] == "medical-ai.medical-imaging.svc"
    assert service["authorization"] == {
        "credentials_file": "/etc/prometheus/secrets/medical-ai-serving/scrape-token"
    }
    fixed = {
        each["target_label"]: each["replacement"]
        for each in service["relabel_configs"]
        if "replacement" in each
    }
    assert fixed == {
        "job": "tiers-service",
        "tiers_topology": "medical-imaging",
        "tiers_cluster": "main",
        "tiers_tier": "hot",
        "tiers_pool": "a100",
        "tiers_service": "medical-ai",
    }
    gpus = jobs["tiers-gpu-main-medical-imaging-gpus"]
    assert gpus["metric_relabel_configs"] == [
        {
            "source_labels": ["exported_namespace", "exported_pod"],
            "target_label": "tiers_service",
            "regex": "medical-imaging;(medical-ai)-[a-z0-9]+-?[a-z0-9]{5}",
        }
    ]


def test_prometheus_would_take_the_jobs_of_pods(topology, require, tmp_path):
    """Debian's program has no discovery of pods at all, so another one stands in for it; the rest is as rendered."""
    require("prometheus")
    monitoring = {"kind": "prometheus", "labels": None, "discovery": "kubernetes"}
    config = files_of(topology({"monitoring": monitoring}))["prometheus.yml"]
    config["rule_files"] = []
    for job in config["scrape_configs"]:
        job["dns_sd_configs"] = [
            {"names": [job.pop("kubernetes_sd_configs")[0]["role"]], "type": "A", "port": 1}
        ]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = ["promtool", "check", "config", "--syntax-only", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("honor", [False, True])
def test_dcgms_own_labels_are_read_by_the_name_that_they_have(topology, honor):
    monitoring = {"kind": "prometheus", "labels": None, "discovery": "kubernetes"}
    config = files_of(topology({"monitoring": {**monitoring, "honor_labels": honor}}))["prometheus.yml"]
    gpus = config["scrape_configs"][-1]
    assert gpus.get("honor_labels", False) is honor
    prefix = "" if honor else "exported_"
    assert gpus["metric_relabel_configs"][0]["source_labels"] == [f"{prefix}namespace", f"{prefix}pod"]


def test_receivers_get_what_they_take_and_secrets_stay_references():
    receivers = files_of(load([CASE]).topology)["alertmanager.yml"]["receivers"]
    night = next(each for each in receivers if each["name"] == "night")["webhook_configs"][0]
    assert night == {
        "send_resolved": True,
        "url": "https://call.example/hook",
        "http_config": {"authorization": {"credentials_file": "/etc/alertmanager/secrets/call/token"}},
    }
