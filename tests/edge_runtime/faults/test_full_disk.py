"""A disk that is full at each step of an installation: it is said, what serves goes on, and with room all is made good.

The state folder lies on a tmpfs of its own, which is filled to the last page while the daemon stands before the step.
Where mounting is not allowed, tests/edge_runtime/test_transfer.py and test_shelf.py show the same with fault hooks.
"""

from __future__ import annotations

import errno
import http.client
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.edge_runtime.conftest import Device, golden_file, linear_model
from tests.edge_runtime.faults.ledger import BOUND, assert_whole, paced, sent_again
from toolkit.wire.device_config import ServingConfig

pytestmark = pytest.mark.broker
MIB = 1024 * 1024
FEW = {"part:before": 512 * 1024, "VERIFYING": 512 * 1024}
ALL = {"index:before": 0, **FEW, "bitmap:before": 0}
"""Step -> bytes that are left; with nothing left even the failure cannot be saved before there is room again."""


ORDER = ("index:before", "part:before", "bitmap:before", "VERIFYING")


@pytest.fixture
def small_disk(device: Device) -> Iterator[Path]:
    device.state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(device.state)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs hardware: a kernel in which this user may mount a tmpfs")
    yield device.state
    if device.process is not None:
        device.kill()
    # Lazily: a golden check that lost its parent may still read there.
    subprocess.run(["umount", "--lazy", str(device.state)], check=True)


class Filler:
    """A file that takes what room there is."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "filler"

    def fill(self, spare: int) -> None:
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT)
        try:
            while not self._filled(descriptor, spare):
                pass
        finally:
            os.close(descriptor)

    def _filled(self, descriptor: int, spare: int) -> bool:
        """Take the room; False when the daemon was faster and took some of it."""
        room = os.statvfs(self._file)
        try:
            os.posix_fallocate(descriptor, 0, room.f_bavail * room.f_frsize - spare)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return False
        return True

    def free(self) -> None:
        self._file.unlink()


@pytest.mark.parametrize("steps", [FEW, pytest.param(ALL, marks=pytest.mark.faults)], ids=["few", "all"])
def test_a_disk_that_is_full_at_each_step(
    small_disk: Path, depot, device, keys, wait_until, steps: dict[str, int]
) -> None:
    filler = Filler(small_disk)
    device.start(*paced())
    depot.offer(keys.model("v1"))
    depot.wait_for_state("ACTIVE", "v1")
    assert device.stop() == 0

    ballast = random.Random(6).randbytes(6 * MIB)
    files = {"model.onnx": linear_model(2, ballast=ballast), "golden.npz": golden_file(2)}
    made = keys.make("v2", files)
    device.start(*paced(), *(option for step in steps for option in ("--hold", step)))
    for number, step in enumerate(sorted(steps, key=ORDER.index)):
        depot.offer(made, rollout=f"r{number}")
        assert device.held() == step
        filler.fill(steps[step])
        before = complaints(device)
        device.go_on()
        # A step before may have complained twice; room that comes before this step has failed would let it succeed.
        wait_until(lambda: complaints(device) > before, f"it says at {step} that the disk is full")  # noqa: B023
        assert device.infer([1, 0, 0, 0]) == ("v1", [0.0, 1.0, 2.0])
        filler.free()
        report = depot.wait_for(
            lambda model: (model.state.value, model.rollout) == ("FAILED", f"r{number}")  # noqa: B023
        )
        print(f"{step}: {report.code}: {report.reason}")
        assert report.code in {"no-space", "io-error"}
        assert report.serving_version == "v1"
    sent = len(depot.chunks_sent(made))
    depot.offer(made, rollout="r-last")
    depot.wait_for(lambda model: (model.state.value, model.serving_version) == ("ACTIVE", "v2"))
    assert_whole(device, made, files)
    assert depot.chunks_sent(made)[sent:] == [], "what was stored when the disk filled up is used"
    print(f"{sent_again(depot, made)} bytes came again after {len(steps)} full disks; allowed: {BOUND} each")
    assert sent_again(depot, made) <= len(steps) * BOUND


@pytest.mark.parametrize(
    "killed", [True, pytest.param(False, marks=pytest.mark.faults)], ids=["killed", "stopped"]
)
def test_a_disk_that_is_full_at_the_start(
    small_disk: Path, depot, device, keys, wait_until, free_port, killed: bool
) -> None:
    """What is installed serves all the same, and with room the device goes on by itself."""
    filler, port = Filler(small_disk), free_port()
    device.config = replace(device.config, serving=ServingConfig(port=port))
    device.write_config()
    device.start(*paced())
    depot.offer(keys.model("v1"))
    depot.wait_for_state("ACTIVE", "v1")
    if killed:
        device.kill()
    else:
        assert device.stop() == 0
    filler.fill(0)
    device.start(*paced())
    wait_until(lambda: serves(device, port), "it serves")
    assert not (device.state / "serving.json").exists(), "the disk was full indeed"
    filler.free()
    depot.offer(keys.model("v2"), rollout="r2")
    depot.wait_for_state("ACTIVE", "v2")
    assert device.process.poll() is None


def serves(device: Device, port: int) -> bool:
    """Ask whether all models are ready, without the file that says where the daemon serves."""
    assert device.process.poll() is None, device.log()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def complaints(device: Device) -> int:
    """Count how often the log has said that the disk is full."""
    log = device.log()
    return log.count("No space left") + log.count("disk is full")
