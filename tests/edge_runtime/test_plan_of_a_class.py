"""One plan for each class of devices: real broker, depot and registry, a fake TensorRT; no GPU has run any of this.

The first device builds, vouches, and the registry countersigns; then devices of the same class fetch that plan and
never build, whatever kills them meanwhile, and devices of another class build their own.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty

import msgspec
import pytest

from edge_runtime.drill import PLAN_WRITES
from edge_runtime.engine.plan import head_of, read_header
from tests.edge_runtime.conftest import MODEL, TOPICS, Device
from tests.toolkit.registry.making import Site, make_model, make_site
from toolkit.fleet.depot import Depot
from toolkit.fleet.steer import Steering
from toolkit.link.link import Arrived, Connected
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.registry.catalogue import open_artifact
from toolkit.registry.countersign import STATEMENT_FILE, Countersigned, countersign
from toolkit.registry.keys import make_key, make_keyring, read_key
from toolkit.registry.push import PushRequest, PushResult, push
from toolkit.wire.device_config import ModelConfig
from toolkit.wire.digest import digest_of
from toolkit.wire.document import encode_json
from toolkit.wire.frame import Frame, FrameKind, decode_frame
from toolkit.wire.keyring import Keyring
from toolkit.wire.plan import PLAN_FILE, decode_built_plan
from toolkit.wire.report import ModelReport, decode_report
from toolkit.wire.rollout import Rollout, RolloutSpec, Wave
from toolkit.wire.signature import seal, unseal

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(240)]
WAIT_SECONDS = 120.0
OTHER_TENSORRT = "10.13.3"


@dataclass
class Clinic:
    """A site with a depot that serves and steers, a builder's key, and devices with a GPU that is a fake."""

    site: Site
    folder: Path
    port: int
    gpu: dict[str, str]
    tap: PahoLink
    gate: threading.Semaphore
    devices: dict[str, Device] = field(default_factory=dict)
    rollouts: int = 0
    boards: list[PahoLink] = field(default_factory=list)

    def __post_init__(self) -> None:
        pair = make_key(self.folder / "builder.pem")
        self.builder = pair.file
        self.keyring = Keyring(keys=(*make_keyring({"builder": [pair]}).keys, *self.site.keyring.keys))

    def push(self) -> PushResult:
        model, golden = make_model(self.folder / "model", width=40_000)
        return push(self.site.store, PushRequest(model, golden, MODEL, "1"), self.site.key)

    def device(self, name: str, **environment: str) -> Device:
        device = Device(self.folder / name, self.port, self.site, (ModelConfig(name=MODEL),))
        device.config = msgspec.structs.replace(device.config, device=name)
        device.write_config()
        device.environment = {
            **self.gpu,
            "FAKE_TENSORRT_BUILDS": str(device.folder / "builds"),
            **environment,
        }
        self.devices[name] = device
        return device

    def builds(self, device: Device) -> int:
        file = device.folder / "builds"
        return len(file.read_text().split()) if file.exists() else 0

    def roll_out(self, pushed: PushResult, *devices: str) -> None:
        self.rollouts += 1
        spec = RolloutSpec(
            model=MODEL,
            version=pushed.version,
            artifact=pushed.artifact,
            devices=devices,
            waves=(Wave(devices=len(devices)),),
        )
        name = f"r{self.rollouts}"
        rollout = Rollout(name=name, number=self.rollouts, seq=1, spec=spec)
        sealed = seal(encode_json(rollout), "rollout", self.site.key)
        self.tap.publish(TOPICS.rollout(name), sealed, qos=1, retain=True)

    def await_report(
        self, wanted: Callable[[str, ModelReport], bool], seconds: float = WAIT_SECONDS
    ) -> tuple[ModelReport, list[Frame]]:
        """Wait for a report; also give the frame of each chunk that was sent meanwhile."""
        sent: list[Frame] = []
        while True:
            try:
                event = self.tap.events.get(timeout=seconds)
            except Empty:
                logs = "\n".join(f"--- {name}\n{each.log()}" for name, each in self.devices.items())
                pytest.fail(f"it was not reported; {logs}")
            if not isinstance(event, Arrived) or not event.payload:
                continue
            device = TOPICS.device_of(event.topic)
            if event.topic == TOPICS.data(device):
                frame = decode_frame(event.payload)
                if frame.kind is FrameKind.CHUNKS:
                    sent += [frame for piece in frame.pieces if piece.offset == 0]
            else:
                for report in decode_report(event.payload, device).models:
                    if wanted(device, report):
                        return report, sent

    def await_all_active(self, *names: str) -> tuple[dict[str, ModelReport], list[Frame]]:
        found: dict[str, ModelReport] = {}
        sent: list[Frame] = []
        while set(names) - set(found):
            _, frames = self.await_report(lambda device, report: self._notes(found, device, report))
            sent += frames
        return found, sent

    @staticmethod
    def _notes(found: dict[str, ModelReport], device: str, report: ModelReport) -> bool:
        """Keep a report of a device that is done; the last one that says so counts."""
        is_done = report.state.value == "ACTIVE"
        if is_done:
            found[device] = report
        return is_done

    def await_active(self, name: str) -> tuple[ModelReport, list[Frame]]:
        return self.await_report(lambda device, report: (device, report.state.value) == (name, "ACTIVE"))

    def board(self) -> PahoLink:
        """Hear which plans are announced from now on, each as one event."""
        link = PahoLink(settings_from_url(f"mqtt://127.0.0.1:{self.port}", "board"))
        link.subscribe(TOPICS.plan("+", "+"), qos=1)
        link.connect()
        self.boards.append(link)
        assert isinstance(link.events.get(timeout=WAIT_SECONDS), Connected)
        return link

    def vouch(self, device: Device, *, refused: str = "") -> Path:
        folder = device.folder / "out"
        command = [
            "vouch",
            MODEL,
            str(folder),
            "--config",
            str(device.config_file),
            "--key",
            str(self.builder),
        ]
        done = subprocess.run(
            [sys.executable, "-m", "edge_runtime", *command],
            env={**os.environ, **device.environment},
            check=False,
            timeout=100,
            capture_output=True,
            text=True,
        )
        assert bool(done.returncode) == bool(refused), done.stderr
        assert refused in done.stderr
        return folder

    def countersign(self, folder: Path) -> Countersigned:
        return countersign(self.site.store, folder, self.keyring, self.site.key)


