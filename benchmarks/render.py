"""How long 10,000 distinct objects take, against `helm template` and `kustomize build` of equivalent input.

    python benchmarks/render.py [--quick] [--json] [--repeat N]

Ours is `tiers render` of a tiers.yaml with 3,333 edge pools: NodeGroup, ConfigMap and DaemonSet of each, and the
Namespace. Helm gets a chart as a person would write it: one template with a loop over pools, and in values.yaml what
differs from pool to pool. Kustomize, which has no loops, gets the objects written out, in one file, and does nothing
else. All are checked to print the same objects. User and system time of whole processes and wall time, by turns,
medians. Kustomize's time grows with the square of the objects: for 10,000 it runs once and is ended after two minutes
of processor time, so that its figure is a lower bound and what it prints is compared at 1,000 objects (`--quick`). The
target, frozen before the first run: a third of each peer's processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it also runs as a file

from benchmarks.startup import Measured, bring, run

POOLS, QUICK_POOLS = 3333, 333
TARGET = 1 / 3
ENDED = "kustomize build"
END_AFTER = 120
"""Seconds of processor time that the slow peer gets for more than QUICK_POOLS."""
HARDWARE = ("jetson-orin-nx", "jetson-orin-nano")
_HEAD = """version: 1
name: many-pools
registry: file:///var/lib/tiers/registry
broker: {url: "mqtts://broker.example:8883"}
clusters: {main: {context: hospital, tiers: [edge]}}
images: {edge: "registry.example/tiers-edge:1.0", jobs: "registry.example/tiers-jobs:1.0", unlocked: warn}
tiers:
  edge:
    storage: {url: "file:///var/lib/tiers/data"}
    pools:
