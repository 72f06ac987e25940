"""`tiers-edge wipe` leaves nothing of a device, and `status` says what is there before it goes."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from edge_runtime.folders import Folders
from edge_runtime.outbox import MIN_BYTES, Entry, OutboxFile
from edge_runtime.standing import Standing, read_standing, write_standing
from edge_runtime.status import lines, read_status
from edge_runtime.store import Store
from edge_runtime.wipe import wipe
from tests.edge_runtime.conftest import Device
from toolkit.errors import StoreError
from toolkit.wire.device_config import BrokerConfig, CacheConfig, DeviceConfig, ModelConfig, OutboxConfig


def tiers_edge(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_runtime", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL
    )


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder as a device leaves it, with somebody else's file in it."""
    state = tmp_path / "state"
    folders = Folders(state)
    folders.prepare()
    Store(folders.database).close()
    for name in (
        "versions/a/model.onnx",
        "answers/1",
        "plans/p",
        "identity/device.key",
        "identity/device.crt",
    ):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).write_bytes(b"secret" * 10)
    outbox = OutboxFile(folders.outbox, MIN_BYTES)
    outbox.append([Entry("alarm", 1, 1_700_000_000_000, 0, True, b"hot")])
    outbox.close()
    (state / ".x.1.part").write_bytes(b"draft")
    (state / "notes.txt").write_bytes(b"of the site")
    return state


@pytest.fixture
def config(tmp_path: Path, state: Path) -> DeviceConfig:
    for name in ("password", "outbox.key", "answers.key"):
        (tmp_path / name).write_bytes(b"secret" * 10)
    broker = BrokerConfig(
        host="h",
        key_file=str(state / "identity/device.key"),
        certificate_file=str(state / "identity/device.crt"),
        password_file=str(tmp_path / "password"),
    )
    outbox = OutboxConfig(key_file=str(tmp_path / "outbox.key"))
    cache = CacheConfig(key_file=str(tmp_path / "answers.key"))
    models = tuple(ModelConfig(name=name, cache=cache) for name in ("seg", "lite"))
    return DeviceConfig(
        site="north", state=str(state), keyring_file="k", broker=broker, outbox=outbox, models=models
    )


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_everything_goes_but_what_is_not_ours(state: Path, config: DeviceConfig, tmp_path: Path) -> None:
    descriptors = [path.open("rb") for path in (state / "identity/device.key", tmp_path / "outbox.key")]
    removed = {each.what: each.files for each in wipe(state, config)}
    assert files_in(tmp_path) == {"state/notes.txt"}
    assert removed == {"models": 2, "answers": 1, "outbox": 1, "identity": 5, "memory": 2}
    for descriptor in descriptors:
        assert b"secret" not in descriptor.read(), "a key is overwritten, not only unlinked"
        descriptor.close()
    assert wipe(state, config) == (), "once more is harmless"


def test_the_identity_can_stay(state: Path, tmp_path: Path) -> None:
    wipe(state)
    kept = {"state/notes.txt", "state/identity/device.key", "state/identity/device.crt"}
    assert files_in(tmp_path) == kept


def test_a_running_daemon_keeps_all(state: Path, config: DeviceConfig) -> None:
    lock = Folders(state).lock()
    before = files_in(state)
    with pytest.raises(StoreError, match="another tiers-edge"):
        wipe(state, config)
    assert files_in(state) == before
    import os

    os.close(lock)


def test_a_wipe_that_was_cut_off_is_run_again(state: Path, config: DeviceConfig) -> None:
    """The memory goes last: until then `status` still knows the device."""
    (state / "outbox.sqlite").unlink()
    (state / "outbox.sqlite").mkdir()
    (state / "outbox.sqlite" / "odd").write_bytes(b"")
    wipe(state, config)
    assert files_in(state) == {"notes.txt"}


def test_status_looks_into_the_outbox_of_a_device_that_does_not_run(state: Path) -> None:
    status = read_status(state)
    assert status.outbox is not None
    assert (status.running, status.outbox.waiting, status.live) == (False, (1, 0, 0), None)
    assert any("1 records wait" in line for line in lines(status, "us-001"))


def test_what_the_daemon_left_is_not_believed_when_it_does_not_run(state: Path) -> None:
    folders = Folders(state)
    standing = Standing(
        connected=True, receiver=True, problem="", outbox=None, rungs={"m": "offload"}, engines={"m": "e"}
    )
    write_standing(folders.standing, standing)
    assert read_standing(folders.standing) == standing
    assert read_status(state).live is None
    folders.standing.write_bytes(b"{")
    assert read_standing(folders.standing) is None


@pytest.mark.broker
def test_status_tells_of_the_running_daemon(device: Device, wait_until: Callable[..., None]) -> None:
    device.start()
    body = json.dumps({"records": [{"kind": "result", "text": "x"}]})
    connection = http.client.HTTPConnection("127.0.0.1", device.port(), timeout=60)
    connection.request("POST", "/v2/tiers/records", body)
    assert connection.getresponse().read()
    connection.close()

    def status() -> dict[str, object]:
        done = tiers_edge("status", "--config", str(device.config_file), "--json")
        assert done.returncode == 0, done.stderr
        return msgspec.json.decode(done.stdout)

    def told() -> bool:
        live = status()["live"]
        return isinstance(live, dict) and live["connected"] and sum(live["outbox"]["waiting"]) > 0

    wait_until(told, "the daemon has said that it is connected and that a record waits")
    text = tiers_edge("status", "--config", str(device.config_file)).stdout
    assert "broker: connected" in text
    assert "nobody takes them" in text
    assert b'edge_outbox_records{priority="3"}' in device.get("/metrics")[1]
    assert device.stop() == 0
    assert not (device.state / "standing.json").exists()
    refused = tiers_edge("wipe", "--config", str(device.config_file))
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    (device.folder / "keyring.json").unlink()
    done = tiers_edge("wipe", "--config", str(device.config_file), "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert {each["what"] for each in json.loads(done.stdout)} == {"outbox", "memory"}
