"""What faults cost: what a device had made durable at each of them, and what the depot had to send a second time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edge_runtime.store import Store
from tests.edge_runtime.conftest import Depot, Device, Keys, Made, golden_file, linear_model
from toolkit.protocol.transfer import COMMIT_BYTES
from toolkit.wire.report import ModelReport
from toolkit.wire.states import InstallState

KIB = 1024
WINDOW = 512 * KIB
SMALL = (f"max_window={WINDOW}", "start_window=131072")
"""A window that is small beside the artifacts of these tests."""
LITTLE = ("first_timeout=1", "min_timeout=1", "max_timeout=2")
"""Seconds of patience where much is lost on the way, and what is sent again is not counted."""
SOME = ("first_timeout=5", "min_timeout=5", "max_timeout=5")
"""Where something is lost once and the bytes are counted: each time-out of a busy machine costs up to a window more."""
MUCH = ("first_timeout=60", "min_timeout=60", "max_timeout=60")
"""Where nothing is lost on the way, so that a busy machine is not taken for a fault."""
BOUND = WINDOW + COMMIT_BYTES
"""The most bytes that one fault may cost (docs/formats.md)."""


def make(keys: Keys, seed: int, size: int = 4 * 1024 * KIB) -> tuple[Made, dict[str, bytes]]:
    """Make v1 of the linear model with so much ballast; also give its files."""
    ballast = random.Random(seed).randbytes(size)
    files = {"model.onnx": linear_model(1, ballast=ballast), "golden.npz": golden_file(1)}
    return keys.make("v1", files), files


def sent_again(depot: Depot, made: Made) -> int:
    """Give the bytes of all chunks that were sent, less those of the artifact."""
    sent = sum(made.chunks[number].size for number in depot.chunks_sent(made))
    return sent - sum(chunk.size for chunk in made.chunks)


def paced(patience: tuple[str, ...] = LITTLE) -> list[str]:
    """Give the options of a daemon with the small window and this patience."""
    return [option for limit in (*SMALL, *patience) for option in ("--pace", limit)]


def look(device: Device, made: Made) -> tuple[InstallState | None, set[int]]:
    """Read what a killed daemon has saved: the state, and the chunks that its bitmap has."""
    store = Store(device.state / "edge.sqlite")
    try:
        held = list(store.installations().values())
        bitmap = store.bitmap(made.artifact, len(made.chunks))
    finally:
        store.close()
    return held[0].state if held else None, set(range(len(made.chunks))) - set(bitmap.missing())


def start_until_active(
    depot: Depot, device: Device, version: str, wait_until: Callable[..., None]
) -> ModelReport:
    """Start the daemon without a drill and wait until this start of it says that the version is ACTIVE and serves."""
    store = Store(device.state / "edge.sqlite")
    try:
        starts = store.count("starts") + 1
    finally:
        store.close()
    device.start(*paced(MUCH))

    def arrived() -> bool:
        if depot.last is None or depot.last.starts != starts:
            return False
        (model,) = depot.last.models
        return (model.state.value, model.version, model.serving_version) == ("ACTIVE", version, version)

    wait_until(arrived, f"{version} is ACTIVE and serves")
    assert depot.last is not None
    return depot.last.models[0]


def assert_whole(device: Device, made: Made, files: dict[str, bytes]) -> None:
    """Compare every file of an installed version with what the registry was given, byte by byte."""
    folder = device.state / "versions" / made.artifact
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == files


@dataclass(frozen=True)
class Fault:
    """One fault: where it hit, what was durable after it, and how many chunks had been sent."""

    what: str
    durable: frozenset[int]
    sent: int


class Ledger:
    """Kills a device, writes down what was durable at each kill, and judges what the kills cost."""

    def __init__(self, device: Device, depot: Depot, made: Made) -> None:
        self.device, self.depot, self.made = device, depot, made
        self.faults: list[Fault] = []
        self.states: list[str] = []
        self._killed: tuple[str, frozenset[int]] | None = None

    def start(self, *options: str) -> None:
        """Start the daemon. What the depot still sent to its predecessor counts as sent before the fault."""
        self._close_entry()
        self.device.start(*paced(MUCH), *options)

    def finish(self, version: str, wait_until: Callable[..., None]) -> ModelReport:
        """Start the daemon for the last time and wait until the version is ACTIVE and serves."""
        self._close_entry()
        return start_until_active(self.depot, self.device, version, wait_until)

    def kill(self, what: str) -> InstallState | None:
        """SIGKILL the daemon now."""
        self.device.kill()
        state, durable = look(self.device, self.made)
        self.states.append(state.value if state else "")
        self._killed = what, frozenset(durable)
        print(
            f"killed {what} in {self.states[-1] or 'no state'}: {len(durable)} of {len(self.made.chunks)} durable"
        )
        return state

    def kill_at(self, point: str) -> InstallState | None:
        """Start, wait until the daemon stops at the point, and kill it there."""
        self.start("--hold", point)
        assert self.device.held() == point.partition("#")[0]
        return self.kill(f"at {point}")

    def missing(self) -> int:
        """Give the number of chunks that were not durable at the last kill."""
        return len(self.made.chunks) - (len(self._killed[1]) if self._killed else 0)

    def judge(self) -> list[int]:
        """Assert that no kill cost more than it may and that nothing durable was sent again; give bytes per kill."""
        self._close_entry()
        sent = self.depot.chunks_sent(self.made)
        costs, before, durable = list[int](), 0, frozenset[int]()
        for fault in self.faults:
            since = sent[before : fault.sent]
            gained = (fault.durable - durable) & set(since)
            costs.append(self._size(since) - self._size(gained))
            again = fault.durable & set(sent[fault.sent :])
            assert not again, (
                f"{len(again)} chunks that were durable when it was killed {fault.what} came again"
            )
            before, durable = fault.sent, fault.durable
        rest = sent[before:]
        assert self._size(rest) - self._size(set(rest)) <= BOUND, "without a fault nothing is sent twice"
        print(f"bytes lost per kill: {costs}; allowed: {BOUND}")
        assert max(costs, default=0) <= BOUND
        return costs

    def _close_entry(self) -> None:
        if self._killed is not None:
            what, durable = self._killed
            self.depot.settle()
            self.faults.append(Fault(what, durable, len(self.depot.chunks_sent(self.made))))
            self._killed = None

    def _size(self, numbers: Iterable[int]) -> int:
        return sum(self.made.chunks[number].size for number in numbers)
