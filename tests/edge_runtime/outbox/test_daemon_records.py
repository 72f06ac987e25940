"""Daemon, broker and receiver as processes and threads: what was accepted arrives once, whoever dies on the way."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.edge_runtime.conftest import DEVICE, TOPICS, Device
from toolkit.fleet.record_files import Line, read_lines, segments
from toolkit.fleet.records import Receiver
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url

pytestmark = pytest.mark.broker


def put(device: Device, *records: dict[str, object]) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", device.port(), timeout=60)
    try:
        connection.request("POST", "/v2/tiers/records", json.dumps({"records": records}))
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def accepted(device: Device, *texts: str, kind: str = "result", priority: int = 2) -> list[tuple[str, int]]:
    """Put texts down; give their names, epoch and seq."""
    status, answer = put(device, *({"kind": kind, "priority": priority, "text": text} for text in texts))
    assert status == 200, answer
    return [
        (str(answer["epoch"]), seq) for seq in range(int(str(answer["first"])), int(str(answer["last"])) + 1)
    ]


@contextmanager
def receiving(at: Path, port: int) -> Iterator[Receiver]:
    """Run a receiver until the block ends."""
    link = PahoLink(settings_from_url(f"mqtt://127.0.0.1:{port}", f"records-{id(at)}"))
    receiver = Receiver(link, TOPICS, at)
    stop = threading.Event()
    thread = threading.Thread(target=receiver.run, args=(stop,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture
def at(tmp_path: Path) -> Path:
    at = tmp_path / "records"
    at.mkdir()
    return at


def lines(at: Path) -> list[Line]:
    if not (at / DEVICE).is_dir():
        return []
    return [line for path in segments(at / DEVICE) for line, _ in read_lines(path)]


def results(at: Path) -> dict[tuple[str, int], bytes]:
    """Give the results that arrived; none may be there twice."""
    found = [(line.epoch, line.seq) for line in lines(at)]
    assert len(set(found)) == len(found)
    return {(line.epoch, line.seq): line.payload for line in lines(at) if line.kind == "result"}


def test_offline_from_the_first_boot_it_serves_and_keeps_and_tells_when_there_is_a_broker(
    mosquitto, device: Device, at: Path, wait_until: Callable[..., None]
) -> None:
    mosquitto.stop()
    device.start()
    assert device.get("/v2/health/live")[0] == 200
    names = accepted(device, "one", "zwei")
    assert put(device, {"kind": "frame", "data": "AAEC"})[0] == 200
    device.kill()
    device.start()
    names += accepted(device, "three")
    mosquitto.start()
    with receiving(at, mosquitto.port):
        wait_until(lambda: len(results(at)) == 3, "all results have arrived")
        names += accepted(device, "four")
        wait_until(lambda: len(results(at)) == 4, "and what came later")
        wait_until(lambda: {"frame", "start"} <= {line.kind for line in lines(at)}, "and what is less urgent")
    assert list(results(at)) == names
    assert list(results(at).values()) == [b"one", b"zwei", b"three", b"four"]
    told = {line.kind: line.payload for line in lines(at)}
    assert told["frame"] == b"\x00\x01\x02"
    starts = [json.loads(line.payload)["starts"] for line in lines(at) if line.kind == "start"]
    assert starts in ([1, 2], [2]), "what was not accepted before the kill may be lost"
    assert device.stop() == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"records": []}', b'{"records": [{"kind": "a"}]}', b'{"records": [{"kind": "A B", "text": ""}]}',
     b'{"records": [{"kind": "a", "text": "", "priority": 9}]}',
     b'{"records": [{"kind": "a", "text": "", "data": ""}]}',
     b'{"records": [{"kind": "a", "data": "not base64"}]}', b"\xff", b"[" * 100_000,
     json.dumps({"records": [{"kind": "a", "text": "x" * 70_000}]}).encode(), b" " * 600_000],
)  # fmt: skip
def test_what_is_no_record_is_refused_whole(recorder: Device, body: bytes) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", recorder.port(), timeout=60)
    connection.request("POST", "/v2/tiers/records", body)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert (response.status, list(answer)) == (400, ["error"])


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """A daemon without a broker, for all that is refused."""
    from tests.edge_runtime.conftest import Keys

    device = Device(tmp_path_factory.mktemp("recorder") / "device", 1, Keys())
    device.start()
    yield device
    assert device.stop() == 0


def test_only_post_puts_records_down(recorder: Device) -> None:
    assert recorder.get("/v2/tiers/records")[0] == 405


POINTS = ("outbox:before", "outbox:after", "outbox-delete:before", "outbox-delete:after")


@pytest.mark.parametrize(
    "points", [("outbox:after",), pytest.param(POINTS, marks=pytest.mark.faults)], ids=["one", "all"]
)
def test_nothing_accepted_is_lost_or_doubled_when_all_are_killed(
    mosquitto, device: Device, at: Path, wait_until: Callable[..., None], points: tuple[str, ...]
) -> None:
    """Device before and after each durable write, broker and receiver while they are at it."""
    device.start()
    names = accepted(device, *(f"before {number}" for number in range(50)))
    assert device.stop() == 0
    for point in points:
        with receiving(at, mosquitto.port):
            device.start("--hold", point)
            device.port()  # which is known before the first record; the thread below must not look for it after a kill
            answer: list[tuple[str, int]] = []
            asking = threading.Thread(target=lambda to=answer: to.extend(_try(device, point)), daemon=True)  # noqa: B023
            asking.start()
            assert device.held() == point
            device.kill()
            asking.join(60)
            names += answer
    mosquitto.stop()
    device.start()
    names += accepted(device, *(f"offline {number}" for number in range(50)))
    mosquitto.start()
    with receiving(at, mosquitto.port):
        names += accepted(device, "last")
        wait_until(lambda: set(names) <= set(results(at)), "all that was accepted is there")
    extra = set(results(at)) - set(names)
    print(f"{len(names)} accepted, {len(extra)} more were durable when the answer was cut")
    assert len(extra) % 10 == 0, "a request is kept whole or not at all"
    assert len(extra) <= 10 * len(points)
    assert device.stop() == 0


def _try(device: Device, point: str) -> list[tuple[str, int]]:
    try:
        return accepted(device, *(f"{point} {number}" for number in range(10)))
    except (OSError, http.client.HTTPException):
        return []


class Command:
    """`tiers records run` in a process of its own, slow enough to be killed while it works.

    Each one that starts may take two seconds' worth of its rate at once.
    """

    def __init__(self, at: Path, port: int, folder: Path) -> None:
        site = folder / "site.yaml"
        site.write_text(f"name: {TOPICS.site}\nbroker: {{url: 'mqtt://127.0.0.1:{port}'}}\n")
        files = ["-f", str(Path(__file__).parents[3] / "tiers.yaml"), "-f", str(site)]
        self._command = [
            *(sys.executable, "-m", "toolkit.cli", "records", "run", "--at", str(at), *files),
        ]
        self._log = folder / "records.log"
        self.start()

    def start(self, rate: str = "100KiB/s") -> None:
        command = [*self._command, "--device-rate", rate]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self) -> None:
        assert self.process.poll() is None, self._log.read_text()
        self.process.kill()
        self.process.wait(60)


@pytest.mark.faults
def test_broker_and_receiver_are_killed_while_it_drains(
    mosquitto, device: Device, at: Path, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    mosquitto.stop()
    device.start()
    names: list[tuple[str, int]] = []
    for request in range(25):
        names += accepted(device, *(f"{request}/{number} ".ljust(1000, "x") for number in range(100)))
    mosquitto.start()
    receiver = Command(at, mosquitto.port, tmp_path)
    kills = 0
    try:
        # The rest would take twenty seconds and more, so that who looks late still finds it at work.
        for part in (1, 150, 300, 450, 600):
            wait_until(lambda: len(lines(at)) >= part, f"{part} records have arrived")  # noqa: B023
            if part in {1, 450}:
                mosquitto.process.kill()
                mosquitto.process.wait()
                mosquitto.start()
            else:
                receiver.kill()
                receiver.start()
            kills += len(lines(at)) < len(names)
        receiver.kill()
        receiver.start("4MiB/s")
        wait_until(lambda: set(names) <= set(results(at)), "all that was accepted is there")
    finally:
        receiver.kill()
    assert list(results(at)) == names, "in order"
    assert kills >= 3, "it was killed while it drained"
    assert device.stop() == 0