@pytest.fixture
def clinic(mosquitto, tmp_path: Path, fake_gpu) -> Iterator[Clinic]:
    site = make_site(tmp_path / "site")
    url, stop = f"mqtt://127.0.0.1:{mosquitto.port}", threading.Event()
    links = {name: PahoLink(settings_from_url(url, name)) for name in ("depot", "driver", "tap")}
    gate = threading.Semaphore(1_000_000)
    depot = Depot(links["depot"], TOPICS, lambda: site.store, site.keyring, gate=lambda _: gate.acquire())
    driver = Steering(links["driver"], TOPICS, site.key, site.keyring, quiet_seconds=0.3)
    threads = [threading.Thread(target=each.run, args=(stop,), daemon=True) for each in (depot, driver)]
    for thread in threads:
        thread.start()
    for topic in (TOPICS.data("+"), TOPICS.state("+")):
        links["tap"].subscribe(topic, qos=1)
    links["tap"].connect()
    made = Clinic(site, tmp_path, mosquitto.port, fake_gpu, links["tap"], gate)
    yield made
    for device in made.devices.values():
        if device.process is not None:
            device.kill()
    stop.set()
    gate.release(1_000_000)
    for thread in threads:
        thread.join(60)
    for link in (links["tap"], *made.boards):
        link.close()


def plan_of(device: Device) -> str:
    lines = device.get("/metrics")[1].decode().splitlines()
    line = next(line for line in lines if line.startswith("edge_engine_info{"))
    return line.partition('plan="')[2].partition('"')[0]


