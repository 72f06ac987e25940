"""The three phases of `soak.py`, each on a device that serves: swaps and broker cuts, kills, overload.

Each starts the client, does its mischief meanwhile, and judges what the client wrote down.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.asking.models import SHAPES
from benchmarks.housing.house import House
from benchmarks.housing.waiting import wait_for
from benchmarks.soaking import judging
from benchmarks.soaking.client import PATIENCE_SECONDS, Plan, Stream
from benchmarks.soaking.judging import Asked, Fault, Reign
from toolkit.wire.device_config import ModelConfig

ROOT = Path(__file__).resolve().parents[2]
SAMPLE_SECONDS = 0.25
HEAT_SECONDS = 2.0
DOWN_SECONDS = 1.0
"""How long a cut broker is away."""
LONGEST_SECONDS = 150.0
"""For a swap that does not come."""
EMERGENCY, BATCH = 1, 3
MAX_BATCH, QUEUE = 8, 50
MODELS = {"small": SHAPES["tiny, 4 kB"], "large": SHAPES["real, 4 kB"]}
"""Models of the device: one that takes 20 µs, and one that takes some ms."""
CONFIGS = tuple(ModelConfig(name=name, max_batch=MAX_BATCH, queue=QUEUE) for name in MODELS)


@dataclass(frozen=True)
class Times:
    """Seconds."""

    phase: float
    swap_every: float
    kill_every: float
    warm_up: float
    """At the start of the first phase, not counted for the growth of memory."""


@dataclass
class Found:
    """What a phase found; what is left empty does not belong to it."""

    kinds: Counter[str] = field(default_factory=Counter)
    strange: list[Asked] = field(default_factory=list)
    wrong: list[Asked] = field(default_factory=list)
    swaps: int = 0
    cuts: int = 0
    growth_a_minute: float = 0.0
    rss: int = 0
    accepted: int = 0
    """Records that the device took."""
    lost: set[str] = field(default_factory=set)
    doubled: list[str] = field(default_factory=list)
    away: list[float] = field(default_factory=list)
    """Seconds from each kill until every model answered again."""
    unloaded_p99: float = 0.0
    loaded_p99: float = 0.0
    batch_seconds: float = 0.0
    """One call of the largest batch, alone."""
    by_stream: dict[str, Counter[str]] = field(default_factory=dict)


def make_house(folder: Path) -> House:
    """Start everything, with two versions of each model in the registry."""
    return House(folder, MODELS, CONFIGS, versions=2)


@contextmanager
def asking(house: House, name: str, *streams: Stream) -> Iterator[list[Asked]]:
    """Let the client ask meanwhile; the list is full when the block has ended."""
    file = house.folder / f"{name}.tsv"
    plan = Plan(house.daemon.port, str(file), [asdict(each) for each in streams])
    command = [sys.executable, "-m", "benchmarks.soaking.client", json.dumps(asdict(plan))]
    asked: list[Asked] = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as client:
        try:
            assert client.stdout is not None
            client.stdout.readline()
            yield asked
            client.terminate()
            if client.wait(2 * PATIENCE_SECONDS):
                raise SystemExit("the client of the soak failed")
            asked += judging.read(file)
        finally:
            client.kill()


SMALL = Stream("small", 100, "small", "tiny, 4 kB")
LARGE = Stream("large", 20, "large", "real, 4 kB")
RECORDS = Stream("records", 25)


def whole_batches(model: str, shape: str) -> Stream:
    """Give requests that are a largest batch by themselves, now and then."""
    return Stream(f"whole batch, {model}", 4, model, shape, EMERGENCY, rows=MAX_BATCH)


def swaps(house: House, times: Times) -> Found:
    """Swap the small model's version again and again, and cut the broker off between two; at least one of each."""
    found, samples, reigns, served = Found(), list[tuple[float, float]](), list[Reign](), 0.0
    version = 1
    with asking(
        house, "heat", whole_batches("small", "tiny, 4 kB"), whole_batches("large", "real, 4 kB")
    ) as heated:
        time.sleep(HEAT_SECONDS)  # else the first large batch, whenever it comes, would look like growth
    with asking(house, "swaps", SMALL, LARGE) as asked:
        began = time.monotonic()
        swap_at, cut_at = times.swap_every / 2, times.swap_every
        while (now := time.monotonic() - began) < times.phase or not (found.swaps and found.cuts):
            if now > times.phase + LONGEST_SECONDS:
                raise SystemExit(
                    f"no swap within {LONGEST_SECONDS} s; the daemon's log:\n{house.daemon.log()}"
                )
            if served == math.inf and house.operator.serves("small", version):
                served = time.monotonic()
                found.swaps += 1
            if now >= swap_at and served < math.inf:
                swap_at += times.swap_every
                reigns.append(Reign(served, time.monotonic(), version))
                version, served = 3 - version, math.inf
                house.operator.want(small=version)
            if now >= cut_at and served < math.inf:
                cut_at += times.swap_every
                house.broker.kill()
                time.sleep(DOWN_SECONDS)
                house.broker.start()
                found.cuts += 1
            samples.append((now, house.daemon.rss))
            time.sleep(SAMPLE_SECONDS)
        reigns.append(Reign(served, time.monotonic(), version))
    small = [each for each in asked if each.stream == "small"]
    found.kinds, found.strange = judging.kinds([*heated, *asked], [])
    found.wrong = judging.wrong_versions(small, reigns) + judging.wrong_versions(set(asked) - set(small))
    lines = (f"{moment:.2f}\t{int(size)}\n" for moment, size in samples)
    (house.folder / "memory.tsv").write_text("".join(lines))
    counted = [each for each in samples if each[0] >= times.warm_up]
    found.growth_a_minute, found.rss = judging.growth(counted), int(samples[-1][1])
    return found


