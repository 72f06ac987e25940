"""Tables of medians, ratios and targets from what was measured; or all of it as JSON."""

from __future__ import annotations

import json
from itertools import groupby

from benchmarks.syncing.targets import UNITS, Figures, Row


def as_json(figures: Figures, *, with_targets: bool) -> str:
    """Give targets and ratios in the form of all benchmarks."""
    rows = list(figures.targets()) if with_targets else []
    rows += [row for place, case in figures.runs for row in figures.ratios(place, case)]
    head = {"benchmark": "sync", "peer": "rsync, rclone, restic, borg"}
    return json.dumps({**head, "rows": [row.as_json() for row in rows]}, indent=1)


def as_table(figures: Figures, *, with_targets: bool) -> str:
    """Give medians with the number of runs behind them, then ratios, then targets."""
    lines: list[str] = []
    for place, case in figures.runs:
        lines += _table(figures, place, case)
    if not with_targets:
        return "\n".join(lines)
    rows = list(figures.targets())
    lines.append("\ntargets (ours / peer = ratio, at most):")
    lines += [_verdict(row) for row in rows]
    lines.append(f"{sum(row.met for row in rows)} of {len(rows)} met")
    if unmeasured := figures.unmeasured():
        lines.append(f"not measured here: {len(unmeasured)}: " + "; ".join(unmeasured))
    return "\n".join(lines)


def _table(figures: Figures, place: str, case: str) -> list[str]:
    tools = figures.runs[place, case]
    new = figures.new(place, case)
    units = (*UNITS, "MB wire")
    heads = ("s", "cpu s", "MB", "resident", "wire", "runs", "s from", "to")
    lines = [f"\n{place}: {case}" + (f" (new: {new:.1f} MB)" if new else "")]
    lines.append(f"  {'':26}" + "".join(f"{head:>10}" for head in heads))
    for tool, runs in tools.items():
        medians = [figures.median(place, case, tool, unit) or 0.0 for unit in units]
        spread = min(run.seconds for run in runs), max(run.seconds for run in runs)
        form = "  {:26}{:10.2f}{:10.2f}{:10.2f}{:10.0f}{:10.1f}{:10d}{:10.2f}{:10.2f}"
        lines.append(form.format(tool, *medians, len(runs), *spread))
    for title, rows in groupby(figures.ratios(place, case), key=lambda row: row.case):
        said = ", ".join(f"{row.unit} {row.ratio:.3g}" for row in rows)
        lines.append(f"    {title.rpartition(': ')[2]}: {said}")
    return lines


def _verdict(row: Row) -> str:
    figures = f"{row.case}, {row.unit}: {row.ours:.3f} / {row.peer:.3f} = {row.ratio:.4g}"
    single = f"; single ones {row.single[0]:.3g} to {row.single[-1]:.3g}" if len(row.single) > 1 else ""
    return f"  {'met   ' if row.met else 'MISSED'} {figures} (at most {row.target}){single}"
