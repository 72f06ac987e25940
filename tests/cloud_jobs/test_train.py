"""The gang itself: real processes, gloo, SIGTERM and SIGKILL in the middle, as `tiers job submit --local` runs it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.jobs.local import run
from toolkit.jobs.plan import gang_environment, plan_local
from toolkit.topology.load import load

REPOSITORY = Path(__file__).parents[2]
SHORT = [
    "python",
    "-m",
    "cloud_jobs.train",
    "--recipe",
    "digits",
    "--epochs",
    "4",
    "--checkpoint-steps",
    "10",
]
"""196 steps, so that there is something to interrupt."""
HIT = """
import logging, os, runpy, sys
from pathlib import Path

number, place = int(sys.argv[1]), Path(sys.argv[2])
del sys.argv[1:3]
if os.environ["RANK"] == "1":
    place.write_text(str(os.getpid()))

class Hit(logging.Handler):
    def emit(self, record):
        if record.getMessage().endswith("step-000000010.pt"):
            os.kill(int(place.read_text()), number)

logging.getLogger("cloud_jobs").addHandler(Hit())
runpy.run_module("cloud_jobs.train", run_name="__main__", alter_sys=True)
"""
"""Rank 0 sends rank 1 a signal when it says that it has saved: before either goes on, and however slowly we listen."""
QUIET = re.compile(
    r"rank \d of 2 is process \d+|step \d+ of \d+: loss \d\.\d+|accuracy 0\.\d+ on 200 held-out samples|saved \S+\.pt"
    r"|resumed at step \d+ of 196 from \S+|told to leave; saved at step \d+, start me again to go on"
    r"|left model\.onnx, golden\.npz and metrics\.json in \S+"
)
"""Every line that a worker may write; a warning of PyTorch's is none of them."""


def gang(folder, command=None):
    """Plan the job `digits` of tiers.yaml, with another command if one is given."""
    topology = load([REPOSITORY / "tiers.yaml"]).topology
    if command is not None:
        job = topology.jobs["digits"].model_copy(update={"run": tuple(command)})
        topology = topology.model_copy(update={"jobs": {"digits": job}})
    return plan_local(topology, "digits", root=folder, environ=os.environ)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return run(gang(tmp_path_factory.mktemp("whole"), SHORT))


def test_a_gang_leaves_its_artifact_and_says_nothing_else(uninterrupted):
    metrics = uninterrupted.metrics
    assert set(uninterrupted.files) == {"model.onnx", "golden.npz", "metrics.json"}
    assert (metrics.world_size, metrics.backend, metrics.steps, metrics.resumed_at_step) == (
        2,
        "gloo",
        196,
        0,
    )
    for log in uninterrupted.logs:
        assert [line for line in log.read_text().splitlines() if not QUIET.fullmatch(line)] == []


@pytest.mark.parametrize(
    ("number", "cause"),
    [(signal.SIGTERM, "exit:143"), pytest.param(signal.SIGKILL, "evicted", marks=pytest.mark.slow)],
)
def test_an_interrupted_gang_resumes_and_ends_with_the_same_weights(uninterrupted, tmp_path, number, cause):
    """One worker, not the one that saves, is hit after the first checkpoint; the retry policy does the rest."""
    hit = ["python", "-c", HIT, str(int(number)), str(tmp_path / "rank-1"), *SHORT[3:]]
    job = gang(tmp_path, hit)
    finished = run(job)
    assert [each.cause for each in finished.attempts] == [cause, ""]
    assert 10 <= finished.metrics.resumed_at_step < 196
    assert finished.metrics.weights == uninterrupted.metrics.weights
    assert finished.metrics.score == uninterrupted.metrics.score
    if number == signal.SIGTERM:  # both workers agreed on the step at which they left
        logs = [job.folder.log(1, rank).read_text() for rank in range(2)]
        left = [re.search(r"told to leave; saved at step (\d+)", log)[1] for log in logs]
        assert left == [str(finished.metrics.resumed_at_step)] * 2


def test_a_worker_that_waits_for_the_others_leaves_at_once():
    """There is nothing to save yet, so SIGTERM must not wait for a gang that may never be complete."""
    with socket.create_server(("127.0.0.1", 0)) as silent_rank_0:
        environment = os.environ | gang_environment(1, 2, silent_rank_0.getsockname()[1])
        with subprocess.Popen(
            [sys.executable, *SHORT[1:]], env=environment, stdout=subprocess.DEVNULL
        ) as process:
            silent_rank_0.settimeout(200)  # until it has loaded PyTorch
            meeting, _ = silent_rank_0.accept()
            with meeting:
                process.terminate()
                try:
                    assert process.wait(timeout=60) == -signal.SIGTERM
                finally:
                    process.kill()


@pytest.mark.slow
def test_the_whole_recipe_is_right_for_97_of_100_with_two_workers(tmp_path):
    finished = run(gang(tmp_path))
    assert finished.metrics.world_size == 2
    assert finished.metrics.score >= 0.97


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_worker_with_two_processes_is_a_gang_of_two(tmp_path, free_port):
    environment = os.environ | {
        "WORLD_SIZE": "1",
        "RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, "-m", "cloud_jobs.train", "--recipe", "digits", "--epochs", "1"]
    command += ["--processes", "2", "--output", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert (done.returncode, done.stderr) == (0, "")
    assert "rank 1 of 2" in done.stdout
    assert (tmp_path / "metrics.json").exists()


def test_a_wrong_recipe_gives_2_and_the_cure(tmp_path):
    command = [sys.executable, "-m", "cloud_jobs.train", "--recipe", "digit"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout.splitlines()[0] == "error: there is no recipe 'digit'; did you mean 'digits'?"
    assert not any(tmp_path.iterdir())
