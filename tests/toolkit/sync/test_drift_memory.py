"""Drifts are made and opened in little memory, whatever the size of the file."""

from __future__ import annotations

import subprocess
import sys

import pytest

MAKE = """
import sys
from pathlib import Path
import numpy as np

file, drift = Path(sys.argv[1]), float(sys.argv[2])
draw, moved = np.random.default_rng(1), np.random.default_rng(2)
with file.open("wb") as out:
    for _ in range(20):
        numbers = draw.standard_normal(1 << 20, dtype=np.float32)
        out.write((numbers * (1 + drift * moved.standard_normal(1 << 20, dtype=np.float32))).astype("<f4").tobytes())
"""
RUN = """
import sys
from pathlib import Path
import numpy
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask

source, target, layout = sys.argv[1:]

def most() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

before = most()
places = {"mirror": "packs", "packs": "mirror"}
task = SyncTask(
    route="weights", path="w", grid="weights", source=Storage(tier="hot", url=source, layout=places[layout]),
    targets=(Storage(tier="cold", url=target, layout=layout),),
)
result = run_task(task)
assert result.exit_code == 0, result
print(most() - before >> 10)
"""


@pytest.mark.slow
def test_a_checkpoint_of_80_mib_goes_and_comes_back_in_little_memory(tmp_path):
    (tmp_path / "hot/w").mkdir(parents=True)
    (tmp_path / "cold").mkdir()
    (tmp_path / "back").mkdir()
    hot, cold, back = ((tmp_path / name).as_uri() for name in ("hot", "cold", "back"))

    def run(*arguments: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", RUN, *arguments], check=True, capture_output=True, text=True
        )
        return int(done.stdout)

    for drift in ("0", "1e-3"):
        subprocess.run([sys.executable, "-c", MAKE, str(tmp_path / "hot/w/model.bin"), drift], check=True)
        assert run(hot, cold, "packs") < 100
    stored = sum(path.stat().st_size for path in (tmp_path / "cold/packs").iterdir())
    assert stored < 1.55 * 80 * 1024 * 1024
    assert run(cold, back, "mirror") < 100
    assert (tmp_path / "back/w/model.bin").read_bytes() == (tmp_path / "hot/w/model.bin").read_bytes()
