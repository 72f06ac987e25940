"""Checkpoints of one training into packs: all weights moved a little since the one before.

    python benchmarks/checkpoints.py [--quick] [--json] [--repeat N] [--folder DIR]

Five normally distributed files of 64 MB (--quick: three of 16), each the one before with every weight moved by 1e-3 of
itself, under one name, in fp16 and in fp32. Ours with `content: weights` (docs/decisions/0075), ours without it, and
restic, each into an empty folder; then all is restored and compared. A run is a process of its own, its start included.

Shares are the bytes by which a store grew, to the bytes of the checkpoint, and the same each time. Speeds are MB of the
checkpoint in a second of the processor (user and system), by turns, the median of the repetitions.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # started as a script

from benchmarks.syncing.ours import Ours
from benchmarks.syncing.peers import Restic
from benchmarks.syncing.places import Place, place_of
from benchmarks.syncing.process import Ran

MB = 1_000_000
DRIFT = 1e-3
NUMBERS = {"fp16": np.float16, "fp32": np.float32}


class Tool(Protocol):
    """What is measured."""

    def sync(self, source: Path) -> Ran:
        """Store the source once more."""
        ...

    def restore(self, source: Path, target: Path) -> Ran:
        """Bring the last version back."""
        ...

    def moved(self, ran: Ran) -> int:
        """Give the bytes by which the store grew."""
        ...


@dataclass
class Row:
    """What one tool made of one series."""

    numbers: str
    tool: str
    shares: list[float] = field(default_factory=list)
    """Of each checkpoint, in order."""
    sends: list[float] = field(default_factory=list)
    """MB in a second of the processor, of each checkpoint but the first."""
    restores: list[float] = field(default_factory=list)
    resident: int = 0
    """The most of any run, in bytes."""


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three of 16 MB, one repetition: for CI")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--repeat", type=int, default=0, help="repetitions (default 5, quick 1)")
    parser.add_argument("--folder", help="where to work (default: the folder for temporary files)")
    given = parser.parse_args()
    size, count = (16 * MB, 3) if given.quick else (64 * MB, 5)
    rows: dict[tuple[str, str], Row] = {}
    for number in range(given.repeat or (1 if given.quick else 5)):
        for numbers in NUMBERS:
            with (
                tempfile.TemporaryDirectory(dir=given.folder) as name,
                place_of("local", Path(name) / "place") as place,
            ):
                one_round(Path(name), place, numbers, size, count, rows, is_reversed=bool(number % 2))
    report(list(rows.values()), as_json=given.json)
    return 0


def one_round(
    folder: Path,
    place: Place,
    numbers: str,
    size: int,
    count: int,
    rows: dict[tuple[str, str], Row],
    *,
    is_reversed: bool,
) -> None:
    """Let each tool store each checkpoint of a series, by turns, and bring the last one back."""
    tools: dict[str, Tool] = {
        "ours, content: weights": Ours(
            place.fresh("weights"), folder / "weights", layout="packs", grid="weights"
        ),
        "ours": Ours(place.fresh("plain"), folder / "plain", layout="packs"),
    }
    if shutil.which("restic"):
        tools["restic"] = Restic(place.fresh("restic"))
    source = folder / "source" / "training"
    source.mkdir(parents=True)
    random = np.random.default_rng(20261122)
    weights = random.standard_normal(size // np.dtype(NUMBERS[numbers]).itemsize, dtype=np.float32)
    order = list(tools)[:: -1 if is_reversed else 1]
    for number in range(count):
        if number:
            weights *= 1 + DRIFT * random.standard_normal(len(weights), dtype=np.float32)
        (source / "last.ckpt").write_bytes(weights.astype(NUMBERS[numbers]).tobytes())
        for name in order:
            ran = tools[name].sync(source)
            row = rows.setdefault((numbers, name), Row(numbers, name))
            row.resident = max(row.resident, ran.memory)
            share = tools[name].moved(ran) / size
            if len(row.shares) < count:
                row.shares.append(share)
            if number:
                row.sends.append(size / MB / ran.processor)
    for name in order:
        back = folder / f"back-{len(name)}"
        back.mkdir()
        ran = tools[name].restore(source, back)
        (found,) = back.rglob("last.ckpt")
        assert found.read_bytes() == (source / "last.ckpt").read_bytes(), (
            f"{name} brought something else back"
        )
        row = rows[numbers, name]
        row.restores.append(size / MB / ran.processor)
        row.resident = max(row.resident, ran.memory)


def report(rows: list[Row], *, as_json: bool) -> None:
    """Print what was found."""
    if as_json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    print("| numbers | tool | shares | sends, MB/s | restores, MB/s | MB resident | sum to restic's |")
    print("|---|---|---|---|---|---|---|")
    whole = {row.numbers: sum(row.shares) for row in rows if row.tool == "restic"}
    for row in rows:
        sends, restores = statistics.median(row.sends), statistics.median(row.restores)
        shares = ", ".join(f"{share:.3f}" for share in row.shares)
        ratio = f"{sum(row.shares) / whole[row.numbers]:.2f}" if row.numbers in whole else "-"
        print(
            f"| {row.numbers} | {row.tool} | {shares} | {sends:.0f} | {restores:.0f} "
            f"| {row.resident / MB:.0f} | {ratio} |"
        )


if __name__ == "__main__":
    sys.exit(main())
