"""The agent of a tier: its schedule, its one line a run, its end; started as a process, as a pod starts it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import msgspec
import pytest

from cloud_jobs.sync_agent import main, run_one
from tests.toolkit.sync.trees import make_tree, photograph, task_of
from toolkit.errors import IntegrityError, UsageError
from toolkit.sync.task import encode_tasks


def test_a_run_writes_one_line(tmp_path):
    make_tree(tmp_path / "edge/frames")
    lines = []
    assert run_one(task_of(tmp_path), lines.append) == 0
    (line,) = map(json.loads, lines)
    assert (line["route"], line["files"], line["exit_code"]) == ("frames", 60, 0)
    assert line["bytes_moved"] > 0


def test_an_error_is_a_line_too_and_does_not_end_the_agent(tmp_path):
    task = task_of(tmp_path)
    (tmp_path / "edge/frames").rmdir()
    lines = []
    assert run_one(task, lines.append) == 1
    assert "has no folder" in json.loads(lines[0])["error"]


def test_once_runs_every_scheduled_task_and_gives_the_worst_code(tmp_path, capsys):
    make_tree(tmp_path / "edge/frames")
    good = task_of(tmp_path)
    bad = msgspec.structs.replace(good, route="bad", path="nothing")
    demand = msgspec.structs.replace(good, route="demand", trigger="demand")
    (tmp_path / "tasks.json").write_bytes(encode_tasks([bad, good, demand]))
    assert main([str(tmp_path / "tasks.json"), "--once"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["route"] for line in lines] == ["bad", "frames"]
    assert photograph(tmp_path / "hot/frames") == photograph(tmp_path / "edge/frames")


def test_tasks_that_are_none_are_refused_with_the_file(tmp_path):
    (tmp_path / "tasks.json").write_bytes(b"{}")
    with pytest.raises(IntegrityError, match=r"tasks\.json"):
        main([str(tmp_path / "tasks.json"), "--once"])
    with pytest.raises(UsageError, match=r"no\.json"):
        main([str(tmp_path / "no.json"), "--once"])


def test_it_runs_on_its_schedule_until_it_is_told_to_end(tmp_path):
    make_tree(tmp_path / "edge/frames")
    task = task_of(tmp_path, every_seconds=0.05)
    (tmp_path / "tasks.json").write_bytes(encode_tasks([task]))
    agent = subprocess.Popen(
        [sys.executable, "-m", "cloud_jobs.sync_agent", str(tmp_path / "tasks.json")],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with agent:
        assert agent.stdout is not None
        runs = [json.loads(agent.stdout.readline()) for _ in range(3)]
        agent.send_signal(signal.SIGTERM)
        agent.stdout.read()
    assert agent.returncode == 0
    assert runs[0]["bytes_moved"] > 0
    assert [run["bytes_moved"] for run in runs[1:]] == [0, 0]
