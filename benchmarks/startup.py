"""How long a command of tiers takes on tiers.yaml, against a bare Python, `helm template` and `kustomize build`.

    python benchmarks/startup.py [--quick] [--json] [--repeat N]

Every figure is a fresh process with warm byte code: user and system time of it and its children, and wall time; all
programs by turns, medians. Helm and kustomize get what `tiers render` gives: kustomize the same objects as files, Helm
a chart in which each string of them is a value; both are checked to give the same objects. They start from objects that
are written out, ours from tiers.yaml. A peer that is neither on the PATH nor in the cache is built with Go, once
(TIERS_CACHE, else ~/.cache/tiers, in `peers`; Helm is 3 minutes of processor time); without Go its rows say so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = {
    "helm": "helm.sh/helm/v4/cmd/helm@v4.3.1",
    "kustomize": "sigs.k8s.io/kustomize/kustomize/v5@v5.8.2",
}
BARE = "python -c pass"
COMMANDS = {"--help": ["--help"], "validate": ["validate"], "render": ["render"]}
ALLOWED_CPU_SECONDS = 0.35
"""What `validate` of the hospital may take; frozen before the first run."""

Row = dict[str, object]


# ---------------------------------------------------------------- the peers
def bring(program: str) -> Path | None:
    """Find a peer, or build it once; None without Go, or when it does not build."""
    if found := shutil.which(program):
        return Path(found)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(os.environ.get("TIERS_CACHE") or Path(home) / "tiers") / "peers"
    if not (cache / program).is_file():
        go = shutil.which("go", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/go/bin"]))
        if go is None:
            return None
        cache.mkdir(parents=True, exist_ok=True)
        begin = time.monotonic()
        print(f"building {PACKAGES[program]} into {cache}", file=sys.stderr)
        subprocess.run(
            ["nice", "-n", "15", go, "install", "-trimpath", "-ldflags=-s -w", PACKAGES[program]],
            env={**os.environ, "GOBIN": str(cache), "CGO_ENABLED": "0"},
            check=False,
        )
        print(f"that took {time.monotonic() - begin:.0f} s", file=sys.stderr)
    return cache / program if (cache / program).is_file() else None


def write_kustomization(folder: Path, objects: Sequence[Mapping[str, object]]) -> None:
    """Write the objects as files and a kustomization that names them."""
    names = [f"{number:03}.yaml" for number in range(len(objects))]
    for name, body in zip(names, objects, strict=True):
        (folder / name).write_text(yaml.safe_dump(body))
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({"resources": names}))


def write_chart(folder: Path, objects: Sequence[Mapping[str, object]]) -> None:
    """Write a chart with a template an object; each string of it is a value."""
    templates = folder / "templates"
    templates.mkdir()
    values: dict[str, dict[str, str]] = {}
    for number, body in enumerate(objects):
        strings: dict[str, str] = {}
        text = yaml.safe_dump(_with_places(body, strings), width=1000)
        for key in strings:
            text = text.replace(f"PLACE-{key}-ENDS", f"{{{{ .Values.o{number}.{key} | toJson }}}}")
        values[f"o{number}"] = strings
        (templates / f"{number:03}.yaml").write_text(text)
    (folder / "values.yaml").write_text(yaml.safe_dump(values))
    chart = {"apiVersion": "v2", "name": "hospital", "version": "1.0.0"}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(chart))


def _with_places(body: object, strings: dict[str, str]) -> object:
    """Give a document with a mark in place of each string, and put the string under the mark's name."""
    if isinstance(body, Mapping):
        return {name: _with_places(value, strings) for name, value in body.items()}
    if isinstance(body, list | tuple):
        return [_with_places(each, strings) for each in body]
    if not isinstance(body, str):
        return body
    key = f"v{len(strings)}"
    strings[key] = body
    return f"PLACE-{key}-ENDS"


def _sorted(text: str) -> list[str]:
    """Give the objects of a stream in an order of their own, to compare streams."""
    bodies = yaml.load_all(text, Loader=yaml.CSafeLoader)
    return sorted(json.dumps(body, sort_keys=True) for body in bodies if body)


