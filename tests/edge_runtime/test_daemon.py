"""A real daemon and a real broker: versions come, serve and go, with and without a network."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import msgspec
import pytest

from tests.edge_runtime.conftest import MODEL
from tests.edge_runtime.faults.ledger import MUCH, paced
from toolkit.wire.device_config import InstallWindow, ModelConfig
from toolkit.wire.keyring import Keyring

pytestmark = pytest.mark.broker


def test_a_device_pulls_a_version_reports_each_arrow_and_serves_it(depot, device, keys) -> None:
    device.start(*paced(MUCH))  # its bytes are counted
    assert device.get("/v2/health/ready")[0] != 200
    made = keys.model("v1")
    depot.offer(made)
    report = depot.wait_for_state("ACTIVE", "v1")
    assert device.infer([1, 0, 0, 0]) == ("v1", [0.0, 1.0, 2.0])
    assert device.get("/v2/health/ready")[0] == 200

    states = [model.state.value for each in depot.history for model in each.models]
    assert [state for number, state in enumerate(states) if state not in states[:number]] == [
        "OFFERED",
        "WAITING_WINDOW",
        "SEEDING",
        "DOWNLOADING",
        "VERIFYING",
        "STAGED",
        "ACTIVATING",
        "PROBATION",
        "ACTIVE",
    ]
    seqs = [each.seq for each in depot.history]
    assert seqs == sorted(seqs)
    reports = dict(zip(seqs, depot.history, strict=True))
    assert all(reports[each.seq] == each for each in depot.history), "a number means one report"
    assert report.serving_version == "v1"
    assert (report.chunks_total, report.chunks_have) == (len(made.chunks), len(made.chunks))
    stored = sum(len(made.stored[chunk.digest]) for chunk in made.chunks)
    assert report.bytes_received == stored + len(made.index)
    assert depot.last.fingerprint.onnxruntime
    assert device.stop() == 0


def test_without_a_broker_it_serves_what_it_has_and_with_one_it_goes_on(
    mosquitto, depot, device, keys, wait_until
) -> None:
    device.start()
    depot.offer(keys.model("v1"))
    last = depot.wait_for_state("ACTIVE", "v1")
    seq = depot.last.seq
    device.stop()
    mosquitto.stop()

    device.start()
    wait_until(lambda: device.get("/v2/health/ready")[0] == 200, "it serves without a broker")
    assert device.infer([1, 0, 0, 0])[0] == "v1"
    assert device.get("/v2/health/live")[0] == 200
    assert b"edge_connected 0.0" in device.get("/metrics")[1]

    mosquitto.start()
    depot.offer(keys.model("v2"))
    depot.wait_for_state("ACTIVE", "v2")
    assert device.infer([1, 0, 0, 0])[0] == "v2"
    assert depot.last.seq > seq
    assert last.serving_version == "v1"


def test_no_request_fails_while_versions_change(depot, device, keys, wait_until) -> None:
    device.start()
    depot.offer(keys.model("v1"))
    depot.wait_for_state("ACTIVE", "v1")
    ended, answers, failures = threading.Event(), list[tuple[str, float]](), list[str]()

    def ask() -> None:
        while not ended.is_set():
            try:
                version, scores = device.infer([1, 0, 0, 0])
                answers.append((version, scores[1]))
            except (AssertionError, OSError) as error:
                failures.append(repr(error))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for version in ("v1", "v2", "v3"):
            if version != "v1":
                depot.offer(keys.model(version))
                depot.wait_for_state("ACTIVE", version)
            wait_until(lambda version=version: answers and answers[-1][0] == version, f"{version} answers")
    finally:
        ended.set()
        asking.join()
    assert not failures
    assert set(answers) == {("v1", 1.0), ("v2", 2.0), ("v3", 3.0)}
    assert [version for version, _ in answers] == sorted(version for version, _ in answers)


def test_in_probation_it_reports_how_the_version_does(depot, device, keys) -> None:
    device.config = msgspec.structs.replace(
        device.config, format=0, report_seconds=1.0, models=(ModelConfig(name=MODEL, probation_seconds=600),)
    )
    device.write_config()
    device.start()
    depot.offer(keys.fragile("v1"))
    depot.wait_for(lambda model: model.state.value == "PROBATION" and model.serving_version == "v1")
    for _ in range(3):
        device.infer([1, 0, 0, 0])
    device.infer_badly()
    report = depot.wait_for(lambda model: model.served.requests == 4)
    assert (report.state.value, report.served.failures) == ("PROBATION", 1)
    assert 0 < report.served.p99_seconds < 60


def test_an_operator_goes_back_without_a_byte_and_below_the_floor_he_may_not(depot, device, keys) -> None:
    device.start(*paced(MUCH))  # nothing is lost here, and what is asked for twice would count
    first, second = keys.model("v1"), keys.model("v2")
    for made in (first, second):
        depot.offer(made)
        depot.wait_for_state("ACTIVE", made.manifest.version)
    sent = len(depot.sent)
    depot.offer(first, rollout="back")
    depot.wait_for_state("ACTIVE", "v1")
    assert device.infer([1, 0, 0, 0])[0] == "v1"
    assert len(depot.sent) == sent

    third = keys.model("v3", change=lambda manifest: msgspec.structs.replace(manifest, floor=2))
    depot.offer(third)
    depot.wait_for_state("ACTIVE", "v3")
    depot.offer(second, rollout="back-to-2")
    depot.wait_for_state("ACTIVE", "v2")
    depot.offer(first, rollout="back-to-1")
    assert depot.wait_for_state("REJECTED", "v1").code == "below-floor"
    assert device.infer([1, 0, 0, 0])[0] == "v2"


def test_presence_says_online_and_offline_after_an_end_of_either_kind(depot, device, wait_until) -> None:
    device.start()
    wait_until(lambda: depot.presence == "online", "it says that it is online")
    assert device.stop() == 0
    wait_until(lambda: depot.presence == "offline", "it says goodbye")
    device.start()
    wait_until(lambda: depot.presence == "online", "it is online again")
    device.kill()
    wait_until(lambda: depot.presence == "offline", "the last will says offline")


def test_only_two_versions_and_no_part_file_stay_on_the_disk(depot, device, keys, wait_until) -> None:
    device.start()
    made = [keys.model(f"v{number}") for number in (1, 2, 3)]
    for each in made:
        depot.offer(each)
        depot.wait_for_state("ACTIVE", each.manifest.version)
    kept = {each.artifact for each in made[1:]}
    versions, parts = device.state / "versions", device.state / "parts"
    wait_until(lambda: {path.name for path in versions.iterdir()} == kept, "the oldest version is deleted")
    assert not list(parts.iterdir())


def test_a_second_daemon_on_the_same_state_is_refused(device) -> None:
    device.start()
    device.port()
    second = tiers_edge("run", "--config", str(device.config_file))
    assert second.returncode == 1
    assert "another tiers-edge runs" in second.stderr


def tiers_edge(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_runtime", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_status_and_wipe_say_and_do_what_is_there(depot, device, keys) -> None:
    config = str(device.config_file)
    nothing = tiers_edge("status", "--config", config)
    assert nothing.returncode == 1
    assert "tiers-edge run" in nothing.stderr
    device.start()
    depot.offer(keys.model("v1"))
    depot.wait_for_state("ACTIVE", "v1")
    status = json.loads(tiers_edge("status", "--config", config, "--json").stdout)
    assert (status["running"], status["models"][0]["serving_version"]) == (True, "v1")
    assert status["address"] == f"127.0.0.1:{device.port()}"
    assert "linear: ACTIVE v1, serving v1" in tiers_edge("status", "--config", config).stdout

    assert tiers_edge("wipe", "--config", config, "--yes").returncode == 1, (
        "a running daemon keeps its folder"
    )
    device.stop()
    unsure = tiers_edge("wipe", "--config", config)
    assert unsure.returncode == 2
    assert "--yes" in unsure.stderr
    assert tiers_edge("wipe", "--config", config, "--yes").returncode == 0
    assert not [path for path in device.state.rglob("*") if path.is_file()]


def test_check_tells_what_the_machine_can_do_and_whether_the_broker_answers(mosquitto, device) -> None:
    config = str(device.config_file)
    found = json.loads(tiers_edge("check", "--config", config, "--json").stdout)
    assert "accepts this device" in found["broker"]
    assert "ONNX IR" in found["onnxruntime"]
    assert "decode-image@1" in found["stages"]
    assert found["installs"] == "new versions are taken now"
    window = InstallWindow(opens="02:00", closes="03:00", timezone="Europe/Berln")
    device.config = msgspec.structs.replace(device.config, format=0, install_window=window)
    device.write_config()
    lost = tiers_edge("check", "--config", config)
    assert lost.returncode == 2
    assert "tzdata" in lost.stderr
    device.config = msgspec.structs.replace(device.config, format=0, install_window=None)
    device.write_config()
    mosquitto.stop()
    unreachable = tiers_edge("check", "--config", config)
    assert unreachable.returncode == 5
    assert "broker.host" in unreachable.stderr
    assert tiers_edge("check").returncode == 0


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (None, 2, "--config FILE"),
        (b"{", 6, "is not a DeviceConfig"),
        (b'{"format": 9}', 6, "update tiers"),
        ({"device": "UPPER"}, 6, "must be 1 to 63"),
        ({"device": ""}, 2, "NODE_NAME"),
        ({"keyring_file": "absent"}, 2, "keyring"),
        ({"serving": {"host": "0.0.0.0", "port": 0}}, 2, "127.0.0.1"),  # noqa: S104
        ({"colour": "red"}, 6, "colour"),
    ],
)
def test_a_wrong_configuration_is_refused_with_place_and_cure(
    tmp_path, content: bytes | dict[str, object] | None, code: int, says: str
) -> None:
    (tmp_path / "keyring.json").write_bytes(msgspec.json.encode(Keyring()))
    whole = {
        "format": 1,
        "site": "north",
        "device": "us-001",
        "state": "state",
        "keyring_file": "keyring.json",
        "broker": {"host": "127.0.0.1", "port": 1, "tls": False},
    }
    file = tmp_path / "device.json"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else json.dumps(whole | content).encode())
    result = tiers_edge("run", "--config", str(file))
    assert result.returncode == code, result.stderr
    assert says in result.stderr
