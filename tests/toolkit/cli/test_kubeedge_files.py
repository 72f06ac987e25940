"""`tiers render` with the options of KubeEdge, as they are typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CASE = Path(__file__).parents[2] / "golden" / "kubeedge"


def rendered(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "toolkit.cli", "render", "-f", str(CASE / "tiers.yaml"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)


@pytest.mark.parametrize(
    ("option", "value", "golden"),
    [
        ("--cloud-config", "main", "cloudcore-main.yaml"),
        ("--edge-config", "rooms", "edgecore-rooms.yaml"),
        ("--join", "wards", "join-wards.sh"),
    ],
)
def test_each_option_prints_its_file_and_nothing_else(option, value, golden):
    done = rendered(option, value)
    assert (done.returncode, done.stdout) == (0, (CASE / golden).read_text(encoding="utf-8"))


def test_a_device_is_named_behind_its_pool():
    done = rendered("--join", "rooms/room-2")
    assert done.returncode == 0
    assert "NODE=room-2\n" in done.stdout


def test_the_config_map_is_a_form_of_the_cloud_config():
    done = rendered("--cloud-config", "main", "--as-config-map")
    assert yaml.safe_load(done.stdout)["metadata"]["name"] == "cloudcore"
    done = rendered("--as-config-map")
    assert (done.returncode, done.stdout) == (2, "")
    assert "tiers render --cloud-config CLUSTER --as-config-map" in done.stderr