# ---------------------------------------------------------------- measuring
@dataclass
class Measured:
    """Figures of one command, one entry a repetition."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


def run(command: Sequence[str | Path]) -> tuple[float, float, str]:
    """Run a command to its end; give processor seconds, wall seconds and what it printed."""
    with tempfile.TemporaryFile() as printed:
        begin = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=printed, cwd=REPOSITORY, env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, f"{command} ended with {process.returncode}"
        printed.seek(0)
        return used.ru_utime + used.ru_stime, wall, printed.read().decode()


def measure(folder: Path, repeat: int) -> dict[str, Measured]:
    """Measure every command, by turns; a peer that is not there has no figures."""
    tiers = Path(sys.executable).with_name("tiers")
    commands: dict[str, list[str | Path]] = {BARE: [sys.executable, "-c", "pass"]}
    commands |= {name: [tiers, *arguments] for name, arguments in COMMANDS.items()}
    rendered = run(commands["render"])[2]
    objects = list(yaml.load_all(rendered, Loader=yaml.CSafeLoader))
    chart, kustomization = folder / "chart", folder / "kustomization"
    for place, write in ((chart, write_chart), (kustomization, write_kustomization)):
        place.mkdir()
        write(place, objects)
    if helm := bring("helm"):
        commands["helm template"] = [helm, "template", "hospital", chart]
    if kustomize := bring("kustomize"):
        commands["kustomize build"] = [kustomize, "build", kustomization]
    for name, command in commands.items():
        printed = run(command)[2]  # also warms the caches of byte code and files
        if name not in {BARE, *COMMANDS}:
            assert _sorted(printed) == _sorted(rendered), f"{name} does not give the same objects"
    found = {name: Measured() for name in commands}
    for _ in range(repeat):
        for name, command in commands.items():
            cpu, wall, _ = run(command)
            found[name].cpu.append(cpu)
            found[name].wall.append(wall)
    return found


def rows_of(found: Mapping[str, Measured]) -> list[Row]:
    """Make the rows of the report; a ratio is ours divided by the peer's."""
    rows = [
        _row(f"tiers {name}, {BARE}", getattr(found[name], what), getattr(found[BARE], what), unit)
        for name in COMMANDS
        for what, unit in (("cpu", "ms CPU"), ("wall", "ms wall"))
    ]
    for peer in ("helm template", "kustomize build"):
        for what, unit in (("cpu", "ms CPU"), ("wall", "ms wall")):
            theirs = getattr(found[peer], what) if peer in found else None
            rows.append(_row(f"tiers render, {peer}", getattr(found["render"], what), theirs, unit))
    allowed = _row("tiers validate, what it may take", found["validate"].cpu, [ALLOWED_CPU_SECONDS], "ms CPU")
    return [
        *rows,
        allowed | {"target": 1.0, "met": statistics.median(found["validate"].cpu) <= ALLOWED_CPU_SECONDS},
    ]


def _row(case: str, ours: Sequence[float], peer: Sequence[float] | None, unit: str) -> Row:
    mine = statistics.median(ours)
    theirs = statistics.median(peer) if peer else None
    return {
        "case": case,
        "ours": round(mine * 1e3, 1),
        "peer": None if theirs is None else round(theirs * 1e3, 1),
        "unit": unit,
        "ratio": None if theirs is None else round(mine / theirs, 2),
        "target": None,
        "met": None,
    }


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three repetitions: for CI")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--repeat", type=int, default=0, help="repetitions (default 15, quick 3)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tiers-startup-") as folder:
        rows = rows_of(measure(Path(folder), given.repeat or (3 if given.quick else 15)))
    if given.json:
        print(json.dumps({"benchmark": "startup", "rows": rows}, indent=2))
        return 0
    print(f"{'case':<36} {'ours':>9} {'peer':>9} {'unit':<8} {'ratio':>7}  target")
    for row in rows:
        peer, ratio = ("not there", "") if row["peer"] is None else (row["peer"], row["ratio"])
        target = "" if row["target"] is None else f"{row['target']} {'met' if row['met'] else 'MISSED'}"
        print(f"{row['case']:<36} {row['ours']:>9} {peer:>9} {row['unit']:<8} {ratio:>7}  {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
