"""Where the time of a request goes that comes alone: servers that do less and less, measured by turns with ours.

    ONNX Runtime alone           the model
    blocking, echo               the kernel's way there and back, two processes that are woken, the client
    blocking, model              both: what it takes more than their sum is caches that each empties for the other
    uvloop, model                an event loop instead of a `recv` that waits
    ours                         all that is a server: HTTP, the protocol, who may ask, order, batches, counts

Nobody who answers in Python through a socket can be faster than *blocking, model* on the same machine at that moment,
whatever its p50; `steps` says what ours does in the rest. `serving.py --only profile` prints both.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.asking.bodies import oip
from benchmarks.asking.contest import OURS, RAW, Alone, Asked, Contestant, Sample, command_of, name_of
from benchmarks.asking.models import Shape, image_of
from benchmarks.asking.process import Running, cpu_seconds
from benchmarks.housing.house import House

BLOCKING_ECHO, LOOP_ECHO = "blocking, echo", "uvloop, echo"
BLOCKING, LOOP = "blocking, model", "uvloop, model"
KINDS = {
    BLOCKING_ECHO: ("blocking", "echo"),
    LOOP_ECHO: ("loop", "echo"),
    BLOCKING: ("blocking", "model"),
    LOOP: ("loop", "model"),
}


@dataclass(frozen=True)
class Part:
    """A part of a request's p50."""

    what: str
    us: float


def measure(
    house: House, shape: Shape, folder: Path, *, repeat: int, seconds: float
) -> dict[str, list[Sample]]:
    """Measure everybody with one client, by turns."""
    model, image = house.folder / "models" / f"{name_of(shape)}-1.onnx", image_of(shape)
    request, pid = oip(name_of(shape))(image), house.daemon.process.pid
    found: dict[str, list[Sample]] = {}
    with ExitStack() as ending:
        alone = Alone(model, shape)
        ending.callback(alone.stop)
        everybody: list[Contestant] = [alone]
        for name, words in KINDS.items():
            command = [*command_of("bare", sys.executable, model, shape), *words]
            bare = ending.enter_context(Running(command, log=folder / "bare.log"))
            everybody.append(Asked(name, bare.address, request, bare.cpu_seconds, folder, at_once=1))
        address = f"127.0.0.1:{house.daemon.port}"
        everybody.append(Asked(OURS, address, request, lambda: cpu_seconds(pid), folder, at_once=1))
        for _ in range(repeat):
            for each in everybody:
                found.setdefault(each.name, []).append(each.sample(1, seconds))
    return found


def parts_of(found: dict[str, list[Sample]]) -> list[Part]:
    """Take the medians apart; the sum of all parts is our p50."""
    p50 = {who: statistics.median(each.p50_us for each in samples) for who, samples in found.items()}
    return [
        Part("the model alone", p50[RAW]),
        Part("there and back without it: kernel, two wake-ups, client", p50[BLOCKING_ECHO]),
        Part("both together: caches, deeper sleep", p50[BLOCKING] - p50[RAW] - p50[BLOCKING_ECHO]),
        Part("an event loop", p50[LOOP] - p50[BLOCKING]),
        Part("ours", p50[OURS] - p50[LOOP]),
    ]


def show(shape: str, found: dict[str, list[Sample]], parts: Sequence[Part]) -> None:
    """Print what everybody took and where our p50 goes."""
    for who, samples in found.items():
        p50, cpu = (sorted(getattr(each, figure) for each in samples) for figure in ("p50_us", "cpu_us"))
        print(
            f"{shape:<14} {who:<24} p50 {statistics.median(p50):8.1f} µs (least {p50[0]:8.1f})"
            f"  {statistics.median(cpu):8.1f} µs CPU (least {cpu[0]:8.1f})"
        )
    for part in parts:
        print(f"{shape:<14}   {part.what:<56} {part.us:8.1f} µs")
