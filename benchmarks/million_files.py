"""A million small files: first sync, nothing changed, 1 % changed; seconds and peak memory beside rsync and restic.

    python benchmarks/million_files.py [--quick] [--json] [--files N] [--folder DIR] [--only LAYOUT] [--alone]

Files of 100 to 2,000 bytes, a hundred in a folder, from fixed seeds. Ours runs as a pod runs it (`python -m
cloud_jobs.sync_agent --once`), into a mirror (beside `rsync -a --delete`) and into packs (beside `restic backup`, which
encrypts too). One run each: it is the memory that is asked for here, and an hour is long. `--quick` has 20,000 files,
`--alone` leaves the peers out. Each row is printed when it is known.

Memory is that of the whole program: the larger one of the largest resident set of one of its processes, which is exact
(`getrusage`), and of what all of them held together, seen a few times a second (`syncing.tree_memory`). It takes some
10 GB of disk at a time: a million files of 4 KiB blocks, and what the two make of them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.syncing.process import run
from benchmarks.syncing.tree_memory import TreeMemory
from toolkit.sync.task import Storage, SyncTask, encode_tasks

MILLION, QUICK = 1_000_000, 20_000
RSS_TARGET_MIB = 600
RSYNC, RESTIC = shutil.which("rsync") or "", shutil.which("restic") or ""
CASES = ("first sync", "nothing changed", "1 % changed")
PEERS = {"mirror": "rsync", "packs": "restic"}


@dataclass(frozen=True)
class Run:
    """What one run took."""

    wall: float
    cpu: float
    rss_mib: float


def main() -> int:
    """Run, print, and return 1 when a peer is missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} files: for CI")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--files", type=int, default=0, help=f"how many (default {MILLION})")
    parser.add_argument("--folder", help="where to work (default: the folder for temporary files)")
    parser.add_argument("--only", choices=sorted(PEERS), help="one layout")
    parser.add_argument("--alone", action="store_true", help="ours without the peers")
    given = parser.parse_args()
    missing = [name for name, path in (("rsync", RSYNC), ("restic", RESTIC)) if not path]
    if missing:
        print(f"the peers are missing; to bring them: apt-get install {' '.join(missing)}", file=sys.stderr)
        return 1
    files = given.files or (QUICK if given.quick else MILLION)
    rows: list[dict[str, object]] = []
    if not given.json:
        print(f"{'case':44} {'unit':>7} {'ours':>10} {'peer':>10} {'ratio':>7} {'target':>7}", flush=True)
    for layout in [given.only] if given.only else sorted(PEERS):
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            for each in measure(Path(folder), layout, files, with_target=not given.quick, alone=given.alone):
                rows.append(each)
                if not given.json:
                    print(line_of(each), flush=True)
    if given.json:
        print(json.dumps({"benchmark": "million_files", "peer": "rsync, restic", "rows": rows}, indent=1))
    return 0


def line_of(row: dict[str, object]) -> str:
    """Give a row of the table for people."""
    target = "" if row["target"] is None else f"{row['target']}" + ("" if row["met"] else " MISSED")
    figures = " ".join("-".rjust(10) if row[of] is None else f"{row[of]:10.2f}" for of in ("ours", "peer"))
    ratio = "-".rjust(7) if row["ratio"] is None else f"{row['ratio']:7.2f}"
    return f"{row['case']!s:44} {row['unit']!s:>7} {figures} {ratio} {target:>7}"


def measure(
    folder: Path, layout: str, files: int, *, with_target: bool, alone: bool
) -> Iterator[dict[str, object]]:
    """Go through the cases with one layout and its peer, and yield each row as it is known."""
    source = folder / "source/data"
    write(source, files)
    (folder / "ours").mkdir()
    for case in CASES:
        if case == CASES[2]:
            change(source, files)
        os.sync()  # what came before must not be paid for here
        ours = timed(our_command(folder, layout))
        os.sync()
        peer = None if alone else timed(peer_command(folder, layout))
        name = f"{layout}, {case}, against {PEERS[layout]}"
        yield row(name, ours.wall, peer.wall if peer else None, "s", None)
        yield row(name, ours.cpu, peer.cpu if peer else None, "cpu s", None)
        target = RSS_TARGET_MIB if with_target else None
        yield row(name, ours.rss_mib, peer.rss_mib if peer else None, "MiB", target)
    if layout == "mirror":
        compare(source, folder / "ours/data")


