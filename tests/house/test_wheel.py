"""A device that installs `tiers[edge]` gets a working `tiers-edge` and nothing of the operator's packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
NOT_FOR_DEVICES = {
    "typer",
    "rich",
    "kubernetes",
    "jinja2",
    "pydantic",
    "torch",
    "pyyaml",
    "amqtt",
    "onnx",
    "pydicom",
}
BASE = {"blake3", "zstandard", "pyfastcdc", "cryptography", "msgspec", "paho-mqtt"}


def run(*command: object, **environment: str) -> str:
    """Run a program away from the checkout, so that it cannot see our sources; return what it printed."""
    done = subprocess.run(
        [str(word) for word in command], cwd=os.path.sep, capture_output=True, text=True, check=False, timeout=280,
        env={**os.environ, "PYTHONPATH": "", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.index
@pytest.mark.timeout(300)
def test_the_wheel_with_edge_in_an_empty_environment(tmp_path):
    pip = [sys.executable, "-m", "pip", "--no-input"]
    run(*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path / "dist", REPOSITORY)
    (wheel,) = (tmp_path / "dist").glob("tiers-*.whl")

    venv.create(tmp_path / "device", with_pip=False)
    python = tmp_path / "device/bin/python"
    pinned = ["--constraint", REPOSITORY / "constraints.txt"]
    run(*pip, "--python", python, "install", *pinned, f"{wheel}[edge]")

    listed = json.loads(run(*pip, "--python", python, "list", "--format", "json"))
    installed = {each["name"].lower().replace("_", "-") for each in listed}
    assert installed >= BASE | {"tiers", "onnxruntime"}
    assert installed & NOT_FOR_DEVICES == set()
    run(tmp_path / "device/bin/tiers-edge", "check", HOME=str(tmp_path))

    done = subprocess.run(
        [tmp_path / "device/bin/tiers", "--help"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
    )
    assert done.returncode == 2
    assert "pip install 'tiers[operator]'" in done.stderr
