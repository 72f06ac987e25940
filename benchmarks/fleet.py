"""How long `tiers validate` and `tiers render` take for 10,000 devices in 40 pools, and how many objects these become.

    python benchmarks/fleet.py [--quick] [--json] [--repeat N]

Two sites: *counted* says how many devices a pool has, *named* takes 10,000 names from an inventory, with settings of
their own in 24 combinations. The time is that of whole processes, user and system. There is no peer: what counts is
what the site may take, 3 s for both commands together and 400 objects, frozen before the first run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path

DEVICES, POOLS, MODELS = 10_000, 40, 10
ALLOWED_CPU_SECONDS, ALLOWED_OBJECTS = 3.0, 400
HARDWARE = ("jetson-orin-nx", "jetson-orin-nano")
OWN_SETTINGS = tuple(product(("", "16GiB", "32GiB"), ("", "2MiB/s"), ("", "debug"), ("", "true")))
"""disk, download, log, hold; nothing leaves it to the pool."""

_HEAD = """version: 1
name: many-devices
registry: file:///var/lib/tiers/registry
broker: {url: "mqtts://broker.example:8883"}
clusters: {main: {context: hospital, tiers: [edge]}}
images: {edge: "registry.example/tiers-edge:1.0", jobs: "registry.example/tiers-jobs:1.0", unlocked: warn}
"""

Row = dict[str, object]


def write_counted(folder: Path) -> Path:
    """Write a site whose pools say how many devices they have; give its tiers.yaml."""
    return _write(folder, f"nodes: {{count: {DEVICES // POOLS}}}")


def write_named(folder: Path) -> Path:
    """Write a site whose devices stand in an inventory; give its tiers.yaml."""
    rows = ["name,pool,disk,download,log,hold"]
    for number in range(DEVICES):
        pool, turn = number % POOLS, number // POOLS
        own = ",".join(OWN_SETTINGS[turn % len(OWN_SETTINGS)])
        rows.append(f"device-{number:05d}.site-{pool:02d}.example,pool-{pool:02d},{own}")
    (folder / "devices.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return _write(folder, "nodes: {}", "inventory: devices.csv\n")


def _write(folder: Path, nodes: str, more: str = "") -> Path:
    pools = [
        f"      pool-{pool:02d}: {{hardware: {HARDWARE[pool % len(HARDWARE)]}, {nodes}}}"
        for pool in range(POOLS)
    ]
    models = [
        f"  model-{model}: {{source: model-{model}@1.0.0, precision: int8, pools: [{_serving(model)}]}}"
        for model in range(MODELS)
    ]
    tier = '  edge:\n    storage: {url: "file:///var/lib/tiers/data"}\n    pools:'
    text = "\n".join([_HEAD + more + "tiers:", tier, *pools, "models:", *models, ""])
    file = folder / "tiers.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def _serving(model: int) -> str:
    return ", ".join(f"pool-{pool:02d}" for pool in range(POOLS) if pool % MODELS == model)


def run(arguments: Sequence[str | Path]) -> tuple[float, bytes]:
    """Run a command of tiers to its end; give processor seconds and what it printed."""
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("tiers"), *arguments],
            stdout=printed,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, f"{arguments} ended with {process.returncode}"
        printed.seek(0)
        return used.ru_utime + used.ru_stime, printed.read()


def measure(repeat: int) -> list[Row]:
    """Measure both sites by turns; the first run of each command does not count."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="tiers-fleet-") as folder:
        files: dict[str, Path] = {}
        for name, write in (("counted", write_counted), ("named", write_named)):
            place = Path(folder, name)
            place.mkdir()
            files[name] = write(place)
        spent: dict[tuple[str, str], list[float]] = {}
        objects: dict[str, int] = {}
        for turn in range(repeat + 1):
            for name, file in files.items():
                for command in ("validate", "render"):
                    seconds, printed = run([command, "-f", file])
                    if turn:
                        spent.setdefault((name, command), []).append(seconds)
                    if command == "render":
                        objects[name] = printed.count(b"\n---\n") + printed.startswith(b"---\n")
    for name in files:
        parts = {command: statistics.median(spent[name, command]) for command in ("validate", "render")}
        rows += [_row(f"{name}: {command}", seconds, None, "s CPU") for command, seconds in parts.items()]
        rows.append(
            _row(f"{name}: both, what they may take", sum(parts.values()), ALLOWED_CPU_SECONDS, "s CPU")
        )
        rows.append(_row(f"{name}: objects, how many it may be", objects[name], ALLOWED_OBJECTS, ""))
    return rows


def _row(case: str, ours: float, allowed: float | None, unit: str) -> Row:
    return {
        "case": case,
        "ours": round(ours, 3),
        "peer": allowed,
        "unit": unit,
        "ratio": None if allowed is None else round(ours / allowed, 2),
        "target": None if allowed is None else 1.0,
        "met": None if allowed is None else ours <= allowed,
    }


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one repetition: for CI")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--repeat", type=int, default=0, help="repetitions (default 5, quick 1)")
    given = parser.parse_args()
    rows = measure(given.repeat or (1 if given.quick else 5))
    if given.json:
        print(json.dumps({"benchmark": "fleet", "rows": rows}, indent=2))
        return 0
    print(f"{'case':<36} {'ours':>9} {'allowed':>9} {'unit':<6} {'ratio':>6}")
    for row in rows:
        allowed, ratio = ("", "") if row["peer"] is None else (row["peer"], row["ratio"])
        met = "" if row["met"] is None else "met" if row["met"] else "MISSED"
        print(f"{row['case']:<36} {row['ours']:>9} {allowed:>9} {row['unit']:<6} {ratio:>6}  {met}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
