"""Patches between versions of weights, against what else makes one file out of another.

    python benchmarks/delta.py [--quick] [--json] [--repeat N] [--folder DIR] [--slow-peers]

32 normally distributed tensors in a safetensors file; the next version drifts (each weight by so much of its tensor's
deviation), changes its last two tensors by 1e-2 of it, or has a longer header in front as well. int8 is quantised per
tensor on the scales of the version before. Ours is the patch that `tiers model push` makes and that a device replays,
proof included, in this process. Peers: chunks alone (ours too, content-defined), `zstd --patch-from`, `xdelta3`,
`bsdiff` and HDiffPatch (`pip install hdiffpatch`), each as a process of its own. The last three run once, and bsdiff,
which takes minutes on drift and 17 times the file's memory, without --slow-peers only where the last tensors changed.
The last pairs are a network for digits that was trained and then trained on for an epoch with another seed
(`deltas/train_on.py`); they need the extra `train`.

Shares are bytes of the patch to bytes of the new file. Seconds are the processor's (user and system), by turns, median
of five: all ways use one core, and the machine may have other work.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from toolkit.registry.tensor_maps import tensors_of
from toolkit.sync.delta.encode import Change, encode_patch, equal_runs
from toolkit.sync.delta.replay import PatchStream, cut_by, is_right, replay
from toolkit.sync.delta.tensors import pair_tensors
from toolkit.wire.chunk import Cutter, grid_for, open_chunk, store_chunk
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef

MIB = 1024 * 1024
# Bytes to the new file's, frozen before the first run: issue "Ship models over MQTT", from the figures of a prototype.
TARGETS = {
    "int8 drift 1e-3": 0.05,
    "fp16 drift 1e-3": 0.45,
    "fp32 drift 1e-3": 0.62,
    "int8 last tensors": 0.05,
    "fp16 last tensors": 0.05,
    "fp32 last tensors": 0.05,
    "int8 last tensors, header grown": 0.08,
    "fp16 last tensors, header grown": 0.08,
    "fp32 last tensors, header grown": 0.08,
}
ENCODE_MB_S = 50.0
WIDTHS = {"int8": "I8", "fp16": "F16", "fp32": "F32"}
TENSORS = 32
_READ = "import sys, hdiffpatch as h; one, other = (open(name, 'rb').read() for name in sys.argv[1:3]); "
HDIFF_MAKE = _READ + "open(sys.argv[3], 'wb').write(h.diff(one, other, h.COMPRESSION_ZSTD, validate=False))"
HDIFF_APPLY = _READ + "open(sys.argv[3], 'wb').write(h.apply(one, other))"
SLOW = {"bsdiff", "hdiffpatch", "xdelta3"}
"""These run once, and bsdiff only where little changed unless --slow-peers is given."""


@dataclass
class Measured:
    """What one way made of one pair."""

    size: int = 0
    encode: list[float] = field(default_factory=list)
    decode: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Way:
    """A way to make a patch and to apply it."""

    name: str
    encode: Callable[[Path, Path, Path], int]
    """(base, target, patch) -> bytes that travel."""
    decode: Callable[[Path, Path, Path, Path], None]
    """(base, patch, target, result); the target is for those that have its index."""


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a million weights, one repetition: for CI")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--repeat", type=int, default=0, help="repetitions (default 5, quick 1)")
    parser.add_argument("--folder", help="where to work (default: the folder for temporary files)")
    parser.add_argument("--slow-peers", action="store_true", help="bsdiff on every pair (minutes)")
    given = parser.parse_args()
    count = 1_000_000 if given.quick else 12_000_000
    ways = [OURS, CHUNKS, *(way for way in PEERS if is_here(way.name.split()[0]))]
    measured: dict[str, dict[str, Measured]] = {}
    sizes: dict[str, int] = {}
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        cases = make_cases(folder, count)

        def runs(way: Way, case: str) -> bool:
            return bool(given.slow_peers) or way.name != "bsdiff" or "last" in case

        for number in range(given.repeat or (1 if given.quick else 5)):
            for case, (base, target) in cases.items():
                sizes[case] = target.stat().st_size
                usable = [way for way in ways if way.name not in SLOW or (number == 0 and runs(way, case))]
                for way in usable if number % 2 == 0 else reversed(usable):
                    into = measured.setdefault(case, {}).setdefault(way.name, Measured())
                    measure(way, base, target, folder, into)
    report(measured, sizes, quick=given.quick, as_json=given.json)
    return 0


def measure(way: Way, base: Path, target: Path, folder: Path, into: Measured) -> None:
    """Make a patch, apply it, compare."""
    patch, result = folder / "patch", folder / "result"
    for old in (patch, result):
        old.unlink(missing_ok=True)
    begun = processor_seconds()
    into.size = way.encode(base, target, patch)
    middle = processor_seconds()
    way.decode(base, patch, target, result)
    into.encode.append(middle - begun)
    into.decode.append(processor_seconds() - middle)
    assert sha(result) == sha(target), f"{way.name} made something else"


def processor_seconds() -> float:
    """Give what this process and those it waited for have used. None of the ways uses several cores."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


