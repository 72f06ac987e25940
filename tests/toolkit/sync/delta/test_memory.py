"""A device replays a patch of a large model in little memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MIB = 1024 * 1024
MAKE = """
import sys
from pathlib import Path
import numpy as np
from toolkit.sync.delta.encode import Change, encode_patch
from toolkit.sync.delta.tensors import Pair

folder, count, opaque = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "opaque"
draw = np.random.default_rng(1)
with (folder / "base").open("wb") as base, (folder / "target").open("wb") as target:
    for _ in range(count):
        numbers = draw.standard_normal(1 << 20, dtype=np.float32)
        base.write(numbers.tobytes())
        if opaque:
            numbers[:: 1 << 10] += 1
        else:
            numbers *= np.float32(1.001)
        target.write(numbers.tobytes())
pair = Pair(0, 0, count << 22, 4, True)
pairs = [] if opaque else [pair]
encode_patch([Change(b"f", folder / "target", b"f", folder / "base", pairs)], folder / "patch")
"""
REPLAY = """
import resource, sys
from pathlib import Path
import numpy
from toolkit.sync.delta.replay import PatchStream, replay

folder = Path(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
base, patch, target = ((folder / name).open("rb") for name in ("base", "patch", "target"))
with base, patch, target:
    def read(path, offset, length):
        base.seek(offset)
        return base.read(length)
    stream = PatchStream(iter(lambda: patch.read(1 << 20), b""))
    (file,) = stream.head((folder / "patch").stat().st_size).files
    for piece in replay(file, stream, read):
        assert piece == target.read(len(piece))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.slow
@pytest.mark.timeout(1500)  # a patch of 256 MiB is made first: two minutes on a machine that does much else
@pytest.mark.parametrize(("kind", "most"), [("planes", 60), ("opaque", 200)])
def test_memory_does_not_grow_with_the_model(tmp_path: Path, kind: str, most: int) -> None:
    subprocess.run([sys.executable, "-c", MAKE, str(tmp_path), "64", kind], check=True)
    done = subprocess.run(
        [sys.executable, "-c", REPLAY, str(tmp_path)], check=True, capture_output=True, text=True
    )
    size = (tmp_path / "target").stat().st_size // MIB
    print(f"{kind}: {done.stdout.strip()} MiB to replay a patch of {size} MiB")
    assert int(done.stdout) < most
