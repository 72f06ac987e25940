"""A worker asks for its shards through a pipe, as it does in a pod."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.toolkit.sync.trees import storage
from toolkit.sync.task import SyncTask, encode_tasks


def prefetch(tasks, *arguments, asked=b""):
    command = [sys.executable, "-m", "cloud_jobs.prefetch", str(tasks), *arguments]
    return subprocess.run(command, check=False, capture_output=True, input=asked, timeout=200)


def test_a_worker_gets_its_shards(tmp_path):
    warm, hot = storage(tmp_path / "warm"), storage(tmp_path / "hot")
    (tmp_path / "warm/datasets/seg3d").mkdir(parents=True)
    for number in (1, 2):
        (tmp_path / f"warm/datasets/seg3d/shard-{number}").write_bytes(b"%d" % number * 5000)
    task = SyncTask(route="seg3d-stage", source=warm, targets=(hot,), path="datasets/seg3d")
    (tmp_path / "tasks.json").write_bytes(encode_tasks([task]))
    done = prefetch(
        tmp_path / "tasks.json",
        "--budget",
        "100000",
        "--ahead",
        "0",
        asked=b"datasets/seg3d/shard-1\nelsewhere\n",
    )
    first, second, last = map(json.loads, done.stdout.splitlines())
    assert (first["state"], second["state"], done.returncode) == ("brought", "failed", 1)
    assert last["done"]["asked"] == 1
    assert (tmp_path / "hot/datasets/seg3d/shard-1").read_bytes() == b"1" * 5000
    (tmp_path / "tasks.json").write_bytes(b"[]")
    done = prefetch(tmp_path / "tasks.json", "--budget", "1")
    assert (done.returncode, b"has no task" in done.stderr) == (2, True)