# ---------------------------------------------------------------- the pairs
def make_cases(folder: Path, count: int) -> dict[str, tuple[Path, Path]]:
    """Write base and target of every case."""
    draw = np.random.default_rng(1)
    size = count // TENSORS
    sigmas = draw.uniform(0.01, 0.1, TENSORS).astype(np.float32)
    base = [draw.standard_normal(size, dtype=np.float32) * sigma for sigma in sigmas]
    moved = [draw.standard_normal(size, dtype=np.float32) * sigma for sigma in sigmas]
    last = [*base[:-2], *(a + b * np.float32(1e-2) for a, b in zip(base[-2:], moved[-2:], strict=True))]
    cases: dict[str, tuple[Path, Path]] = {}
    for kind in WIDTHS:
        before = write(folder / f"{kind}.base", kind, base, base)
        for drift in (1e-2, 1e-3, 1e-4):
            after = [a + b * np.float32(drift) for a, b in zip(base, moved, strict=True)]
            name = f"{kind} drift {drift:.0e}".replace("e-0", "e-")
            cases[name] = before, write(folder / name, kind, after, base)
        name = f"{kind} last tensors"
        cases[name] = before, write(folder / name, kind, last, base)
        name += ", header grown"
        cases[name] = before, write(folder / name, kind, last, base, note="x" * 137)
    cases |= trained(folder, quick=count < 5_000_000)
    return cases


def write(path: Path, kind: str, tensors: list[np.ndarray], scales: list[np.ndarray], note: str = "") -> Path:
    """Write a safetensors file."""
    parts: list[bytes] = []
    for tensor, origin in zip(tensors, scales, strict=True):
        if kind == "int8":
            steps = np.round(tensor / (np.abs(origin).max() / 127))
            parts.append(np.clip(steps, -127, 127).astype(np.int8).tobytes())
        else:
            parts.append(tensor.astype(np.float16 if kind == "fp16" else np.float32).tobytes())
    at, entries = 0, dict[str, object]()
    for number, part in enumerate(parts):
        shape = [len(tensors[number])]
        entries[f"layer.{number}"] = {
            "dtype": WIDTHS[kind],
            "shape": shape,
            "data_offsets": [at, at + len(part)],
        }
        at += len(part)
    header = json.dumps(({"__metadata__": {"note": note}} if note else {}) | entries).encode()
    path.write_bytes(b"".join((len(header).to_bytes(8, "little"), header, *parts)))
    return path


def trained(folder: Path, *, quick: bool) -> dict[str, tuple[Path, Path]]:
    """Train a network, train it on with another seed, and export both."""
    if not find_spec("torch") or not find_spec("sklearn"):
        return {}
    program = Path(__file__).with_name("deltas") / "train_on.py"
    subprocess.run(
        [sys.executable, str(program), str(folder), "1" if quick else "4"], check=True, capture_output=True
    )
    return {
        "digits network trained on, fp32": (folder / "trained.onnx", folder / "tuned.onnx"),
        "digits network trained on, fp16": (folder / "trained16.onnx", folder / "tuned16.onnx"),
    }


