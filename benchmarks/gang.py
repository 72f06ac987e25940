"""Gangs on the real Volcano scheduler: how soon they are bound, a thousand at once, and a load that is too much.

    python benchmarks/gang.py [--quick] [--json] [--repeat N] [--case NAME]

Starts the control plane of tests/cluster (scripts/bring-cluster) with machines that KWOK plays, and Volcano's
scheduler as `tiers render --scheduler-config` sets it up. Three cases; benchmarks/gangs says how each is counted:

- bound: ten gangs of 100 workers, from submitting until the last worker has a node, against `kubectl create` of the
  same Jobs; median of five, by turns.
- many: 1,000 jobs at once; all must complete.
- mixed: gangs and single workers on six machines that are too few, by our queues and profile on Volcano, against
  Kubernetes' own scheduler with the same pods. The peer has two forms: workers that wait for the others of their gang
  without end, and workers that give up after a while and begin anew, which lets it go on where it would be stuck.

Server, schedulers, controllers, KWOK and the benchmark share the machine. The quick form is small and has no targets.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))  # the control plane is the tests'

BOUND_TARGET = 1.05
"""Ours as a multiple of kubectl's; frozen before the first run, as all of these."""
MIXED_TARGETS = {
    "workers, mean delay": 0.4,
    "gangs, mean delay": 0.4,
    "GPUs at useful work": 1.3,
    "gangs finished a minute": 3.0,
    "makespan": 0.6,
}
"""What is published for Volcano against the default scheduler, to reach or to disprove: ours divided by the peer's."""
PATIENCE = 5.0
"""Seconds after which a peer's gang that is not whole gives up, in one of the peer's two forms."""

Row = dict[str, object]


@dataclass(frozen=True)
class Size:
    """How large the cases are."""

    gangs: int
    workers: int
    machines: int
    repeat: int
    jobs: int
    mixed_gangs: int
    mixed_singles: int
    work_seconds: float
    seeds: int


FULL = Size(10, 100, 130, 5, 1000, 20, 60, 4.0, 3)
QUICK = Size(4, 10, 8, 1, 40, 12, 16, 2.0, 1)


def row(case: str, ours: float, peer: float | None, unit: str, target: float | None = None) -> Row:
    """Make one row; a ratio is ours divided by the peer's, and a target above 1 is to be passed."""
    ratio = round(ours / peer, 3) if peer else None
    met = None
    if target is not None:
        met = ratio is not None and (ratio >= target if target > 1 and unit != "s" else ratio <= target)
    return {
        "case": case,
        "ours": round(ours, 2),
        "peer": None if peer is None else round(peer, 2),
        "unit": unit,
        "ratio": ratio,
        "target": target,
        "met": met,
    }


# ---------------------------------------------------------------- the cases
def bound(size: Size, *, targets: bool) -> Iterator[Row]:
    """From submitting to bound."""
    from benchmarks.gangs.machines import machines
    from benchmarks.gangs.submitting import KUBECTL, OURS, submit_to_bound

    with machines(size.machines) as running:
        found = submit_to_bound(running, size.gangs, size.workers, size.repeat)
    case = f"{size.gangs} gangs of {size.workers} bound, kubectl create"
    yield row(case, found[OURS], found[KUBECTL], "s", BOUND_TARGET if targets else None)


def many(size: Size, *, targets: bool) -> Iterator[Row]:
    """Many jobs at once."""
    from benchmarks.gangs.machines import machines
    from benchmarks.gangs.submitting import many_at_once

    del targets  # all must complete, whatever their number
    with machines(size.machines) as running:
        found = many_at_once(running, size.jobs)
    case = f"{size.jobs} jobs at once"
    yield {**row(f"{case}, completed", found.completed, size.jobs, "jobs"), "target": 1.0} | {
        "met": found.completed == size.jobs
    }
    yield row(f"{case}, until the last one", found.seconds, None, "s")
    yield row(f"{case}, bindings", found.bindings_a_second, None, "1/s")


