"""Hours beside a patient, in minutes: swaps and broker cuts, kills, and more requests than the device can answer.

    python benchmarks/soak.py [--quick] [--json] [--seconds N] [--folder DIR] [--only PHASE]...

A real daemon with a real Mosquitto, a real depot and signed artifacts. The client records every request: it is
answered, refused with a status, or cut by a kill of the fault log; a fourth kind fails the soak. Each answer's scores
prove the version that it names.

  swaps     a new version every 20 s, the broker cut off between two: memory must not grow by 1 % a minute
  kills     SIGKILL every 60 s (quick: 20 s), while records are put down: ready again within 2 s, no accepted record
            lost, none twice
  overload  three times as many batch requests as the device can answer, and emergencies: their 99th percentile may be
            one largest batch above that of an idle device, while batch requests are refused

A phase takes 10 minutes, with --quick 60 s. There is no peer: the bounds are the product's promises.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.housing.waiting import leave_nobody_behind
from benchmarks.soaking import phases
from benchmarks.soaking.judging import SHOWN
from benchmarks.soaking.phases import Found, Times, make_house

Row = dict[str, object]
FULL, QUICK = 600.0, 60.0
GROWTH_A_MINUTE = 0.01
AWAY_SECONDS = 2.0


def row(case: str, ours: float, unit: str, target: float | None, *, met: bool | None) -> Row:
    """Make a row; there is no peer to divide by, so the ratio is to the target."""
    ratio = round(ours / target, 3) if target else None
    return {
        "case": case,
        "ours": round(ours, 4),
        "peer": None,
        "unit": unit,
        "ratio": ratio,
        "target": target,
        "met": met,
    }


def safety(name: str, found: Found) -> list[Row]:
    """What every phase promises."""
    for each in [*found.strange[:SHOWN], *found.wrong[:SHOWN]]:
        print(f"{name}: {each}", file=sys.stderr)
    ends = ", ".join(f"{count} {kind}" for kind, count in sorted(found.kinds.items()))
    return [
        row(
            f"{name}: requests of a fourth kind ({ends})",
            len(found.strange),
            "requests",
            0,
            met=not found.strange,
        ),
        row(f"{name}: answers by a wrong version", len(found.wrong), "answers", 0, met=not found.wrong),
    ]


def rows_of_swaps(found: Found) -> list[Row]:
    """Judge swaps and broker cuts."""
    grows = found.growth_a_minute
    case = f"memory after them {found.rss / 2**20:.0f} MiB, its growth"
    return [
        *safety(f"{found.swaps} swaps, {found.cuts} cuts", found),
        row(case, grows * 100, "% a minute", GROWTH_A_MINUTE * 100, met=grows < GROWTH_A_MINUTE),
    ]


def rows_of_kills(found: Found) -> list[Row]:
    """Judge kills."""
    slowest = max(found.away)
    return [
        *safety(f"{len(found.away)} kills", found),
        row(
            f"accepted records lost (of {found.accepted})", len(found.lost), "records", 0, met=not found.lost
        ),
        row("records kept twice", len(found.doubled), "records", 0, met=not found.doubled),
        row("slowest return from a kill", slowest, "s", AWAY_SECONDS, met=slowest < AWAY_SECONDS),
    ]


def rows_of_overload(found: Found) -> list[Row]:
    """Judge overload."""
    allowed, loaded = (found.unloaded_p99 + found.batch_seconds) * 1e3, found.loaded_p99 * 1e3
    batch = found.by_stream["batch"]
    shed, asked = batch["refused 429"], sum(batch.values())
    return [
        *safety("overload", found),
        row("idle device: p99 of emergencies", found.unloaded_p99 * 1e3, "ms", None, met=None),
        row("one largest batch alone", found.batch_seconds * 1e3, "ms", None, met=None),
        row("overloaded: p99 of emergencies", loaded, "ms", round(allowed, 2), met=loaded <= allowed),
        row("batch requests shed with 429", shed / asked * 100, "%", None, met=shed > 0),
    ]


PHASES = {
    "swaps": (phases.swaps, rows_of_swaps),
    "kills": (phases.kills, rows_of_kills),
    "overload": (phases.overload, rows_of_overload),
}


def main() -> int:
    """Soak and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:.0f} s a phase: for CI")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--seconds", type=float, default=0.0, help="seconds a phase (default 600, quick 60)")
    parser.add_argument("--folder", type=Path, help="keep everything here, what the client wrote down too")
    parser.add_argument("--only", choices=tuple(PHASES), action="append", help="run one phase")
    given = parser.parse_args()
    leave_nobody_behind()
    logging.basicConfig(level=logging.ERROR)  # that the broker is away is what we made it
    seconds = given.seconds or (QUICK if given.quick else FULL)
    times = Times(
        phase=seconds,
        swap_every=min(20.0, seconds / 3),
        kill_every=min(20.0, seconds / 3) if seconds < FULL else 60.0,
        warm_up=min(seconds / 3, 60.0),
    )
    folder = given.folder or Path(tempfile.mkdtemp(prefix="tiers-soak-"))
    house = make_house(folder)
    rows: list[Row] = []
    try:
        for name in given.only or PHASES:
            phase, judge = PHASES[name]
            rows += judge(phase(house, times))
    finally:
        house.close()
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    if given.json:
        print(json.dumps({"benchmark": "soak", "rows": rows}, indent=2))
        return 0
    for each in rows:
        target = "" if each["met"] is None else f"{each['target']} {'met' if each['met'] else 'MISSED'}"
        print(f"{each['case']:<75} {each['ours']:>10} {each['unit']:<11} {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
