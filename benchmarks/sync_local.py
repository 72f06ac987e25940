"""Sync between two folders of one machine, against rsync in the same run.

    python benchmarks/sync_local.py [--quick] [--json] [--repeat N] [--folder DIR]

Each repetition builds the same trees from fixed seeds and walks through the cases, ours and rsync by turns; the table
has medians. Ours runs as a process of its own (`python -m cloud_jobs.sync_agent --once`, which is what a pod runs), so
its start is in the figure. rsync runs as `rsync -a --delete`: between local folders it copies whole files and does not
flush them to the disk. Ours cuts, names, compresses, checks and flushes; so a last pair gives rsync `--fsync` too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.sync.task import Storage, SyncTask, encode_tasks

MIB = 1024 * 1024
RSYNC = shutil.which("rsync") or ""
WORDS = [
    b"patient",
    b"image",
    b"series",
    b"study",
    b"modality",
    b"ultrasound",
    b"value",
    b"none",
    b"left",
    b"right",
]

# Wall time as a multiple of rsync's, or bytes as a multiple of the bytes that really changed; from reference figures of
# a prototype (first copies lose to a plain copy, changed data wins), frozen before the first run.
TARGETS = {
    "large file, first copy": 3.0,
    "large file, 2 % overwritten": 0.5,
    "large file, 1 MiB inserted": 0.5,
    "small files, first copy": 1.5,
    "small files, 1 % changed": 2.5,
    "small files, nothing changed": 1.5,
    "small files, first copy, rsync --fsync": 1.0,
}
BYTE_TARGETS = {"large file, 2 % overwritten": 3.0, "large file, 1 MiB inserted": 2.0}


@dataclass
class Case:
    """What was measured of one case."""

    ours: list[tuple[float, float]] = field(default_factory=list)
    peer: list[tuple[float, float]] = field(default_factory=list)
    """Seconds of wall and of processor, for each repetition."""
    moved: int = 0
    peer_moved: int = 0
    least: int = 0
    """Bytes that really changed, where that is known."""


def main() -> int:
    """Run, print, and return 1 when rsync is not here."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small trees, one repetition: for CI")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--repeat", type=int, default=0, help="repetitions (default 5, quick 1)")
    parser.add_argument("--folder", help="where to work (default: the folder for temporary files)")
    given = parser.parse_args()
    if not RSYNC:
        print("rsync, the peer, is missing; to bring it: apt-get install rsync", file=sys.stderr)
        return 1
    size, files = (32 * MIB, 1000) if given.quick else (1024 * MIB, 20_000)
    cases = {name: Case() for name in TARGETS}
    for number in range(given.repeat or (1 if given.quick else 5)):
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            walk(Bench(Path(folder), cases, ours_first=number % 2 == 0), size, files)
    report(cases, quick=given.quick, as_json=given.json)
    return 0


def walk(bench: Bench, size: int, files: int) -> None:
    """Go through all cases once."""
    source = bench.source
    write_large(source / "large", size)
    bench.measure("large file, first copy", least=size)
    changed = overwrite(source / "large", size)
    bench.measure("large file, 2 % overwritten", least=changed)
    insert(source / "large")
    bench.measure("large file, 1 MiB inserted", least=MIB)
    bench.reset()
    write_small(source, files)
    bench.measure("small files, first copy")
    change_small(source, files)
    bench.measure("small files, 1 % changed")
    bench.measure("small files, nothing changed")
    bench.empty_targets()
    bench.measure("small files, first copy, rsync --fsync", "--fsync")


class Bench:
    """One repetition in one folder."""

    def __init__(self, folder: Path, cases: dict[str, Case], *, ours_first: bool) -> None:
        """Make the folders."""
        self._folder = folder
        self._cases = cases
        self._ours_first = ours_first
        self.source = folder / "source/data"
        self.reset()

    def reset(self) -> None:
        """Begin with an empty source and empty targets."""
        shutil.rmtree(self._folder / "source", ignore_errors=True)
        self.source.mkdir(parents=True)
        self.empty_targets()

    def empty_targets(self) -> None:
        """Begin with empty targets."""
        for name in ("ours", "theirs"):
            shutil.rmtree(self._folder / name, ignore_errors=True)
            (self._folder / name).mkdir()

    def measure(self, name: str, *rsync_options: str, least: int = 0) -> None:
        """Run both on what the source is now, and compare what came out."""
        case = self._cases[name]
        case.least = least
        runs: list[Callable[[], None]] = [lambda: self._ours(case), lambda: self._theirs(case, rsync_options)]
        for run in runs if self._ours_first else reversed(runs):
            os.sync()  # what came before must not be paid for here
            run()
        here, there = f"{self.source}/", f"{self._folder}/ours/data/"
        compare = [RSYNC, "-an", "--checksum", "--delete", "--itemize-changes", here, there]
        compared = subprocess.run(compare, capture_output=True, text=True, check=True)
        wrong = [
            line for line in compared.stdout.splitlines() if not line.endswith(" ./")
        ]  # the root is the operator's
        assert not wrong, f"{name}: ours differs from the source: {wrong[:10]}"

    def _ours(self, case: Case) -> None:
        task = SyncTask(
            route="bench",
            source=Storage(tier="hot", url=(self._folder / "source").as_uri()),
            targets=(Storage(tier="warm", url=(self._folder / "ours").as_uri()),),
            path="data",
        )
        tasks = self._folder / "tasks.json"
        tasks.write_bytes(encode_tasks([task]))
        command = [sys.executable, "-m", "cloud_jobs.sync_agent", str(tasks), "--once"]
        output = _timed(command, case.ours)
        case.moved = json.loads(output)["bytes_moved"]

    def _theirs(self, case: Case, options: tuple[str, ...]) -> None:
        command = [
            "rsync",
            "-a",
            "--delete",
            "--stats",
            *options,
            f"{self.source}/",
            f"{self._folder}/theirs/data/",
        ]
        literal = re.search(r"Literal data: ([\d,]+)", _timed(command, case.peer))
        assert literal
        case.peer_moved = int(literal[1].replace(",", ""))


