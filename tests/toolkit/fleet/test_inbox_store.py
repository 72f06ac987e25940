"""`tiers-edge send`, `tiers inbox run|list|get` as they are typed: from a folder of a device to plain files at home."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.cli import main
from toolkit.errors import RemoteUnavailableError
from toolkit.fleet.inbox_store import storages
from toolkit.wire.device_config import BrokerConfig, DeviceConfig
from toolkit.wire.document import encode_json
from toolkit.wire.keyring import Keyring

pytestmark = pytest.mark.broker
SITE = """
version: 1
name: north
registry: file:///nowhere
clusters: {{main: {{context: none, tiers: [edge]}}}}
images: {{edge: registry.example/tiers-edge:1.0, jobs: registry.example/tiers-jobs:1.0}}
broker: {{url: "mqtt://127.0.0.1:{port}"}}
tiers:
  edge:
    pools: {{boxes: {{hardware: jetson-orin-nx, nodes: {{names: [us-001]}}}}}}
"""


def write_device(folder: Path, port: int, name: str = "us-001") -> Path:
    folder.mkdir()
    (folder / "keyring.json").write_bytes(encode_json(Keyring()))
    config = DeviceConfig(
        site="north",
        device=name,
        state="state",
        keyring_file="keyring.json",
        broker=BrokerConfig(host="127.0.0.1", port=port, tls=False),
    )
    file = folder / "config.json"
    file.write_bytes(encode_json(config))
    return file


def edge(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_runtime", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture
def house(mosquitto, tmp_path, wait_until):
    (tmp_path / "tiers.yaml").write_text(SITE.format(port=mosquitto.port))
    (tmp_path / "inbox").mkdir()
    at = (tmp_path / "inbox").as_uri()
    command = [
        sys.executable,
        "-m",
        "toolkit.cli",
        "inbox",
        "run",
        "--at",
        at,
        "-f",
        str(tmp_path / "tiers.yaml"),
    ]
    log = tmp_path / "inbox.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file)
    wait_until(lambda: "inbox of north" in log.read_text(), "the inbox is ready")
    yield tmp_path, at
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_a_folder_goes_out_comes_back_and_the_second_time_only_its_change(house, mosquitto, capsys):
    folder, at = house
    config = write_device(folder / "us-001", mosquitto.port)
    frames = folder / "frames"
    (frames / "monday").mkdir(parents=True)
    for number in range(3):
        (frames / f"monday/{number}.raw").write_bytes(random.Random(number).randbytes(400_000))
    first = edge("send", frames, "--as", "hard-examples", "--config", config, "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["targets"][0]["bytes_moved"] >= 1_200_000
    os.truncate(frames / "monday/1.raw", 390_000)
    second = edge("send", frames, "--as", "hard-examples", "--config", config)
    assert second.returncode == 0, second.stderr
    assert "3 files, 1190000 bytes; sent" in second.stdout

    assert main(["inbox", "list", "--at", at, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert {**row, "written_ms": 0} == {
        "device": "us-001",
        "route": "hard-examples",
        "files": 3,
        "total_bytes": 1_190_000,
        "written_ms": 0,
        "states": 2,
    }
    (folder / "back").mkdir()
    assert main(["inbox", "get", "us-001", "hard-examples", "--at", at, "--into", str(folder / "back")]) == 0
    back = {path.name: path.read_bytes() for path in (folder / "back").rglob("*.raw")}
    assert back == {path.name: path.read_bytes() for path in frames.rglob("*.raw")}
    capsys.readouterr()
    assert main(["inbox", "get", "us-001", "frames", "--at", at, "--into", str(folder / "back")]) == 1
    assert "there is: us-001 hard-examples" in capsys.readouterr().err


def test_what_cannot_be_sent_is_said(mosquitto, tmp_path):
    config = write_device(tmp_path / "us-001", mosquitto.port)
    missing = edge("send", tmp_path / "nothing", "--as", "frames", "--config", config)
    assert missing.returncode == 2
    assert "is not a folder" in missing.stderr
    named = edge("send", tmp_path, "--as", "../up", "--config", config)
    assert named.returncode == 6
    assert "must be letters" in named.stderr
    mosquitto.stop()
    away = edge("send", tmp_path, "--as", "frames", "--config", config)
    assert away.returncode == 5
    assert "cannot be reached" in away.stderr


def test_an_inbox_that_is_not_mounted_is_not_made(tmp_path):
    with pytest.raises(RemoteUnavailableError, match="No such file"):
        storages((tmp_path / "inbox").as_uri())
    assert not (tmp_path / "inbox").exists()
