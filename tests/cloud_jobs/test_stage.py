"""A job's data comes to its tier, out of the archive too when it went there; a program as the rendered pod runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.toolkit.sync.trees import storage
from toolkit.sync.run import run_task
from toolkit.sync.task import SyncTask, encode_tasks


@pytest.fixture
def site(tmp_path):
    """Two data sets in warm, and the tasks of a job in hot that wants one of them."""
    warm, cold, hot = (
        storage(tmp_path / "warm"),
        storage(tmp_path / "cold", "packs"),
        storage(tmp_path / "hot"),
    )
    for name in ("seg3d", "other"):
        (tmp_path / "warm/datasets" / name).mkdir(parents=True)
        (tmp_path / "warm/datasets" / name / "shard-0").write_bytes(name.encode() * 5000)
    tasks = (
        SyncTask(
            route="recall", source=cold, targets=(warm,), path="datasets", below="seg3d", trigger="demand"
        ),
        SyncTask(route="seg3d-stage", source=warm, targets=(hot,), path="datasets/seg3d"),
    )
    (tmp_path / "tasks.json").write_bytes(encode_tasks(tasks))
    return tmp_path


def stage(site):
    command = [sys.executable, "-m", "cloud_jobs.stage", str(site / "tasks.json")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=200)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def archive(site):
    task = SyncTask(
        route="archive",
        source=storage(site / "warm"),
        targets=(storage(site / "cold", "packs"),),
        path="datasets",
        then="remove_source",
    )
    assert run_task(task).removed == 2


def test_data_that_is_near_comes_without_the_archive(site):
    code, hops, err = stage(site)
    assert (code, [hop["route"] for hop in hops]) == (0, ["seg3d-stage"]), err
    assert (site / "hot/datasets/seg3d/shard-0").read_bytes() == b"seg3d" * 5000


def test_data_that_was_archived_is_recalled_first_and_alone(site):
    archive(site)
    code, hops, err = stage(site)
    assert (code, [hop["route"] for hop in hops]) == (0, ["recall", "seg3d-stage"]), err
    assert (site / "hot/datasets/seg3d/shard-0").read_bytes() == b"seg3d" * 5000
    assert not (site / "warm/datasets/other/shard-0").exists()
    assert stage(site)[1][-1]["bytes_moved"] == 0


def test_data_that_is_nowhere_ends_with_words(site):
    (site / "warm/datasets/seg3d/shard-0").unlink()
    (site / "warm/datasets/seg3d").rmdir()
    code, _, err = stage(site)
    assert code == 1
    assert "has no folder 'datasets/seg3d'" in err


def test_an_archive_that_is_not_there_is_not_taken_for_an_empty_one(site):
    (site / "cold").rmdir()
    code, hops, err = stage(site)
    assert (code, hops) == (5, [])
    assert "cold" in err


@pytest.mark.parametrize(("text", "code"), [("[]", 2), ("{", 6)])
def test_a_file_without_tasks_is_refused(site, text, code):
    (site / "tasks.json").write_text(text)
    assert stage(site)[0] == code
