"""Rollouts through large fleets: a thousand simulated devices on a real Mosquitto, and a week of a hundred thousand.

    python benchmarks/rollout_fleet.py [--quick] [--json] [--case NAME] [--plot FILE]

- rehearsal: `tiers fleet simulate` with 1,000 devices, each with a connection of its own, all on this machine with
  the broker, the depot and the driver. Three rollouts: one to everybody, one in waves while 10 % lose the network, 2 %
  refuse and 1 % flap, and one that is broken on 5 % and must go back.
- week: 100,000 devices on paper for seven days, by the driver's own decisions (`protocol.waves`). The peer is the
  same week when everybody is told at once, without waves.

The full form writes the week's curves to docs/rollout-week.svg; the quick form is small, has no targets, writes none.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.fleet.simulate.habits import HOUR
from toolkit.fleet.simulate.rehearsal import Rules, rehearse
from toolkit.fleet.simulate.stage import FleetPlan, faults
from toolkit.fleet.simulate.week import Week, WeekPlan, simulate
from toolkit.fleet.simulate.week_plot import draw
from toolkit.topology.shares import Share

REPOSITORY = Path(__file__).resolve().parents[1]
PLOT = REPOSITORY / "docs" / "rollout-week.svg"
REHEARSAL_SECONDS = 90.0
"""What a rehearsal with 1,000 devices may take; frozen before the first run, as all of these."""
WEEK_SECONDS = 60.0
BROKER_BYTES = 64 * 2**20
BROKEN_ON = 0.05

Row = dict[str, object]


@dataclass(frozen=True)
class Size:
    """How large the cases are."""

    rehearsed: int
    shares: tuple[Share, ...]
    devices: int
    executed: int


FULL = Size(1000, Rules().shares, 100_000, 300)
QUICK = Size(60, (Share.parse("20%"), Share.parse("100%")), 5_000, 20)


def row(case: str, ours: float, unit: str, *, peer: float | None = None, most: float | None = None) -> Row:
    """Make one row; a target is the most that ours may be."""
    return {
        "case": case,
        "ours": round(ours, 2),
        "peer": None if peer is None else round(peer, 2),
        "unit": unit,
        "ratio": round(ours / peer, 4) if peer else None,
        "target": most,
        "met": None if most is None else ours <= most,
    }


def rehearsal(size: Size, *, targets: bool, plot: Path | None) -> Iterator[Row]:
    """Play three rollouts on a real broker."""
    del plot
    plan = FleetPlan(size.rehearsed, seed=1, faults=faults(broken_on=BROKEN_ON if targets else 0.3))
    rules = Rules(shares=size.shares, limit=0.06 if targets else 0.15)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        played = rehearse(plan, rules, None, Path(folder))
    seconds = time.monotonic() - begin
    assert played.good, played
    whole, update, broken = played.acts
    case = f"{size.rehearsed} devices on Mosquitto"
    yield row(f"{case}, all three rollouts", seconds, "s", most=REHEARSAL_SECONDS if targets else None)
    yield row(f"{case}, everybody gets 96 KiB", whole.seconds, "s")
    yield row(f"{case}, update in {update.waves} waves with faults", update.seconds, "s")
    canary = rules.course(size.rehearsed).waves[0].devices
    told = f"{case}, broken version: told; canary"
    yield row(told, broken.touched, "devices", peer=canary, most=canary)
    yield row(f"{case}, broken version until all are back", broken.seconds, "s")
    yield row(f"{case}, chunks a device: update, first", update.bytes_median / 1024, "KiB",
              peer=whole.bytes_median / 1024)  # fmt: skip
    yield row(f"{case}, payload a device heard in all", played.heard_bytes / 1024, "KiB")
    yield row(f"{case}, payload a device sent in all", played.sent_bytes / 1024, "KiB")
    memory = played.broker_bytes / 2**20
    yield row(f"{case}, broker's memory", memory, "MiB", most=BROKER_BYTES / 2**20 if targets else None)


def week(size: Size, *, targets: bool, plot: Path | None) -> Iterator[Row]:
    """Let a week pass, with and without waves, for a good version and a broken one."""
    plan = WeekPlan(devices=size.devices, executed=size.executed, limit=0.02 if targets else 0.1)
    at_once = replace(plan, waves=(1.0,), soak_seconds=0.0, executed=plan.devices)
    broken = replace(plan, refusing=plan.refusing + BROKEN_ON if targets else 0.25)
    begin = time.monotonic()
    good = simulate(plan)
    seconds = time.monotonic() - begin
    assert good.state == "SUCCEEDED", good.why
    case = f"a week of {size.devices:,} devices"
    yield row(f"{case}, time to simulate it", seconds, "s", most=WEEK_SECONDS if targets else None)
    yield row(f"{case}, events", good.events, "events")
    yield row(f"{case}, decisions of waves.step", good.steps, "steps")
    peer = simulate(at_once)
    for part, ours, theirs in zip((50, 90, 99), good.reached, peer.reached, strict=True):
        if ours is not None and theirs is not None:
            yield row(f"{case}, until {part} % run it; at once", ours / HOUR, "h", peer=theirs / HOUR)
    stopped, everywhere = simulate(broken), simulate(replace(broken, waves=(1.0,), executed=plan.executed))
    assert stopped.state == "FAILED", stopped
    yield row(f"{case}, broken version: told; at once", stopped.touched, "devices", peer=everywhere.touched,
              most=plan.waves[0] * plan.devices if targets else None)  # fmt: skip
    yield row(f"{case}, broken version until it is stopped and back", _over(stopped), "h")
    if plot is not None:
        hours = replace(broken, days=0.25, sample_seconds=60.0)
        plot.write_text(draw(good, simulate(hours)), encoding="utf-8")
        print(f"wrote {plot}", file=sys.stderr)


def _over(found: Week) -> float:
    assert found.ended_at is not None
    return (found.ended_at - found.plan.begins) / HOUR


CASES: dict[str, Callable[..., Iterator[Row]]] = {"rehearsal": rehearsal, "week": week}


def show(rows: Sequence[Row]) -> None:
    """Print a table for people."""
    print(f"{'case':<68} {'ours':>11} {'peer':>10} {'unit':<8} {'ratio':>7}  target")
    for each in rows:
        target = "" if each["target"] is None else f"{each['target']} {'met' if each['met'] else 'MISSED'}"
        peer, ratio = ("" if each[key] is None else each[key] for key in ("peer", "ratio"))
        print(f"{each['case']:<68} {each['ours']:>11} {peer:>10} {each['unit']:<8} {ratio:>7}  {target}")


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few devices, no plot: for CI")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--case", choices=list(CASES), help="only one of them")
    parser.add_argument("--plot", type=Path, help="where the curves go [default: docs/rollout-week.svg]")
    given = parser.parse_args()
    size, plot = (QUICK, given.plot) if given.quick else (FULL, given.plot or PLOT)
    rows = [
        each
        for name, case in CASES.items()
        if given.case in {None, name}
        for each in case(size, targets=not given.quick, plot=plot)
    ]
    if given.json:
        print(json.dumps({"benchmark": "rollout_fleet", "rows": rows}, indent=2))
    else:
        show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