def kills(house: House, times: Times) -> Found:
    """SIGKILL the daemon again and again, and start it at once; meanwhile records are put down too."""
    found = Found()
    with asking(house, "kills", SMALL, LARGE, RECORDS) as asked:
        until = time.monotonic() + times.phase
        while time.monotonic() < until:
            time.sleep(times.kill_every / 2)
            found.away.append(house.daemon.kill().seconds)
            time.sleep(times.kill_every / 2)
    faults = [Fault(kill.at, kill.ready) for kill in house.daemon.kills]
    found.kinds, found.strange = judging.kinds(asked, faults)
    found.wrong = judging.wrong_versions(each for each in asked if each.stream != RECORDS.name)
    put = [each for each in asked if each.stream == RECORDS.name]
    with suppress(SystemExit):  # then the lost ones are what is found
        wait_for(lambda: not judging.records(put, house.operator.records())[0], "all records are brought in")
    found.lost, found.doubled = judging.records(put, house.operator.records())
    found.accepted = sum(each.status == 200 for each in put)
    return found


def overload(house: House, times: Times, *, emergencies: float = 20, flood: float = 3) -> Found:
    """Ask for emergencies alone, then while batch requests come at `flood` times what the device can do."""
    found = Found()
    urgent = Stream("emergency", emergencies, "large", "real, 4 kB", EMERGENCY)
    with asking(house, "unloaded", urgent) as unloaded:
        time.sleep(times.phase / 2)
    with asking(house, "whole", whole_batches("large", "real, 4 kB")) as alone:
        time.sleep(times.phase / 4)
    found.unloaded_p99 = judging.percentile([each.seconds for each in unloaded], 99)
    found.batch_seconds = judging.percentile([each.seconds for each in alone], 50)
    rate = flood * MAX_BATCH / found.batch_seconds
    batch = Stream("batch", rate, "large", "real, 4 kB", BATCH)
    # Two clients, so that the flood does not hold up the one whose answers are timed.
    with asking(house, "flood", batch) as shed, asking(house, "emergencies", urgent) as loaded:
        time.sleep(times.phase)
    everything = [*unloaded, *alone, *shed, *loaded]
    found.kinds, found.strange = judging.kinds(everything, [])
    found.wrong = judging.wrong_versions(everything)
    found.by_stream = {
        "emergency": judging.kinds(loaded, [])[0],
        "batch": judging.kinds(shed, [])[0],
    }
    found.loaded_p99 = judging.percentile([each.seconds for each in loaded if each.status == 200], 99)
    return found