# ---------------------------------------------------------------- the ways
def refs_of(path: Path) -> list[ChunkRef]:
    """Name the chunks of a file."""
    found: list[ChunkRef] = []
    cutter = Cutter(grid_for("artifact", path.stat().st_size))
    with path.open("rb") as file:
        while segment := file.read(8 * MIB):
            found += [ChunkRef(digest_of(piece), len(piece)) for piece in cutter.feed(segment)]
    return found + [ChunkRef(digest_of(piece), len(piece)) for piece in cutter.finish()]


def encode_chunks(base: Path, target: Path, patch: Path) -> int:
    """Keep the chunks that the base lacks, each with its length before it."""
    held = {ref.digest for ref in index_of(base)}
    size, seen = 0, set(held)
    with target.open("rb") as file, patch.open("wb") as out:
        for ref in index_of(target):
            data = file.read(ref.size)
            if ref.digest not in seen:
                seen.add(ref.digest)
                stored = store_chunk(data)
                size += len(stored)
                out.write(len(stored).to_bytes(4, "big") + stored)
    return size


def decode_chunks(base: Path, patch: Path, target: Path, result: Path) -> None:
    """Put the target together from chunks of the base and those that came, each proven."""
    places, at = dict[str, int](), 0
    for ref in index_of(base):
        places.setdefault(ref.digest, at)
        at += ref.size
    came: dict[str, bytes] = {}
    with base.open("rb") as old, patch.open("rb") as new, result.open("wb") as out:
        for ref in index_of(target):
            if ref.digest in places:
                old.seek(places[ref.digest])
                data = old.read(ref.size)
                assert digest_of(data) == ref.digest
            else:
                if ref.digest not in came:
                    came[ref.digest] = new.read(int.from_bytes(new.read(4), "big"))
                data = open_chunk(came[ref.digest], ref.digest, ref.size)
            out.write(data)


INDEXES: dict[Path, list[ChunkRef]] = {}


def index_of(path: Path) -> list[ChunkRef]:
    """Give the index of a file; the registry and the device have it before any patch is made or applied."""
    if path not in INDEXES:
        INDEXES[path] = refs_of(path)
    return INDEXES[path]


def encode_ours(base: Path, target: Path, patch: Path) -> int:
    """Make a patch as a push does, tensor maps and all."""
    pairs = pair_tensors(tensors_of(base), tensors_of(target))
    runs = equal_runs(iter(index_of(base)), iter(index_of(target)))
    encode_patch([Change(b"f", target, b"f", base, pairs, runs)], patch)
    return patch.stat().st_size


def decode_ours(base: Path, patch: Path, target: Path, result: Path) -> None:
    """Replay a patch as a device does: each chunk counts only if it is the one in the index."""
    with base.open("rb") as old, patch.open("rb") as came, result.open("wb") as out:

        def read(_: bytes, offset: int, length: int) -> bytes:
            old.seek(offset)
            return old.read(length)

        stream = PatchStream(iter(lambda: came.read(MIB), b""))
        (file,) = stream.head(patch.stat().st_size).files
        for ref, data in cut_by(index_of(target), replay(file, stream, read)):
            assert is_right(ref, data)
            out.write(data)


def program(name: str, encode: list[str], decode: list[str]) -> Way:
    """Give a peer that is a program; BASE, NEW, PATCH and OUT stand for the files."""

    def run(command: list[str], **files: Path) -> None:
        words = [str(files.get(word, word)) for word in command]
        subprocess.run(words, check=True, capture_output=True)

    def encoded(base: Path, target: Path, patch: Path) -> int:
        run(encode, BASE=base, NEW=target, PATCH=patch)
        return patch.stat().st_size

    def decoded(base: Path, patch: Path, target: Path, result: Path) -> None:
        del target
        run(decode, BASE=base, PATCH=patch, OUT=result)

    return Way(name, encoded, decoded)


