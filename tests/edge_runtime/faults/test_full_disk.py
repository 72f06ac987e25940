"""A disk that is full at each step of an installation: it is said, what serves goes on, and with room all is made good.

The state folder lies on a tmpfs of its own, which is filled to the last page while the daemon stands before the step.
Where mounting is not allowed, tests/edge_runtime/test_transfer.py and test_shelf.py show the same with fault hooks.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge_runtime.conftest import Device, golden_file, linear_model
from tests.edge_runtime.faults.ledger import BOUND, assert_whole, paced, sent_again

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
    subprocess.run(["umount", str(device.state)], check=True)


class Filler:
    """A file that takes what room there is."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "filler"

    def fill(self, spare: int) -> None:
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT)
        try:
            room = os.statvfs(self._file)
            os.posix_fallocate(descriptor, 0, room.f_bavail * room.f_frsize - spare)
        finally:
            os.close(descriptor)

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
        device.go_on()
        wait_until(lambda: full(device, number), f"the daemon says at {step} that the disk is full", 30)  # noqa: B023
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


def full(device: Device, times: int) -> bool:
    """Tell whether the log has complained of the disk more often than so many times."""
    log = device.log()
    return log.count("No space left") + log.count("disk is full") > times
