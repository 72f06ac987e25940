"""What a flow stages is pinned until the gang is done: the tasks as rendered, the programs as the pods start them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from cloud_jobs.pin import main
from tests.toolkit.sync.trees import make_tree, photograph, task_of
from toolkit.errors import SyncError, UsageError
from toolkit.sync.pins import holders
from toolkit.sync.task import encode_tasks


@pytest.fixture
def staged(tmp_path):
    """Give a task and the file that a pod mounts, before anything was staged."""
    make_tree(tmp_path / "edge/frames")
    task = task_of(tmp_path)
    file = tmp_path / "tasks.json"
    file.write_bytes(encode_tasks([task]))
    return task, file


def run(module, *words):
    words = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_stage_pins_and_unpin_releases_as_the_pods_do(staged, tmp_path):
    task, file = staged
    assert run("cloud_jobs.sync_agent", file, "--once")[0] == 0
    code, out, err = run("cloud_jobs.pin", file, "--for", "nightly-train-stage")
    assert (code, json.loads(out)["holder"]) == (0, "nightly-train"), err
    assert holders(task, task.targets[0]) == ("nightly-train",)
    before = photograph(tmp_path / "hot/frames")
    code, out, _ = run("cloud_jobs.pin", file, "--for", "nightly-train-unpin", "--release")
    assert (code, json.loads(out)["released"]) == (0, True)
    assert holders(task, task.targets[0]) == ()
    assert photograph(tmp_path / "hot/frames") == before, "the data itself stays"


def test_two_flows_hold_the_same_data(staged, capsys):
    task, file = staged
    assert run("cloud_jobs.sync_agent", file, "--once")[0] == 0
    for job in ("nightly-train-stage", "weekly-train-stage", "nightly-train-stage"):
        assert main([str(file), "--for", job]) == 0
    assert holders(task, task.targets[0]) == ("nightly-train", "weekly-train")
    for _ in range(2):
        assert main([str(file), "--for", "nightly-train-unpin", "--release"]) == 0
    assert holders(task, task.targets[0]) == ("weekly-train",)
    assert [json.loads(line).get("released") for line in capsys.readouterr().out.splitlines()[3:]] == [
        True,
        False,
    ]


def test_nothing_was_staged(staged):
    _, file = staged
    assert main([str(file), "--for", "nightly-train-unpin", "--release"]) == 0
    with pytest.raises(SyncError, match="brought nothing"):
        main([str(file), "--for", "nightly-train-stage"])
    code, _, err = run("cloud_jobs.pin", file, "--for", "nightly-train-stage")
    assert code == SyncError.exit_code
    assert "nothing to pin" in err
    with pytest.raises(UsageError):
        main([str(file.with_name("missing.json")), "--for", "a-b"])
