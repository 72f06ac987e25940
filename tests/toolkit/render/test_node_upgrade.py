"""An upgrade of EdgeCore is a job that a person submits: named by its version, and never one of apply's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from toolkit.errors import UsageError
from toolkit.render.images import unpinned_on_edge
from toolkit.render.lock import Lock
from toolkit.render.node_upgrade import upgrade_job
from toolkit.render.objects import render

REPOSITORY = Path(__file__).parents[3]


def upgraded(topology, pool="ultrasound", **keys):
    return topology({"tiers": {"edge": {"pools": {pool: {"upgrade": {"to": "1.23.2"} | keys}}}}})


def test_it_is_what_kubectl_creates(topology):
    site = upgraded(topology, concurrency=3, confirm=True, failures="0%")
    job = yaml.safe_load(upgrade_job(site, "ultrasound"))
    (rendered,) = [each for each in render(site) if each.kind == "NodeUpgradeJob"]
    assert rendered.body == job
    assert rendered.submitted
    assert job["metadata"]["name"] == "medical-imaging-ultrasound-to-1-23-2"
    spec = job["spec"]
    assert (spec["version"], spec["image"]) == ("v1.23.2", "kubeedge/installation-package")
    assert (spec["concurrency"], spec["requireConfirmation"], spec["failureTolerate"]) == (3, True, "0")
    assert spec["labelSelector"]["matchLabels"]["tiers.dev/pool"] == "ultrasound"


def test_digests_are_checked_on_the_devices_and_nothing_is_left_to_pin(topology):
    digest = "sha256:" + "b" * 64
    site = upgraded(topology, digests={"arm64": digest})
    job = yaml.safe_load(upgrade_job(site, "ultrasound"))
    assert job["spec"]["imageDigestGatter"] == {"arm64": digest}
    assert "imageDigestGatter" not in upgrade_job(upgraded(topology), "ultrasound")
    lock = Lock(images={"registry.example/tiers-edge:1.0": "sha256:" + "a" * 64})
    assert unpinned_on_edge(render(site, lock)) == (), "KubeEdge makes the tag from the version"


def test_the_command_prints_that_job_and_nothing_else():
    command = [sys.executable, "-m", "toolkit.cli", "render", "--upgrade", "wards", "-f"]
    case = REPOSITORY / "tests" / "golden" / "kubeedge" / "tiers.yaml"
    done = subprocess.run([*command, str(case)], capture_output=True, text=True, check=True, timeout=60)
    assert [each["kind"] for each in yaml.safe_load_all(done.stdout)] == ["NodeUpgradeJob"]
    done = subprocess.run(
        [*command[:-2], "rooms", "-f", str(case)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "upgrade: {to: VERSION}" in done.stderr


def test_what_is_not_there_is_named(topology, hospital):
    with pytest.raises(UsageError, match="to which version the devices of endoscopy shall move"):
        upgrade_job(upgraded(topology), "endoscopy")
    with pytest.raises(UsageError, match="no pool 'a100' on the edge"):
        upgrade_job(hospital, "a100")
