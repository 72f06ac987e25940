"""SIGKILL of the device, at random points and on both sides of every durable write: what was durable never comes again.

Every kill prints the state in which it hit. Afterwards the version serves, its files are equal byte by byte, and each
kill has cost at most the window and one batch.
"""

from __future__ import annotations

import random

import pytest

from edge_runtime.drill import WRITES
from tests.edge_runtime.conftest import Device, golden_file, linear_model
from tests.edge_runtime.faults.ledger import KIB, Ledger, assert_whole, look, start_until_active

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

MIB = 1024 * KIB
KILLS = 20


def files_of(version: int, ballast: bytes) -> dict[str, bytes]:
    return {"model.onnx": linear_model(version, ballast=ballast), "golden.npz": golden_file(version)}


def seeds(*, spare: int) -> list[object]:
    """Give one seed for every day, and some more that only `make test-all` takes."""
    return [1, *(pytest.param(seed, marks=pytest.mark.faults) for seed in range(2, 2 + spare))]


@pytest.mark.parametrize("seed", seeds(spare=2))
def test_twenty_kills_at_random_points_of_a_transfer(depot, device, keys, wait_until, seed: int) -> None:
    print(f"seed {seed}")
    source = random.Random(seed)
    files = files_of(2, source.randbytes(16 * MIB))
    made = keys.make("v2", files)
    depot.offer(made)
    ledger = Ledger(device, depot, made)
    for kills in range(KILLS, 0, -1):
        # A slow machine makes all durable that has come, and what is left has to do for the kills that are left.
        chunks = min(source.randrange(10, 130), ledger.missing() - 11 * kills)
        depot.pause_after(chunks)
        ledger.start()
        assert depot.reached_limit.wait(120)
        ledger.kill(f"after {chunks} more chunks")
    depot.resume()
    report = ledger.finish("v2", wait_until)
    assert device.infer([1, 0, 0, 0]) == ("v2", [0.0, 2.0, 4.0])
    assert_whole(device, made, files)
    assert any(ledger.judge()), "the kills hit chunks that were on their way"
    assert report.chunks_bad == 0


WAY = (
    # What a device makes durable on the way of a version, in order; the sides of each arrow among it.
    *("counter:before", "counter:after", "serving:before", "serving:after"),
    *("desired:before", "desired:after", "installation:before", "installation:after", "OFFERED"),
    *("manifest:before", "manifest:after", "index:before", "index:after", "OFFERED:done"),
    *("WAITING_WINDOW", "WAITING_WINDOW:done"),
    *(
        "SEEDING",
        "part:before",
        "part:after",
        "chunks:before",
        "chunks:after",
        "bitmap:before",
        "bitmap:after",
    ),
    *("tally:before", "tally:after", "SEEDING:done"),
    *("DOWNLOADING", "chunks:before", "chunks:after", "bitmap:before", "bitmap:after", "DOWNLOADING:done"),
    *("VERIFYING", "version:before", "version:after", "VERIFYING:done"),
    *("STAGED", "delete:before", "delete:after", "STAGED:done"),
    *("ACTIVATING", "ACTIVATING:done"),
    *("PROBATION", "PROBATION:done"),
    "ACTIVE",
)
AFTER = ("delete:before#2", "delete:after#2", "forget:before", "forget:after")
"""What follows when a third version pushes the first one off the disk."""
BESIDE = {"STAGED": "delete:before", "delete:before": "STAGED:done", "delete:after": "STAGED:done"}
"""What another thread does meanwhile, and must not have done before the kill, because a later point needs it."""
TWICE = ("SEEDING", "DOWNLOADING", "VERIFYING", "STAGED", "ACTIVATING", "PROBATION")


def some_of(way: tuple[str, ...], seed: int) -> tuple[str, ...]:
    """Choose one of each four neighbours; the order stays."""
    source = random.Random(seed)
    return tuple(source.choice(way[first : first + 4]) for first in range(0, len(way), 4))


def test_the_way_has_both_sides_of_every_durable_write() -> None:
    assert {*WAY, *(point.partition("#")[0] for point in AFTER)} >= {
        f"{write}:{side}" for write in WRITES for side in ("before", "after")
    }


def hold(device: Device, point: str) -> None:
    """Wait until the daemon stops at the point, and perhaps beside it."""
    announced = device.held()
    if announced == BESIDE.get(point):
        announced = device.held()
    assert announced == point.partition("#")[0]


@pytest.mark.parametrize("seed", [1, pytest.param(0, marks=pytest.mark.faults, id="all")])
def test_a_kill_on_both_sides_of_each_durable_write(depot, device, keys, wait_until, seed: int) -> None:
    print(f"seed {seed or 'none: all points'}")
    old = random.Random(4).randbytes(4 * MIB)  # 200 chunks, which are seeded 64 at a time
    ballasts = [old, old + random.Random(5).randbytes(5 * MIB), old[:MIB]]
    files = [files_of(number, ballast) for number, ballast in enumerate(ballasts, start=1)]
    first, second, third = (keys.make(f"v{number}", each) for number, each in enumerate(files, start=1))
    device.start()
    depot.offer(first)
    depot.wait_for_state("ACTIVE", "v1")
    assert device.stop() == 0

    depot.offer(second)
    ledger = Ledger(device, depot, second)
    for point in some_of(WAY, seed) if seed else WAY:
        ledger.start("--hold", point, *(("--hold", BESIDE[point]) if point in BESIDE else ()))
        hold(device, point)
        ledger.kill(f"at {point}")
    active = ledger.finish("v2", wait_until)
    assert device.infer([1, 0, 0, 0]) == ("v2", [0.0, 2.0, 4.0])
    assert_whole(device, second, files[1])
    ledger.judge()
    shared = {number for number, chunk in enumerate(second.chunks) if chunk in set(first.chunks)}
    assert not shared & set(depot.chunks_sent(second)), "what the device had came over the link"
    assert active.chunks_bad == 0
    if not seed:
        assert all(ledger.states.count(state) >= 2 for state in TWICE), ledger.states

    assert device.stop() == 0
    depot.offer(third)
    for point in AFTER:
        device.start("--hold", point)
        hold(device, point)
        # A daemon that is killed four times before it serves takes the version for the cause, and goes back.
        wait_until(lambda: device.get("/v2/health/ready")[0] == 200, "it serves")
        device.kill()
        print(f"killed at {point} in {look(device, third)[0]}")
    start_until_active(depot, device, "v3", wait_until)
    assert_whole(device, third, files[2])
    assert_whole(device, second, files[1])
    assert device.stop() == 0
    assert {path.name for path in (device.state / "versions").iterdir()} == {third.artifact, second.artifact}
    assert not list((device.state / "parts").iterdir()), "nothing is left of what a kill interrupted"
