"""Inference on one machine: ours by each of its doors, ONNX Runtime alone, LitServe, BentoML and Ray Serve, in one run.

    python benchmarks/serving.py [--quick] [--json] [--repeat N] [--only CASE]...

Ours is the daemon `tiers-edge run` with installed, signed models. A *tiny* model (20 µs) shows what a server costs, a
*real* one (2.3 ms) whether it is in the way; images have 4 kB or 256 kB. Peers are tuned as their documentation says
(batching, access log off, raw bytes or base64 instead of numbers in JSON) and live in an environment of their own:
scripts/bring-serving-peers. Triton and OpenVINO Model Server come as container images only, so they are missing here.

A closed loop of 1, 8 and 64 clients in a process of its own; everybody runs at the same time and is measured by turns;
the table has medians. Look at the processor time first: clients and servers share the cores.

Then the *plain* server (one request after the other, JSON, no batches, nothing kept, as many teams start) and ours
under a rising open loop with images that come again, see `asking.ramp`. Published for such a change: a mean response of
1.2 s down to 380 ms (3.2 times) and 1,200 up to 4,500 requests a second (3.75 times).

`--only profile` says where the time of a request goes that comes alone: `asking.floors` and `asking.steps`.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from collections.abc import Iterator

from benchmarks.asking import contest, floors
from benchmarks.asking.bodies import listed, oip
from benchmarks.asking.contest import OURS, RAW, Sample, contestants, name_of, open_house, peers_python
from benchmarks.asking.load import ROOT
from benchmarks.asking.models import SHAPES, Shape
from benchmarks.asking.process import Running
from benchmarks.asking.ramp import Ramp, Step
from benchmarks.housing.house import House
from benchmarks.housing.waiting import leave_nobody_behind
from toolkit.wire.device_config import CacheConfig, ModelConfig

Row = dict[str, object]
Found = dict[tuple[str, int, str], list[Sample]]
"""Shape, clients, who -> samples."""

CLIENTS = (1, 8, 64)
CPU_US = 60.0
"""Processor time of ours for a request of 4 kB to the tiny model at 64 clients."""
TIMES_LITSERVE = 10.0
OF_RAW = 0.95
"""Share of ONNX Runtime's own throughput with the real model at 64 clients."""
ABOVE_RAW_US = 150.0
"""Median at one client above ONNX Runtime's own."""
FASTER, MORE = 3.2, 3.75
"""Against the plain server: its mean response divided by ours, and our highest rate by its."""
RAMP = SHAPES["real, 4 kB"]
FIRST_RATE = 40.0
# All targets were frozen before the first run.


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    shapes: tuple[str, ...]
    clients: tuple[int, ...]
    seconds: float
    repeat: int
    step_seconds: float


FULL = Size(tuple(SHAPES), CLIENTS, 0.25, 5, 3.0)
QUICK = Size(("tiny, 4 kB", "real, 4 kB"), (1, 64), 0.3, 1, 1.0)


def measure(house: House, size: Size, folder: Path) -> Found:
    """Measure everybody in every case, by turns."""
    found: Found = {}
    for name in size.shapes:
        with ExitStack() as ending:
            everybody = contestants(house, SHAPES[name], folder, ending)
            for _ in range(size.repeat):
                for clients in size.clients:
                    for each in everybody:
                        found.setdefault((name, clients, each.name), []).append(
                            each.sample(clients, size.seconds)
                        )
    return found


@contextmanager
def with_cache(folder: Path, shape: Shape) -> Iterator[House]:
    """Run our daemon with one model whose answers are kept."""
    name = name_of(shape)
    config = ModelConfig(
        name=name, max_batch=contest.max_batch_of(shape), queue=contest.QUEUE, cache=CacheConfig()
    )
    house = House(folder, {name: shape}, (config,))
    try:
        yield house
    finally:
        house.close()


def against_plain(folder: Path, python: Path | str, seconds: float) -> list[Row]:
    """Let both climb; then measure ours where the plain server is at its end."""
    name = name_of(RAMP)
    with with_cache(folder / "kept", RAMP) as house:
        model = house.folder / "models" / f"{name}-1.onnx"
        with Running(contest.command_of("plain", python, model, RAMP), log=folder / "plain.log") as plain:
            theirs = Ramp(plain.address, listed("/predict"), RAMP, folder, 0)
            best_plain = theirs.climb(FIRST_RATE, seconds)
            if not best_plain.kept:
                print(
                    f"the plain server keeps not even {FIRST_RATE} requests/s: is the machine busy?",
                    file=sys.stderr,
                )
                return []
        ours = Ramp(f"127.0.0.1:{house.daemon.port}", oip(name), RAMP, folder, 0)
        same = ours.step(best_plain.rate, seconds)
        best_ours = ours.climb(best_plain.rate, seconds)
    return plain_rows(best_plain, same, best_ours)


def plain_rows(plain: Step, same: Step, best: Step) -> list[Row]:
    """Judge the climb."""
    faster, more = plain.mean / same.mean, best.rate / plain.rate
    return [
        row(
            f"mean at {plain.rate:.0f} requests/s, plain server",
            same.mean * 1e3,
            plain.mean * 1e3,
            "ms",
            faster,
            FASTER,
            met=faster >= FASTER,
        ),
        row(
            "highest rate with p99 < 500 ms, plain server",
            best.rate,
            plain.rate,
            "requests/s",
            more,
            MORE,
            met=more >= MORE,
        ),
    ]


