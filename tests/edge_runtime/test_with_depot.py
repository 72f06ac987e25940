"""The daemon with the real registry, depot and driver: the carried models arrive, and a killed transfer resumes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import Empty

import numpy as np
import pytest
import tritonclient.http as triton

from tests.edge_runtime.conftest import DEVICE, TOPICS, Device
from tests.toolkit.registry.making import Site, drifting, make_site
from toolkit.fleet.depot import Depot
from toolkit.fleet.steer import Steering
from toolkit.link.link import Arrived
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.registry.push import PushRequest, PushResult, push
from toolkit.wire.device_config import ModelConfig
from toolkit.wire.document import encode_json
from toolkit.wire.frame import FrameKind, decode_frame
from toolkit.wire.report import ModelReport, decode_report
from toolkit.wire.rollout import Rollout, RolloutSpec, Wave
from toolkit.wire.signature import seal

pytestmark = pytest.mark.broker
CARRIED = Path(__file__).parents[2] / "examples" / "models" / "digits"
MODEL = "digits"
WINDOW_BYTES = 8 * 1024 * 1024
"""The most that a device asks for ahead (docs/formats.md)."""
PATIENT = tuple(option for limit in ("first", "min", "max") for option in ("--pace", f"{limit}_timeout=20"))
"""Where bytes are counted: nothing is lost on the way, and a busy machine must not be taken for a fault."""


@dataclass
class House:
    """A site with a depot that serves and steers, and a tap on what it sends to the device."""

    site: Site
    url: str
    gate: threading.Semaphore
    tap: PahoLink
    number: int = 0

    def push(self, version: str) -> PushResult:
        model, golden = CARRIED / f"{version}.onnx", CARRIED / f"{version}.golden.npz"
        request = PushRequest(model, golden, MODEL, version, min_accuracy=0.9)
        return push(self.site.store, request, self.site.key)

    def roll_out(self, pushed: PushResult, previous: PushResult | None = None, action: str = "run") -> None:
        self.number += action == "run"
        spec = RolloutSpec(
            model=pushed.name,
            version=pushed.version,
            artifact=pushed.artifact,
            devices=(DEVICE,),
            waves=(Wave(devices=1),),
            previous_version=previous.version if previous else "",
            previous_artifact=previous.artifact if previous else "",
        )
        name = f"{pushed.name}-{pushed.version}"
        rollout = Rollout(
            name=name, number=self.number, seq=1 if action == "run" else 2, spec=spec, action=action
        )
        sealed = seal(encode_json(rollout), "rollout", self.site.key)
        self.tap.publish(TOPICS.rollout(name), sealed, qos=1, retain=True)

    def await_report(
        self, state: str, version: str, seconds: float = 120.0
    ) -> tuple[ModelReport, set[int], int]:
        """Wait for a report; also give the chunks that were sent meanwhile, and their bytes."""
        numbers, size = set[int](), 0
        while True:
            try:
                event = self.tap.events.get(timeout=seconds)
            except Empty:
                pytest.fail(f"{state} {version} was not reported")
            if not isinstance(event, Arrived) or not event.payload:
                continue
            if event.topic == TOPICS.data(DEVICE):
                frame = decode_frame(event.payload)
                if frame.kind is FrameKind.CHUNKS:
                    numbers |= {piece.number for piece in frame.pieces}
                    size += sum(len(piece.data) for piece in frame.pieces)
            elif event.topic == TOPICS.state(DEVICE):
                for report in decode_report(event.payload, DEVICE).models:
                    if (report.state.value, report.version) == (state, version):
                        return report, numbers, size


@pytest.fixture
def house(mosquitto, tmp_path: Path) -> Iterator[House]:
    site = make_site(tmp_path / "site")
    url, stop = f"mqtt://127.0.0.1:{mosquitto.port}", threading.Event()
    links = {name: PahoLink(settings_from_url(url, name)) for name in ("depot", "driver", "tap")}
    gate = threading.Semaphore(1_000_000)
    depot = Depot(
        links["depot"],
        TOPICS,
        lambda: site.store,
        site.keyring,
        gate=lambda _: gate.acquire(),
    )
    driver = Steering(links["driver"], TOPICS, site.key, site.keyring, quiet_seconds=0.3)
    threads = [threading.Thread(target=each.run, args=(stop,), daemon=True) for each in (depot, driver)]
    for thread in threads:
        thread.start()
    for topic in (TOPICS.data(DEVICE), TOPICS.state(DEVICE)):
        links["tap"].subscribe(topic, qos=1)
    links["tap"].connect()
    yield House(site, url, gate, links["tap"])
    stop.set()
    gate.release(1_000_000)
    for thread in threads:
        thread.join(60)
    links["tap"].close()


@pytest.fixture
def device(mosquitto, house: House, tmp_path: Path) -> Iterator[Device]:
    model = ModelConfig(name=MODEL, max_batch=200)
    device = Device(tmp_path / "device", mosquitto.port, house.site, models=(model,))
    yield device
    if device.process is not None:
        device.kill()


def accuracy(device: Device) -> float:
    """Ask with a foreign client, all held-out images at once."""
    held_out = np.load(CARRIED / "heldout.npz")
    images, labels = held_out[held_out.files[0]], held_out[held_out.files[1]]
    client = triton.InferenceServerClient(f"127.0.0.1:{device.port()}")
    try:
        given = triton.InferInput("image", list(images.shape), "FP32")
        given.set_data_from_numpy(images.astype(np.float32))
        scores = client.infer(MODEL, [given]).as_numpy("logits")
    finally:
        client.close()
    return float((scores.argmax(axis=1) == labels).mean())


def test_the_carried_models_arrive_the_second_as_a_delta_and_go_back(house: House, device: Device) -> None:
    first, second = house.push("v1"), house.push("v2")
    device.start(*PATIENT)
    house.roll_out(first)
    report, _, size_first = house.await_report("ACTIVE", "v1")
    assert report.chunks_have == report.chunks_total == first.chunks
    before = accuracy(device)

    house.roll_out(second, first)
    report, _, size_second = house.await_report("ACTIVE", "v2")
    assert report.chunks_seeded == second.chunks - second.delta_chunks
    assert size_second < 0.35 * size_first
    assert report.bytes_resent == 0
    after = accuracy(device)
    assert min(before, after) >= 0.97

    house.roll_out(second, first, action="rollback")
    _, numbers, _ = house.await_report("ACTIVE", "v1")
    assert not numbers, "going back brings nothing over the link"
    assert accuracy(device) == before


@pytest.mark.parametrize("is_rotten", [False, True])
def test_when_all_weights_drift_a_patch_arrives_instead_of_the_model(
    house: House, device: Device, is_rotten: bool
) -> None:
    def pushed(step: int) -> PushResult:
        model, golden = drifting(house.site.folder / f"step-{step}", step, count=1_000_000)
        return push(house.site.store, PushRequest(model, golden, MODEL, f"v{step}"), house.site.key)

    first, second = pushed(0), pushed(1)
    device.start(*PATIENT)
    house.roll_out(first)
    report, _, size_first = house.await_report("ACTIVE", "v0")
    base = device.state / "versions" / first.artifact / "model.onnx"
    if is_rotten:
        data = bytearray(base.read_bytes())
        data[len(data) // 2] ^= 0x40
        base.write_bytes(data)
    house.roll_out(second, first)
    report, _, size = house.await_report("ACTIVE", "v1")
    (shipment,) = second.shipments
    print(
        f"{size} bytes of chunks instead of {size_first}, promised {shipment.bytes}; rotten base: {is_rotten}"
    )
    model = device.state / "versions" / second.artifact / "model.onnx"
    assert model.read_bytes() == (house.site.folder / "step-1" / "model.onnx").read_bytes()
    assert bool(report.patch_problem) == is_rotten
    assert (report.chunks_patched == report.chunks_total) == (not is_rotten)
    if not is_rotten:
        assert report.bytes_received <= 0.45 * size_first
    assert report.bytes_received >= size


def test_taking_back_the_first_version_leaves_nothing_served(
    house: House, device: Device, wait_until
) -> None:
    first = house.push("v1")
    device.start()
    house.roll_out(first)
    house.await_report("ACTIVE", "v1")
    house.roll_out(first, action="rollback")
    house.await_report("IDLE", "v1")
    wait_until(lambda: device.get(f"/v2/models/{MODEL}/ready")[0] != 200, "it is served no more")


def test_a_transfer_that_is_killed_goes_on_where_its_bitmap_ends(house: House, device: Device) -> None:
    big = house.site.push(MODEL, "v1", width=400_000)
    while house.gate.acquire(blocking=False):
        pass
    house.gate.release(8)  # the index, and seven frames of chunks
    device.start(*PATIENT)  # the depot stands still here, and must not get another request for the same
    house.roll_out(big)
    report, before, _ = _await_progress(house)
    device.kill()
    house.gate.release(1_000_000)
    device.start(*PATIENT)
    report, after, _ = house.await_report("ACTIVE", "v1")
    assert report.chunks_have == big.chunks
    committed = (
        before  # nothing more was on its way: the depot waited, and the report says that all of it is stored
    )
    print(f"killed in DOWNLOADING with {len(committed)} of {big.chunks} chunks stored")
    # What the depot had in hand for the killed daemon is one batch; all of it was asked for before the kill.
    assert not committed & after
    assert committed | after == set(range(big.chunks))


@pytest.mark.faults
@pytest.mark.timeout(240)
def test_a_kill_in_each_state_costs_nothing_with_the_real_depot(house: House, device: Device) -> None:
    big = house.site.push(MODEL, "v1", width=1_200_000)
    assert big.total_bytes > 32 * 1024 * 1024
    while house.gate.acquire(blocking=False):
        pass
    house.gate.release(8)  # then the depot waits in the middle of a request
    device.start(*PATIENT, "--hold", "SEEDING")
    house.roll_out(big)
    _kill_at(device, "SEEDING")
    device.start(*PATIENT)
    _, stored, _ = _await_progress(house)
    device.kill()
    print(f"killed in DOWNLOADING with {len(stored)} of {big.chunks} chunks stored")
    house.gate.release(1_000_000)
    for point in ("VERIFYING", "STAGED", "ACTIVATING"):
        device.start(*PATIENT, "--hold", point)
        _kill_at(device, point)
    device.start(*PATIENT)
    report, later = _await_active(house)
    assert report.chunks_have == report.chunks_total == big.chunks
    assert not stored & set(later), "a chunk that was stored came again"
    repeated, window = len(later) - len(set(later)), WINDOW_BYTES // (big.total_bytes // big.chunks)
    print(
        f"{repeated} chunks were in the depot's hands for the killed daemon and went to its successor again"
    )
    assert repeated <= window
    assert stored | set(later) == set(range(big.chunks))


def _kill_at(device: Device, point: str) -> None:
    assert device.held() == point
    device.kill()
    print(f"killed in {point}")


def _await_active(house: House) -> tuple[ModelReport, list[int]]:
    """Wait for ACTIVE; also give the number of every chunk that was sent meanwhile, as often as it was sent."""
    numbers: list[int] = []
    while True:
        event = house.tap.events.get(timeout=120)
        if not isinstance(event, Arrived) or not event.payload:
            continue
        if event.topic == TOPICS.data(DEVICE):
            frame = decode_frame(event.payload)
            if frame.kind is FrameKind.CHUNKS:
                numbers += [piece.number for piece in frame.pieces if piece.offset == 0]
        else:
            for report in decode_report(event.payload, DEVICE).models:
                if report.state.value == "ACTIVE":
                    return report, numbers


def _await_progress(house: House) -> tuple[ModelReport, set[int], int]:
    """Wait until what the depot has sent is stored on the device."""
    numbers = set[int]()
    while True:
        event = house.tap.events.get(timeout=120)
        if not isinstance(event, Arrived) or not event.payload:
            continue
        if event.topic == TOPICS.data(DEVICE):
            frame = decode_frame(event.payload)
            if frame.kind is FrameKind.CHUNKS:
                numbers |= {piece.number for piece in frame.pieces if piece.whole}
        else:
            for report in decode_report(event.payload, DEVICE).models:
                if (
                    numbers
                    and report.state.value == "DOWNLOADING"
                    and report.chunks_have >= len(numbers) > 50
                ):
                    return report, numbers, 0