def _timed(command: list[str], times: list[tuple[float, float]]) -> str:
    """Run a command, note its seconds, and give what it printed."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    times.append((wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
    return done.stdout


def blocks(size: int, seed: int) -> Iterator[bytes]:
    """Half noise, a quarter like float weights (upper bytes repeat), a quarter text; 1 MiB at a time."""
    draw = random.Random(seed)
    text = b" ".join(draw.choices(WORDS, k=MIB // 4))[:MIB].ljust(MIB)
    for number in range(size // MIB):
        if number % 4 < 2:
            yield draw.randbytes(MIB)
        elif number % 4 == 2:
            noise = draw.randbytes(MIB // 2)
            yield b"".join(noise[at : at + 2] + b"\x3d\x80" for at in range(0, len(noise), 2))
        else:
            start = draw.randrange(MIB)
            yield text[start:] + text[:start]


def write_large(path: Path, size: int) -> None:
    """Write the large file."""
    with path.open("wb") as file:
        for block in blocks(size, seed=1):
            file.write(block)


def overwrite(path: Path, size: int) -> int:
    """Overwrite 2 % in pieces of 64 KiB at random places; give the bytes."""
    draw = random.Random(2)
    count = size * 2 // 100 // 65536
    with path.open("r+b") as file:
        for place in draw.sample(range(size // 65536), count):
            file.seek(place * 65536)
            file.write(draw.randbytes(65536))
    return count * 65536


def insert(path: Path) -> None:
    """Insert 1 MiB of noise near the beginning."""
    draft = path.with_name("draft")
    with path.open("rb") as old, draft.open("wb") as new:
        new.write(old.read(MIB + 123))
        new.write(random.Random(3).randbytes(MIB))
        shutil.copyfileobj(old, new, MIB)
    draft.replace(path)


def write_small(root: Path, files: int) -> None:
    """Write files of 4 to 64 KiB, half noise and half text, a hundred in a folder."""
    draw = random.Random(4)
    for number in range(files):
        folder = root / f"{number // 100:04}"
        folder.mkdir(exist_ok=True)
        length = draw.randrange(4096, 65536)
        data = (
            draw.randbytes(length) if number % 2 else b" ".join(draw.choices(WORDS, k=length // 5))[:length]
        )
        (folder / f"{number:06}").write_bytes(data)


def change_small(root: Path, files: int) -> None:
    """Edit 1 % of the files, add 1 %, delete 1 %, rename 0.5 %."""
    draw = random.Random(5)
    chosen = [
        root / f"{number // 100:04}" / f"{number:06}"
        for number in draw.sample(range(files), files * 35 // 1000)
    ]
    edited, deleted = files // 100, files * 2 // 100
    for path in chosen[:edited]:
        data = bytearray(path.read_bytes())
        at = draw.randrange(max(1, len(data) - 1024))
        data[at : at + 1024] = draw.randbytes(1024)
        path.write_bytes(data)
    for path in chosen[edited:deleted]:
        path.unlink()
    for path in chosen[deleted:]:
        path.rename(path.with_name(path.name + "-renamed"))
    for number in range(edited):
        (root / "0000" / f"new-{number}").write_bytes(draw.randbytes(20_000))


def report(cases: dict[str, Case], *, quick: bool, as_json: bool) -> None:
    """Print what was measured. The quick form has no targets: with little data the start of Python is all there is."""
    rows: list[dict[str, object]] = []
    for name, case in cases.items():
        for unit, column, target in (("s", 0, None if quick else TARGETS[name]), ("cpu s", 1, None)):
            ours, peer = (
                statistics.median(times[column] for times in runs) for runs in (case.ours, case.peer)
            )
            rows.append(_row(name, round(ours, 3), round(peer, 3), unit, ours / max(peer, 0.001), target))
        moved, peer_moved = case.moved / 1e6, case.peer_moved / 1e6
        rows.append(_row(name, moved, peer_moved, "MB moved", moved / max(peer_moved, 1e-6), None))
        if name in BYTE_TARGETS:
            least, target = case.least / 1e6, None if quick else BYTE_TARGETS[name]
            rows.append(_row(f"{name}, against the least", moved, least, "MB", moved / least, target))
    if as_json:
        print(json.dumps({"benchmark": "sync_local", "peer": "rsync", "rows": rows}, indent=1))
        return
    print(f"{'case':45} {'unit':>9} {'ours':>10} {'rsync':>10} {'ratio':>7} {'target':>7}")
    for row in rows:
        target = "" if row["target"] is None else f"{row['target']:.2f}" + ("" if row["met"] else " MISSED")
        figures = f"{row['ours']:10.3f} {row['peer']:10.3f} {row['ratio']:7.2f}"
        print(f"{row['case']!s:45} {row['unit']!s:>9} {figures} {target:>7}")


def _row(
    case: str, ours: float, peer: float, unit: str, ratio: float, target: float | None
) -> dict[str, object]:
    return {
        "case": case,
        "ours": ours,
        "peer": peer,
        "unit": unit,
        "ratio": round(ratio, 3),
        "target": target,
        "met": target is None or ratio <= target,
    }


if __name__ == "__main__":
    sys.exit(main())