def lie(clinic: Clinic, honest: Path) -> Path:
    """What a builder might seal by mistake: for another TensorRT, a plan that computes something else."""
    built = decode_built_plan(
        unseal((honest / STATEMENT_FILE).read_bytes(), "plan", clinic.keyring, what="it"), what="it"
    )
    data = (honest / PLAN_FILE).read_bytes()
    header = read_header("it", data, len(data), None)
    other, _ = make_model(clinic.folder / "other", width=40_000, head=2)
    body = pickle.loads(data[len(data) - header.plan_bytes :])  # noqa: S301 -- our own fake wrote it
    plan = pickle.dumps({**body, "model": other.read_bytes(), "version": OTHER_TENSORRT})
    change = msgspec.structs.replace
    header = change(
        header,
        key=change(header.key, tensorrt=OTHER_TENSORRT),
        plan_bytes=len(plan),
        plan_sha256=hashlib.sha256(plan).hexdigest(),
    )
    file = head_of(header) + plan
    made_for = change(built.made_for, machine=change(built.made_for.machine, tensorrt=OTHER_TENSORRT))
    built = change(built, made_for=made_for, plan=digest_of(file), plan_bytes=len(file))
    folder = clinic.folder / "lie"
    folder.mkdir()
    (folder / PLAN_FILE).write_bytes(file)
    (folder / STATEMENT_FILE).write_bytes(seal(encode_json(built), "plan", read_key(clinic.builder)))
    return folder


KILLED_AT = (
    "STAGED",
    "bitmap:after",
    *(f"{write}:{side}" for write in PLAN_WRITES for side in ("before", "after")),
)
"""Before anything of the plan came, with a part of it, and on both sides of the moment from which on it is there."""


def test_one_device_builds_its_class_fetches_and_a_plan_that_is_wrong_costs_a_build(clinic: Clinic) -> None:
    pushed = clinic.push()
    first, second = clinic.device("us-001"), clinic.device("us-002")
    board = clinic.board()
    other = clinic.device("us-003", FAKE_TENSORRT=OTHER_TENSORRT)
    first.start()
    clinic.roll_out(pushed, "us-001")
    report, _ = clinic.await_active("us-001")
    assert (clinic.builds(first), plan_of(first), report.plan_problem) == (1, "built", "")
    honest = clinic.vouch(first)
    done, lied = clinic.countersign(honest), clinic.countersign(lie(clinic, honest))
    assert done.machine != lied.machine
    assert first.stop() == 0

    second.start("--hold", KILLED_AT[0])
    other.start("--hold", "STAGED")
    clinic.roll_out(pushed, "us-002", "us-003")
    # A device waits for an announcement for ten seconds and then builds; the depot looks when the rollout has come.
    for _ in (done, lied):
        board.events.get(timeout=WAIT_SECONDS)
    assert other.held() == "STAGED"
    other.go_on()
    for number, point in enumerate(KILLED_AT, start=1):
        assert second.held() == point
        second.kill()
        assert not list(second.state.glob("plans/*.plan")) or point == "plan:after"
        second.start(*(("--hold", KILLED_AT[number]) if number < len(KILLED_AT) else ()))
    reports, sent = clinic.await_all_active("us-002", "us-003")
    assert clinic.builds(second) == 0, "a machine of its class has built the plan"
    assert plan_of(second) == "fetched"
    report = reports["us-002"]
    assert (report.plan_problem, report.chunks_have) == ("", report.chunks_total)
    assert not list((second.state / "parts").iterdir()), "what it was fetched in is gone"
    assert {path.suffix for path in (second.state / "plans").iterdir()} == {".plan", ".lock"}
    chunks = [frame for frame in sent if frame.belongs_to(done.artifact)]
    plan = open_artifact(clinic.site.store, done.artifact, clinic.keyring).manifest
    assert plan.chunks <= len(chunks) < 2 * plan.chunks, "what was stored before a kill did not come again"

    assert not clinic.vouch(second, refused="was not built on this device but fetched").exists()

    assert (clinic.builds(other), plan_of(other)) == (1, "built")
    assert "did not pass the golden check: golden-mismatch" in reports["us-003"].plan_problem
    assert any(frame.belongs_to(lied.artifact) for frame in sent), "it had been fetched"
