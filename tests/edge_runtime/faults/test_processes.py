"""SIGKILL of the broker and of the real depot in the middle of a transfer: time is lost, and not much else."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty

import msgspec
import pytest

from tests.edge_runtime.conftest import DEVICE, Device, golden_file, linear_model
from tests.edge_runtime.faults.ledger import BOUND, MUCH, SOME, assert_whole, paced
from tests.toolkit.registry.making import Site, make_site
from toolkit.link.link import Arrived
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.registry.catalogue import open_artifact
from toolkit.registry.keys import write_keyring
from toolkit.registry.push import PushResult
from toolkit.wire.desired import Desired, DesiredModel
from toolkit.wire.device_config import ModelConfig
from toolkit.wire.document import encode_json
from toolkit.wire.frame import FrameKind, decode_frame
from toolkit.wire.report import ModelReport, decode_report
from toolkit.wire.signature import seal
from toolkit.wire.topics import Topics

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]
MIB = 1024 * 1024


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.faults) for seed in (2, 3))])
def test_a_killed_broker_costs_at_most_the_window_and_a_batch(
    mosquitto, depot, device, keys, wait_until, seed: int
) -> None:
    print(f"seed {seed}")
    source = random.Random(seed)
    files = {
        "model.onnx": linear_model(1, ballast=source.randbytes(6 * MIB)),
        "golden.npz": golden_file(1),
    }
    made = keys.make("v2", files)
    chunks = source.randrange(20, 200)
    device.start(*paced(MUCH))  # a new connection is reason enough to ask again
    depot.offer(keys.model("v1", weight=2.0))
    depot.wait_for_state("ACTIVE", "v1")
    depot.pause_after(chunks)
    depot.offer(made)
    assert depot.reached_limit.wait(120)
    mosquitto.process.kill()
    mosquitto.stop()
    assert device.infer([1, 0, 0, 0]) == ("v1", [0.0, 2.0, 4.0]), "what served goes on serving"
    depot.presence = ""
    mosquitto.start()
    # What is sent before both are back is lost, and would count.
    wait_until(lambda: depot.presence == "online", "device and depot are connected again")
    wait_until(lambda: depot.last.models[0].chunks_have > 0 or chunks < 60, "what came is stored")
    depot.resume()
    report = depot.wait_for_state("ACTIVE", "v2")
    assert_whole(device, made, files)
    sent = depot.chunks_sent(made)
    again = sum(made.chunks[number].size for number in sent) - sum(chunk.size for chunk in made.chunks)
    print(f"the broker died after {chunks} chunks: {again} bytes came again, {report.bytes_resent} in vain")
    assert again <= BOUND
    assert report.chunks_bad == 0


@dataclass
class House:
    """A registry, and a depot that is a process of its own; a tap sees what it sends."""

    folder: Path
    site: Site
    port: int
    topics: Topics
    tap: PahoLink
    depot: subprocess.Popen[bytes] | None = None
    numbers: list[int] = field(default_factory=list)
    reports: list[ModelReport] = field(default_factory=list)

    def start_depot(self) -> None:
        command = [sys.executable, "-m", "toolkit.cli", "depot", "-f", str(self.folder / "tiers.yaml")]
        command += ["--keyring", str(self.folder / "keyring.json"), "--device-rate", "3MiB/s"]
        command += ["--registry", (self.folder / "registry").as_uri()]
        self.depot = subprocess.Popen([*command, "--broker", f"mqtt://127.0.0.1:{self.port}"], env=os.environ)

    def watch(self, until: Callable[[], bool], seconds: float = 120.0) -> None:
        """Take in what the tap hears until a condition is true."""
        while not until():
            try:
                event = self.tap.events.get(timeout=seconds)
            except Empty:
                pytest.fail(f"nothing was heard for {seconds} s; the last report: {self.reports[-1:]}")
            if not isinstance(event, Arrived) or not event.payload:
                continue
            if event.topic == self.topics.data(DEVICE):
                frame = decode_frame(event.payload)
                if frame.kind is FrameKind.CHUNKS:
                    self.numbers += [piece.number for piece in frame.pieces if piece.offset == 0]
            else:
                self.reports += decode_report(event.payload, DEVICE).models

    def want(self, pushed: PushResult) -> None:
        artifact = open_artifact(self.site.store, pushed.artifact, self.site.keyring)
        model = DesiredModel(
            model=pushed.name, version=pushed.version, artifact=pushed.artifact, rollout="r1"
        )
        desired = Desired(device=DEVICE, seq=1, fence=1, models=(model,))
        sealed = seal(encode_json(desired), "desired", self.site.key)
        self.tap.publish(self.topics.manifest(pushed.artifact), artifact.sealed, qos=1, retain=True)
        self.tap.publish(self.topics.desired(DEVICE), sealed, qos=1, retain=True)


@pytest.fixture
def house(mosquitto, tmp_path: Path) -> Iterator[House]:
    site = make_site(tmp_path)
    write_keyring(tmp_path / "keyring.json", site.keyring)
    (tmp_path / "tiers.yaml").write_text((Path(__file__).parents[3] / "tiers.yaml").read_text())
    topics = Topics("medical-imaging")
    tap = PahoLink(settings_from_url(f"mqtt://127.0.0.1:{mosquitto.port}", "tap"))
    for topic in (topics.data(DEVICE), topics.state(DEVICE)):
        tap.subscribe(topic, qos=1)
    tap.connect()
    house = House(tmp_path, site, mosquitto.port, topics, tap)
    yield house
    tap.close()
    if house.depot is not None:
        house.depot.kill()
        house.depot.wait()


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.faults) for seed in (2, 3))])
def test_a_killed_depot_is_replaced_by_another_one(
    house: House, mosquitto, tmp_path: Path, seed: int
) -> None:
    chunks = random.Random(seed).randrange(20, 150)
    pushed = house.site.push("digits", "v1", width=120_000)
    device = Device(tmp_path / "device", mosquitto.port, house.site, models=(ModelConfig(name="digits"),))
    device.config = msgspec.structs.replace(device.config, site="medical-imaging")
    device.write_config()
    house.start_depot()
    device.start(*paced(SOME))
    try:
        house.want(pushed)
        house.watch(lambda: len(house.numbers) >= chunks)
        assert house.depot is not None
        house.depot.kill()
        house.depot.wait()
        print(f"seed {seed}: the depot was killed after {len(house.numbers)} chunks of {pushed.chunks}")
        assert len(house.numbers) < pushed.chunks
        house.start_depot()
        house.watch(lambda: bool(house.reports) and house.reports[-1].state.value == "ACTIVE")
    finally:
        device.kill()
    report = house.reports[-1]
    again = len(house.numbers) - len(set(house.numbers))
    size = pushed.total_bytes // pushed.chunks
    print(
        f"{again} chunks of about {size} bytes were sent again; the device had {report.bytes_resent} in vain"
    )
    assert set(house.numbers) == set(range(pushed.chunks))
    assert again * size <= BOUND
    assert report.bytes_resent <= BOUND
    assert (report.chunks_have, report.chunks_bad) == (pushed.chunks, 0)