def profile(house: House, size: Size, folder: Path) -> list[Row]:
    """Print where the time of a request goes that comes alone."""
    rows: list[Row] = []
    for name in size.shapes:
        found = floors.measure(house, SHAPES[name], folder, repeat=size.repeat, seconds=size.seconds)
        parts = floors.parts_of(found)
        floors.show(name, found, parts)
        rows += [row(f"{name}, 1 client: {part.what}", part.us, None, "µs p50", None) for part in parts]
    steps = [sys.executable, "-m", "benchmarks.asking.steps", *size.shapes]
    subprocess.run(steps, cwd=ROOT, check=True)
    return rows


# ---------------------------------------------------------------- judging
def row(
    case: str,
    ours: float,
    peer: float | None,
    unit: str,
    ratio: float | None,
    target: float | None = None,
    *,
    met: bool | None = None,
) -> Row:
    """Make a row."""
    return {
        "case": case,
        "ours": round(ours, 2),
        "peer": None if peer is None else round(peer, 2),
        "unit": unit,
        "ratio": None if ratio is None else round(ratio, 3),
        "target": target,
        "met": met,
    }


def median(samples: list[Sample]) -> Sample:
    """Give the median of each figure."""
    return Sample(
        *(statistics.median(each) for each in zip(*(vars(s).values() for s in samples), strict=True))
    )


def rows_of(found: Found) -> list[Row]:
    """Judge what was measured; a ratio is ours divided by the peer's."""
    medians = {key: median(samples) for key, samples in found.items()}
    rows: list[Row] = []
    for (shape, clients, who), theirs in medians.items():
        if who == OURS:
            continue
        ours = medians[shape, clients, OURS]
        case = f"{shape}, {clients} clients, {who}"
        times, share = ours.rate / theirs.rate, None
        target: float | None = None
        if who == "LitServe" and (shape, clients) == ("tiny, 4 kB", 64):
            target, share = TIMES_LITSERVE, times >= TIMES_LITSERVE
        elif who == RAW and shape.startswith("real") and clients == 64:
            target, share = OF_RAW, times >= OF_RAW
        rows.append(row(case, ours.rate, theirs.rate, "requests/s", times, target, met=share))
        rows.append(row(case, ours.cpu_us, theirs.cpu_us, "µs CPU/request", ours.cpu_us / theirs.cpu_us))
        rows.append(row(case, ours.p50_us, theirs.p50_us, "µs p50", ours.p50_us / theirs.p50_us))
        rows.append(row(case, ours.p99_us, theirs.p99_us, "µs p99", ours.p99_us / theirs.p99_us))
        if who == RAW and clients == 1:
            above = ours.p50_us - theirs.p50_us
            limit = ABOVE_RAW_US
            rows.append(row(f"{shape}, p50 above {who}", above, None, "µs", None, limit, met=above <= limit))
    if ("tiny, 4 kB", 64, OURS) in medians:
        cpu = medians["tiny, 4 kB", 64, OURS].cpu_us
        case = "tiny, 4 kB, 64 clients"
        rows.append(row(case, cpu, None, "µs CPU/request", None, CPU_US, met=cpu <= CPU_US))
    return rows


# ---------------------------------------------------------------- printing
def show(found: Found, rows: list[Row]) -> None:
    """Print what each did, then what was promised."""
    print(f"{'case':<24} {'who':<26} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'µs CPU':>8}")
    for (shape, clients, who), samples in found.items():
        each = median(samples)
        figures = (
            f"{each.rate:>10.0f} {each.p50_us / 1e3:>8.3f} {each.p99_us / 1e3:>8.2f} {each.cpu_us:>8.0f}"
        )
        print(f"{shape + ', ' + str(clients):<24} {who:<26} {figures}")
    print()
    for each_row in rows:
        if each_row["target"] is not None:
            print(
                f"{each_row['case']:<52} {each_row['ours']:>9} {each_row['peer'] or '':>9} {each_row['unit']:<15}"
                f" {each_row['ratio'] or '':>7}  {each_row['target']} {'met' if each_row['met'] else 'MISSED'}"
            )


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="two models, short loops, one repetition: for CI"
    )
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--repeat", type=int, default=0, help="repetitions (default 5, quick 1)")
    parser.add_argument(
        "--only", choices=("contest", "plain", "profile"), action="append", help="run one part"
    )
    given = parser.parse_args()
    leave_nobody_behind()
    logging.basicConfig(level=logging.ERROR)
    size = QUICK if given.quick else FULL
    if given.repeat:
        size = Size(size.shapes, size.clients, size.seconds, given.repeat, size.step_seconds)
    parts = given.only or ("contest", "plain")
    python = peers_python()
    if python is None:
        print("no peers are here; to bring them: scripts/bring-serving-peers", file=sys.stderr)
    found: Found = {}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="tiers-serving-") as name:
        folder = Path(name)
        if "contest" in parts or "profile" in parts:
            house = open_house(folder)
            try:
                found = measure(house, size, folder) if "contest" in parts else {}
                rows += rows_of(found)
                rows += profile(house, size, folder) if "profile" in parts else []
            finally:
                house.close()
        if "plain" in parts and python is not None:
            rows += against_plain(folder, python, size.step_seconds)
    if given.json:
        print(json.dumps({"benchmark": "serving", "rows": rows}, indent=2))
    else:
        show(found, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