OURS = Way("ours", encode_ours, decode_ours)
CHUNKS = Way("chunks alone", encode_chunks, decode_chunks)
PEERS = (
    program(
        "zstd --patch-from",
        ["zstd", "-q", "-3", "--long=27", "-f", "--patch-from", "BASE", "NEW", "-o", "PATCH"],
        ["zstd", "-q", "-d", "--long=27", "-f", "--patch-from", "BASE", "PATCH", "-o", "OUT"],
    ),
    program(
        "xdelta3",
        ["xdelta3", "-1", "-e", "-f", "-s", "BASE", "NEW", "PATCH"],
        ["xdelta3", "-d", "-f", "-s", "BASE", "PATCH", "OUT"],
    ),
    program("bsdiff", ["bsdiff", "BASE", "NEW", "PATCH"], ["bspatch", "BASE", "OUT", "PATCH"]),
    program(
        "hdiffpatch",
        [sys.executable, "-c", HDIFF_MAKE, "BASE", "NEW", "PATCH"],
        [sys.executable, "-c", HDIFF_APPLY, "BASE", "PATCH", "OUT"],
    ),
)


def is_here(name: str) -> bool:
    """Say whether a peer is installed, as a program or as a module."""
    return shutil.which(name) is not None or find_spec(name) is not None


def sha(path: Path) -> str:
    """Give a digest that none of the ways uses."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---------------------------------------------------------------- what comes out
def report(
    measured: dict[str, dict[str, Measured]], sizes: dict[str, int], *, quick: bool, as_json: bool
) -> None:
    """Print what was measured; the quick form has no target for speed, which small files do not show."""
    rows: list[dict[str, object]] = []
    for case, ways in measured.items():
        size, ours = sizes[case], ways["ours"]
        for name, peer in ways.items():
            if name != "ours":
                rows.append(_row(case, f"against {name}", ours.size, peer.size, "bytes"))
                rows.append(_row(case, f"encode, {name}", _median(ours.encode), _median(peer.encode), "s"))
                rows.append(_row(case, f"apply, {name}", _median(ours.decode), _median(peer.decode), "s"))
        rows.append(_row(case, "share of the new file", ours.size, size, "bytes", TARGETS.get(case)))
        speed = size / 1e6 / _median(ours.encode)
        if not quick and size > 5_000_000:
            rows.append(_row(case, "encode", speed, ENCODE_MB_S, "MB/s", 1.0, larger=True))
    if as_json:
        print(json.dumps({"benchmark": "delta", "rows": rows}, indent=1))
        return
    names = list(dict.fromkeys(name for ways in measured.values() for name in ways))
    print("share of the new file (seconds to make it, seconds to apply it)")
    print(f"{'case':34} {'MB':>6} " + " ".join(f"{name:>23}" for name in names) + "   target")
    for case, ways in measured.items():
        cells = [_cell(ways[name], sizes[case]) if name in ways else "" for name in names]
        target = TARGETS.get(case)
        met = "" if target is None or ways["ours"].size <= target * sizes[case] else " MISSED"
        print(
            f"{case:34} {sizes[case] / 1e6:6.1f} "
            + " ".join(f"{cell:>23}" for cell in cells)
            + (f"   {target:.2f}{met}" if target else "")
        )
    slowest = min((row for row in rows if row["unit"] == "MB/s"), key=lambda row: row["ratio"], default=None)
    if slowest is not None:
        print(
            f"slowest encode: {slowest['ours']} MB/s ({slowest['case']}), target {ENCODE_MB_S:g}"
            + ("" if slowest["met"] else " MISSED")
        )


def _cell(way: Measured, size: int) -> str:
    return f"{way.size / size:.3f} ({_median(way.encode):.2f}, {_median(way.decode):.2f})"


def _median(times: list[float]) -> float:
    return statistics.median(times)


def _row(
    case: str,
    what: str,
    ours: float,
    peer: float,
    unit: str,
    target: float | None = None,
    *,
    larger: bool = False,
) -> dict[str, object]:
    ratio = ours / max(peer, 1e-9)
    met = target is None or (ratio >= target if larger else ratio <= target)
    return {
        "case": f"{case}: {what}",
        "ours": round(ours, 4),
        "peer": round(peer, 4),
        "unit": unit,
        "ratio": round(ratio, 4),
        "target": target,
        "met": met,
    }


if __name__ == "__main__":
    sys.exit(main())
