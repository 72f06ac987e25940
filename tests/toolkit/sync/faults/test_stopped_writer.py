"""A writer in its own process that is stopped with SIGSTOP while collections come and go, as in rustic's PR 144.

What it had stored is collected under it. When it goes on it says so and has written no Ref; the next run completes it.
One that was killed instead sends at most one pack a worker again.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess

import pytest

from tests.toolkit.sync.test_killed import finish, hit_at, kill_after, site
from toolkit.sync.flow import THREADS
from toolkit.sync.gc import Rules, collect
from toolkit.sync.layouts.pack import MAX_PACK_BYTES
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.choose import open_remote
from toolkit.sync.verify import verify_packs

FILES, FILE_BYTES = 50, 1_000_000
"""After the first pack the writer has four seconds to go, in which it is stopped."""
NOW = Rules(grace_seconds=0)


@pytest.fixture
def tree(tmp_path):
    source = tmp_path / "edge/frames"
    source.mkdir(parents=True)
    (tmp_path / "hot").mkdir()
    draw = random.Random(1)
    for number in range(FILES):
        (source / f"{number:02}").write_bytes(draw.randbytes(FILE_BYTES))
    return tmp_path


def store(tree) -> PackStore:
    return PackStore(open_remote((tree / "hot").as_uri()))


def test_a_writer_that_is_stopped_over_two_collections(tree):
    site(tree, "packs", "8MiB/s")
    process = subprocess.Popen(
        hit_at(tree, signal.SIGSTOP, 1, "-v", "sync", "run", "frames", "--json"),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    assert store(tree).list_refs() == ()
    collect(store(tree), NOW)
    done = collect(store(tree), NOW)
    assert [key.partition("/")[0] for key in done.deleted] == ["packs"]
    os.kill(process.pid, signal.SIGCONT)
    out, err = process.communicate(timeout=250)
    assert process.returncode == 1, err
    assert "garbage was collected there while this ran" in json.loads(out)["targets"][0]["error"]
    assert store(tree).list_refs() == ()
    assert list(store(tree).remote.list("pending/")) == []
    site(tree, "packs", "1GiB/s")
    finish(tree)
    assert verify_packs(store(tree)) == []
    assert collect(store(tree), NOW).waiting == 0


def test_a_writer_that_was_killed_sends_at_most_one_pack_a_worker_again(tree):
    site(tree, "packs", "16MiB/s")
    kill_after(tree, 1)
    there = sum(path.stat().st_size for path in (tree / "hot/packs").iterdir())
    assert there > FILES * FILE_BYTES / 3
    site(tree, "packs", "1GiB/s")
    moved = finish(tree)["targets"][0]["bytes_moved"]
    total = FILES * FILE_BYTES
    # What was in a pack that stood is not sent again; what the dead one held besides is less than a pack a worker.
    assert moved <= total - there + THREADS * MAX_PACK_BYTES
    assert moved <= total * 1.01 - there * 0.99
