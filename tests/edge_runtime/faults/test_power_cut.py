"""A power cut: what was not made durable by then is gone, or is anything at all. No bitmap ever speaks of such bytes.

A kill leaves the page cache behind, a power cut does not. So the daemon is killed between two durable writes (a fault
hook, `edge_runtime.drill`), and then the part file gets the content that it had at its last fdatasync.
"""

from __future__ import annotations

import random

import pytest

from tests.edge_runtime.conftest import golden_file, linear_model
from tests.edge_runtime.faults.ledger import Ledger, assert_whole, look
from toolkit.wire.digest import digest_of

pytestmark = pytest.mark.broker
MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("durable_at", "cut_at"),
    [
        ("chunks:after", "bitmap:before"),
        pytest.param("chunks:after", "chunks:before#2", marks=pytest.mark.faults),
        pytest.param("bitmap:after", "bitmap:before#2", marks=pytest.mark.faults),
        pytest.param("part:after", "chunks:before", marks=pytest.mark.faults),
    ],
)
def test_a_power_cut_between_fdatasync_and_bitmap(
    depot, device, keys, wait_until, durable_at: str, cut_at: str
) -> None:
    ballast = random.Random(cut_at).randbytes(4 * MIB)
    files = {"model.onnx": linear_model(2, ballast=ballast), "golden.npz": golden_file(2)}
    made = keys.make("v2", files)
    depot.offer(made)
    ledger = Ledger(device, depot, made)
    ledger.start("--hold", durable_at, "--hold", cut_at)
    assert device.held() == durable_at
    part = device.state / "parts" / made.artifact
    durable = part.read_bytes()
    device.go_on()
    assert device.held() == cut_at.partition("#")[0]
    ledger.kill(f"at {cut_at}")
    lost = sum(new != old for new, old in zip(part.read_bytes(), durable, strict=True))
    _, stored = look(device, made)
    part.write_bytes(durable)

    place = 0
    for number, chunk in enumerate(made.chunks):
        if number in stored:
            assert digest_of(durable[place : place + chunk.size]) == chunk.digest
        place += chunk.size
    report = ledger.finish("v2", wait_until)
    print(f"{lost} bytes were lost in the cut at {cut_at}, {len(stored)} chunks were in the bitmap")
    assert report.chunks_bad == 0, "the bitmap spoke of chunks that were not durable"
    assert_whole(device, made, files)
    ledger.judge()