def our_command(folder: Path, layout: str) -> list[str]:
    """Write the task and give the command of an agent that carries it out."""
    task = SyncTask(
        route="bench",
        source=Storage(tier="hot", url=(folder / "source").as_uri()),
        targets=(Storage(tier="warm", url=(folder / "ours").as_uri(), layout=layout),),  # type: ignore[arg-type]
        path="data",
    )
    tasks = folder / "tasks.json"
    tasks.write_bytes(encode_tasks([task]))
    return [sys.executable, "-m", "cloud_jobs.sync_agent", str(tasks), "--once"]


def peer_command(folder: Path, layout: str) -> list[str]:
    """Give the peer's command; restic's repository is made before the clock runs."""
    source = folder / "source/data"
    if layout == "mirror":
        (folder / "theirs").mkdir(exist_ok=True)
        return [RSYNC, "-a", "--delete", f"{source}/", f"{folder}/theirs/data/"]
    password = folder / "password"
    base = [RESTIC, "-r", str(folder / "theirs"), "-p", str(password), "--cache-dir", str(folder / "cache")]
    if not password.exists():
        password.write_text("bench")
        subprocess.run([*base, "init"], check=True, capture_output=True)
    return [*base, "backup", "--quiet", str(source)]


def timed(command: list[str]) -> Run:
    """Run a command, and see how much memory it and its children take."""
    with TreeMemory() as memory:
        ran = run(command)
    return Run(ran.seconds, ran.processor, max(ran.memory, memory.peak) / 2**20)


def write(root: Path, files: int) -> None:
    """Write the files."""
    draw = random.Random(1)
    noise = draw.randbytes(1 << 20)
    for number in range(files):
        folder = root / f"{number // 10_000:04}" / f"{number // 100 % 100:02}"
        if number % 100 == 0:
            folder.mkdir(parents=True)
        start = draw.randrange(len(noise) - 2000)
        data = noise[start : start + draw.randrange(100, 2000)]
        with open(f"{folder}/{number:07}", "xb", buffering=0) as file:  # noqa: PTH123 -- a third faster than pathlib
            file.write(b"%d" % number + data)


def change(root: Path, files: int) -> None:
    """Edit 0.5 % of the files, delete 0.25 % and add 0.25 %."""
    draw = random.Random(2)
    for position, number in enumerate(draw.sample(range(files), files // 100)):
        path = root / f"{number // 10_000:04}" / f"{number // 100 % 100:02}" / f"{number:07}"
        if position % 2:
            path.write_bytes(draw.randbytes(500))
        elif position % 4:
            path.unlink()
        else:
            path.with_name(f"{number:07}-new").write_bytes(draw.randbytes(500))


def compare(source: Path, copy: Path) -> None:
    """Stop when the copy differs."""
    command = [RSYNC, "-an", "--delete", "--itemize-changes", f"{source}/", f"{copy}/"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    wrong = [line for line in lines if not line.endswith(" ./")]  # the root is the operator's
    if wrong:
        raise SystemExit(f"ours differs from the source: {wrong[:10]}")


def row(case: str, ours: float, peer: float | None, unit: str, target: float | None) -> dict[str, object]:
    """Make one row of the table; a target of memory is one for ours alone."""
    return {
        "case": case,
        "ours": round(ours, 3),
        "peer": None if peer is None else round(peer, 3),
        "unit": unit,
        "ratio": None if peer is None else round(ours / max(peer, 0.001), 3),
        "target": target,
        "met": target is None or ours <= target,
    }


if __name__ == "__main__":
    sys.exit(main())