"""

Row = dict[str, object]
Body = Mapping[str, object]


def write_topology(folder: Path, pools: int) -> Path:
    """Write a tiers.yaml in which no two pools are alike."""
    lines = [
        f"      pool-{pool:04d}: {{hardware: {HARDWARE[pool % 2]}, nodes: {{count: {1 + pool % 9}, "
        f"labels: {{site: site-{pool // 10:03d}}}}}, settings: {{disk: {1 + pool}GiB}}}}\n"
        for pool in range(pools)
    ]
    file = folder / "tiers.yaml"
    file.write_text(_HEAD + "".join(lines), encoding="utf-8")
    return file


def write_kustomization(folder: Path, objects: Sequence[Body]) -> None:
    """Write all objects into one file and a kustomization that names it."""
    with (folder / "objects.yaml").open("w", encoding="utf-8") as file:
        yaml.dump_all(objects, file, Dumper=yaml.CSafeDumper)
    (folder / "kustomization.yaml").write_text("resources: [objects.yaml]\n", encoding="utf-8")


def write_chart(folder: Path, objects: Sequence[Body]) -> None:
    """Write a chart: objects of pools as a loop over what differs between them, the rest as it is."""
    by_pool: dict[str, dict[str, Body]] = {}
    rest: list[Body] = []
    for body in objects:
        pool = _pool_of(body)
        if pool:
            by_pool.setdefault(pool, {})[str(body["kind"])] = body
        else:
            rest.append(body)
    first = next(iter(by_pool.values()))
    names: dict[tuple[str, tuple[object, ...]], str] = {}
    for kind, body in first.items():
        for path, value in _leaves(body):
            if any(_at(bodies[kind], path) != value for bodies in by_pool.values()):
                names[kind, path] = f"v{len(names)}"
    texts = []
    for kind, body in first.items():
        places = {path: name for (of, path), name in names.items() if of == kind}
        text = yaml.safe_dump(_marked(body, (), places), width=10_000)
        for name in places.values():
            text = text.replace(f"PLACE-{name}-ENDS", f"{{{{ .{name} | toJson }}}}")
        texts.append(f"---\n{text}")
    (folder / "templates").mkdir()
    loop = "{{- range .Values.pools }}\n" + "".join(texts) + "{{- end }}\n"
    (folder / "templates" / "pools.yaml").write_text(loop, encoding="utf-8")
    (folder / "templates" / "rest.yaml").write_text(yaml.safe_dump_all(rest), encoding="utf-8")
    values = [
        {name: _at(bodies[kind], path) for (kind, path), name in names.items()} for bodies in by_pool.values()
    ]
    (folder / "values.yaml").write_text(
        yaml.dump({"pools": values}, Dumper=yaml.CSafeDumper), encoding="utf-8"
    )
    chart = {"apiVersion": "v2", "name": "many-pools", "version": "1.0.0"}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(chart), encoding="utf-8")


def _pool_of(body: Body) -> str:
    metadata = body["metadata"]
    labels = metadata.get("labels", {}) if isinstance(metadata, Mapping) else {}
    return str(labels["tiers.dev/name"]) if labels.get("tiers.dev/part-of") == "pool" else ""


def _leaves(value: object, path: tuple[object, ...] = ()) -> list[tuple[tuple[object, ...], object]]:
    if isinstance(value, Mapping):
        return [leaf for key, below in value.items() for leaf in _leaves(below, (*path, key))]
    if isinstance(value, list):
        return [leaf for key, below in enumerate(value) for leaf in _leaves(below, (*path, key))]
    return [(path, value)]


def _at(value: object, path: tuple[object, ...]) -> object:
    for step in path:
        value = value[step]  # type: ignore[index]  # the objects of one kind have one shape
    return value


def _marked(value: object, path: tuple[object, ...], places: Mapping[tuple[object, ...], str]) -> object:
    if path in places:
        return f"PLACE-{places[path]}-ENDS"
    if isinstance(value, Mapping):
        return {key: _marked(below, (*path, key), places) for key, below in value.items()}
    if isinstance(value, list):
        return [_marked(below, (*path, key), places) for key, below in enumerate(value)]
    return value


def _sorted(text: str) -> list[str]:
    bodies = yaml.load_all(text, Loader=yaml.CSafeLoader)
    return sorted(json.dumps(body, sort_keys=True) for body in bodies if body)


def run_to_the_end_or_limit(command: Sequence[str | Path]) -> tuple[float, float]:
    """Run a command for END_AFTER seconds of processor time at most; give what it took, processor and wall."""
    begin = time.perf_counter()
    limited = ["bash", "-c", f'ulimit -t {END_AFTER}; exec "$@"', "bash", *command]
    process = subprocess.Popen(limited, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode in {0, -signal.SIGKILL, -signal.SIGXCPU}, (
        f"{command} ended with {process.returncode}"
    )
    return used.ru_utime + used.ru_stime, time.perf_counter() - begin


def measure(pools: int, repeat: int) -> dict[str, Measured]:
    """Measure all programs by turns; a peer that is not there has no figures.

    The first turn, which checks what is printed, does not count.
    """
    with tempfile.TemporaryDirectory(prefix="tiers-render-") as place:
        folder = Path(place)
        ours: list[str | Path] = [
            Path(sys.executable).with_name("tiers"),
            "render",
            "-f",
            write_topology(folder, pools),
        ]
        commands: dict[str, list[str | Path]] = {"tiers render": ours}
        rendered = _sorted(run(ours)[2])
        assert len(set(rendered)) == len(rendered) == 3 * pools + 1, f"{len(rendered)} objects"
        objects = [json.loads(each) for each in rendered]
        for peer, write, words in (
            ("helm", write_chart, ["template", "many-pools"]),
            ("kustomize", write_kustomization, ["build"]),
        ):
            (folder / peer).mkdir()
            write(folder / peer, objects)
            if program := bring(peer):
                commands[f"{peer} {words[0]}"] = [program, *words, folder / peer]
        found = {name: Measured() for name in commands}
        for turn in range(repeat + 1):
            for name, command in commands.items():
                if name == ENDED and pools > QUICK_POOLS:
                    if not turn:
                        cpu, wall = run_to_the_end_or_limit(command)
                        found[name].cpu.append(cpu)
                        found[name].wall.append(wall)
                    continue
                cpu, wall, printed = run(command)
                if turn:
                    found[name].cpu.append(cpu)
                    found[name].wall.append(wall)
                else:
                    assert _sorted(printed) == rendered, f"{name} does not print the same objects"
    return found


def rows_of(found: Mapping[str, Measured], count: int) -> list[Row]:
    """Make the rows of the report; a ratio is ours divided by the peer's."""
    rows: list[Row] = []
    for peer in ("helm template", "kustomize build"):
        for what, unit in (("cpu", "s CPU"), ("wall", "s wall")):
            mine = median(getattr(found["tiers render"], what))
            theirs = median(getattr(found[peer], what)) if peer in found else None
            target = TARGET if what == "cpu" else None
            ratio = mine / theirs if theirs else None
            rows.append(
                {
                    "case": f"{count} objects, {peer}",
                    "ours": round(mine, 3),
                    "peer": None if theirs is None else round(theirs, 3),
                    "unit": unit,
                    "ratio": None if ratio is None else round(ratio, 3),
                    "target": None if target is None else round(target, 3),
                    "met": None if target is None or ratio is None else ratio <= target,
                }
            )
    return rows


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1,000 objects, three repetitions: for CI")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--repeat", type=int, default=0, help="repetitions (default 5, quick 3)")
    given = parser.parse_args()
    pools = QUICK_POOLS if given.quick else POOLS
    rows = rows_of(measure(pools, given.repeat or (3 if given.quick else 5)), 3 * pools + 1)
    if given.json:
        print(json.dumps({"benchmark": "render", "rows": rows}, indent=2))
        return 0
    print(f"{'case':<34} {'ours':>8} {'peer':>10} {'unit':<7} {'ratio':>6}  target")
    for row in rows:
        peer, ratio = ("not there", "") if row["peer"] is None else (row["peer"], row["ratio"])
        target = (
            ""
            if row["target"] is None or row["met"] is None
            else f"{row['target']} {'met' if row['met'] else 'MISSED'}"
        )
        print(f"{row['case']:<34} {row['ours']:>8} {peer:>10} {row['unit']:<7} {ratio:>6}  {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