def mixed(size: Size, *, targets: bool) -> Iterator[Row]:
    """The mixed load, for each seed by turns; medians over the seeds."""
    from benchmarks.gangs.machines import machines
    from benchmarks.gangs.mixed import DEFAULT, MACHINES, VOLCANO, Figures, loads, play, shortest

    runs: dict[str, list[Figures]] = {"ours": [], "gives up": [], "waits": []}
    with machines(MACHINES) as running:
        for seed in range(size.seeds):
            wanted = loads(seed, size.mixed_gangs, size.mixed_singles, size.work_seconds)
            note = f"seed {seed}: {len(wanted)} jobs, {shortest(wanted):.0f} s when no GPU ever idles"
            print(note, file=sys.stderr)
            for form, who, patience in (
                ("ours", VOLCANO, 0.0),
                ("gives up", DEFAULT, PATIENCE),
                ("waits", DEFAULT, 0.0),
            ):
                played = play(running, who, f"mixed-{seed}-{form.replace(' ', '-')}", wanted, patience)
                runs[form].append(played)
                print(f"  {form}: {said(played, len(wanted))}", file=sys.stderr)
    gpus = MACHINES * 8
    figures: dict[str, tuple[Callable[[Figures], float], str]] = {
        "workers, mean delay": (Figures.worker_delay, "s"),
        "workers, p95 delay": (Figures.worker_delay_p95, "s"),
        "gangs, mean delay": (Figures.gang_delay, "s"),
        "GPUs at useful work": (lambda each: 100 * each.useful / (gpus * each.makespan), "%"),
        "GPU-seconds held for nothing": (lambda each: each.held - each.useful, "GPU s"),
        "gangs finished a minute": (Figures.gangs_a_minute, "1/min"),
        "gangs finished": (lambda each: each.finished_gangs, "gangs"),
        "makespan": (lambda each: each.makespan, "s"),
    }
    for form in ("gives up", "waits"):
        for label, (figure, unit) in figures.items():
            ours, peer = (statistics.median(map(figure, runs[each])) for each in ("ours", form))
            target = MIXED_TARGETS.get(label) if targets else None
            yield row(f"{label}, peer {form}", ours, peer, unit, target)


def said(played: object, jobs: int) -> str:
    """Say in a line what a run did, for whoever waits."""
    from benchmarks.gangs.mixed import Figures

    assert isinstance(played, Figures)
    return (
        f"{played.finished} of {jobs} jobs in {played.makespan:.1f} s, {played.finished_gangs} gangs, useful "
        f"{played.useful:.0f} of {played.held:.0f} GPU s held, gave up {played.gave_up}, lost {played.lost}"
    )


CASES: dict[str, Callable[..., Iterator[Row]]] = {"bound": bound, "many": many, "mixed": mixed}


def show(rows: Sequence[Row]) -> None:
    """Print a table for people."""
    print(f"{'case':<50} {'ours':>9} {'peer':>9} {'unit':<6} {'ratio':>7}  target")
    for each in rows:
        target = "" if each["target"] is None else f"{each['target']} {'met' if each['met'] else 'MISSED'}"
        peer, ratio = ("" if each[key] is None else each[key] for key in ("peer", "ratio"))
        print(f"{each['case']:<50} {each['ours']:>9} {peer:>9} {each['unit']:<6} {ratio:>7}  {target}")


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few gangs, one repetition: for CI")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--repeat", type=int, default=0, help="repetitions of `bound`, seeds of `mixed`")
    parser.add_argument("--case", choices=list(CASES), help="only one of them")
    given = parser.parse_args()
    size = QUICK if given.quick else FULL
    if given.repeat:
        size = Size(**{**vars(size), "repeat": given.repeat, "seeds": given.repeat})
    rows = [
        each
        for name, case in CASES.items()
        if given.case in {None, name}
        for each in case(size, targets=not given.quick)
    ]
    if given.json:
        print(json.dumps({"benchmark": "gang", "rows": rows}, indent=2))
    else:
        show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
