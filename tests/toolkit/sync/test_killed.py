"""`tiers sync run` in its own process, killed with SIGKILL in the middle, and run again: only the rest moves."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.toolkit.sync.trees import photograph
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.choose import open_remote
from toolkit.sync.verify import verify_packs

SITE = """
version: 1
name: killed
registry: file:///nowhere
clusters: {{main: {{context: none, tiers: [edge, hot]}}}}
images: {{edge: registry.example/tiers-edge:1.0, jobs: registry.example/tiers-jobs:1.0}}
tiers:
  edge:
    storage: {{url: "{edge}"}}
    pools: {{boxes: {{hardware: jetson-orin-nx, nodes: {{count: 1}}}}}}
  hot:
    storage: {{url: "{hot}", layout: {layout}}}
    pools: {{a100: {{hardware: a100-sxm-80gb, gpus: 8, nodes: {{count: 1}}}}}}
broker: {{url: "mqtts://broker.example:8883"}}
routes:
  frames: {{from: edge, to: hot, path: frames, limit: {limit}}}
"""
FILES, FILE_BYTES = 40, 1_000_000


def site(root: Path, layout: str, limit: str) -> Path:
    file = root / "tiers.yaml"
    file.write_text(
        SITE.format(edge=(root / "edge").as_uri(), hot=(root / "hot").as_uri(), layout=layout, limit=limit)
    )
    return file


def command(root: Path, *arguments: str) -> list[str]:
    start = "import sys; from toolkit.cli import main; sys.exit(main())"
    return [sys.executable, "-c", start, *arguments, "-f", str(root / "tiers.yaml")]


_HIT = """
import logging, os, re, sys
from toolkit.cli import main

class Hit(logging.Handler):
    def emit(self, record):
        told = re.search(r"has got (\\d+) chunks", record.getMessage())
        if told and int(told[1]) >= int(sys.argv[2]):
            sys.argv[2] = sys.maxsize
            os.write(2, record.getMessage().encode() + b"\\n")
            os.kill(os.getpid(), int(sys.argv[1]))

logging.getLogger("tiers").addHandler(Hit())
sys.exit(main(sys.argv[3:]))
"""


def hit_at(root: Path, signal_: signal.Signals, chunks: int, *arguments: str) -> list[str]:
    """Give a command that sends itself a signal when it says that so many chunks have arrived.

    It says so before anything else can happen; whoever reads what it says may come to it when all has arrived.
    """
    hit = [sys.executable, "-c", _HIT, str(int(signal_)), str(chunks)]
    return [*hit, *arguments, "-f", str(root / "tiers.yaml")]


def kill_after(root: Path, chunks: int) -> int:
    """Run the command, which is killed when it says that so many chunks have arrived; give what it said last."""
    done = subprocess.run(
        hit_at(root, signal.SIGKILL, chunks, "-v", "sync", "run", "frames"),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return max(int(each) for each in re.findall(r"has got (\d+) chunks", done.stderr))


def finish(root: Path) -> dict[str, object]:
    done = subprocess.run(
        command(root, "sync", "run", "frames", "--json"),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def tree(tmp_path):
    source = tmp_path / "edge/frames"
    source.mkdir(parents=True)
    (tmp_path / "hot").mkdir()
    draw = random.Random(1)
    for number in range(FILES):
        (source / f"{number:02}").write_bytes(draw.randbytes(FILE_BYTES))
    return tmp_path


@pytest.mark.slow
def test_a_mirror_that_was_killed_while_it_was_filled_gets_only_the_rest(tree):
    site(tree, "mirror", "16MiB/s")
    arrived = kill_after(tree, 150)
    assert not any(
        seen[0] == "file" for seen in photograph(tree / "hot").values()
    )  # nobody has seen half of it
    site(tree, "mirror", "1GiB/s")
    result = finish(tree)
    moved, chunks = result["targets"][0]["chunks_moved"], result["chunks"]
    # Nothing that was told to have arrived moves again; what was in the threads' hands is on the disk too.
    assert 0 < moved <= chunks - arrived
    assert photograph(tree / "hot/frames") == photograph(tree / "edge/frames")
    assert finish(tree)["targets"][0]["changed"] is False
    print(f"killed after {arrived} of {chunks} chunks; the second run moved {moved}")


def test_packs_that_were_killed_are_taken_up_and_at_most_one_pack_a_thread_moves_again(tree):
    site(tree, "packs", "32MiB/s")
    arrived = kill_after(tree, 1)
    site(tree, "packs", "1GiB/s")
    result = finish(tree)
    assert result["targets"][0]["chunks_moved"] <= result["chunks"] - arrived
    store = PackStore(open_remote((tree / "hot").as_uri()))
    assert verify_packs(store) == []
    assert store.list_refs() == ("routes/frames/at/0000000001", "routes/frames/head")
    assert finish(tree)["targets"][0]["changed"] is False


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.faults) for seed in range(1, 8))])
def test_killed_again_and_again_at_any_moment_it_gets_there(tree, seed):
    """No line to wait for: the moment is drawn, so it may hit the scan, the filling, the renaming or the tidying."""
    site(tree, "mirror", "1GiB/s")
    draw = random.Random(seed)
    for _ in range(6):
        process = subprocess.Popen(command(tree, "sync", "run", "frames"), stderr=subprocess.DEVNULL)
        threading.Event().wait(0.15 + draw.random() * 0.4)  # the moment is the subject, not a condition
        process.kill()
        process.wait(timeout=120)
        for path in (tree / "edge/frames").iterdir():
            if draw.random() < 0.1:
                path.write_bytes(draw.randbytes(FILE_BYTES))
    finish(tree)
    assert photograph(tree / "hot/frames") == photograph(tree / "edge/frames")
    assert finish(tree)["targets"][0]["changed"] is False
