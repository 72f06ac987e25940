"""A daemon on a machine with a GPU and TensorRT (fakes): what it installs is built, checked and served there."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.edge_runtime.conftest import MODEL


@pytest.fixture
def build(device, fake_gpu):
    """Give a function that runs `tiers-edge build` beside the device."""

    def run(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", "edge_runtime", "build", "--config", str(device.config_file), *arguments],
            env={**os.environ, **fake_gpu, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )

    return run


def engine_of(device) -> str:
    lines = device.get("/metrics")[1].decode().splitlines()
    return next(line for line in lines if line.startswith("edge_engine_info{"))


@pytest.mark.slow
@pytest.mark.broker
def test_what_is_installed_is_built_checked_and_served_by_tensorrt(
    depot, device, keys, fake_gpu, build, wait_until
):
    device.environment = fake_gpu
    device.start()
    depot.offer(keys.model("v1"))
    depot.wait_for_state("ACTIVE", "v1")
    assert device.infer([1, 0, 0, 0]) == ("v1", [0.0, 1.0, 2.0])
    assert 'engine="tensorrt",engine_version="10.3.0"' in engine_of(device)
    (plan,) = device.state.glob("plans/*.plan")

    there = build(MODEL)
    assert (there.returncode, there.stdout.count("was there")) == (0, 1), there.stderr
    assert device.stop() == 0

    # JetPack is upgraded: all plans are made before the daemon starts, and the old one is not tried.
    (line,) = [json.loads(each) for each in build("--json", FAKE_TENSORRT="10.13.3").stdout.splitlines()[-1:]]
    assert (line["model"], line["fresh"], line["buckets"]) == (MODEL, True, [1, 2, 4, 8])
    device.environment = {**fake_gpu, "FAKE_TENSORRT": "10.13.3"}
    device.start()
    wait_until(lambda: device.get("/v2/health/ready")[0] == 200, "it serves again")
    assert device.infer([1, 0, 0, 0]) == ("v1", [0.0, 1.0, 2.0])
    assert 'engine_version="10.13.3"' in engine_of(device)
    assert len(list(device.state.glob("plans/*.plan"))) == 2
    assert plan.exists()


def test_a_model_that_is_not_here_is_a_usage_error(build):
    unknown = build("nobody")
    assert unknown.returncode == 2
    assert f"its models are: {MODEL}" in unknown.stderr
    early = build(MODEL)
    assert early.returncode == 2
    assert "installed on this device yet" in early.stderr


def test_nothing_installed_is_nothing_to_build(build):
    done = build("--json")
    assert (done.returncode, done.stdout) == (0, "")
