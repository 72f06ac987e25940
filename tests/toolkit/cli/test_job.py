"""`tiers job submit --local` and `tiers job logs` as commands: exit codes, streams, Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = "import sys; from toolkit.cli import main; sys.exit(main())"
REPOSITORY = Path(__file__).parents[3]

WAITING = """
import os, signal, sys, threading
from pathlib import Path
def save(*_):
    Path(os.environ["TIERS_CHECKPOINTS"]).with_name("saved-" + os.environ["RANK"]).touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
print("pid", os.getpid(), flush=True)
while True:  # and not pause(), which would sleep through a signal that comes just before it
    threading.Event().wait(0.1)
"""


@pytest.fixture
def site(tmp_path):
    """Write a tiers.yaml whose jobs are plain Python, and give `command(*arguments)` to be run beside it."""
    base = (REPOSITORY / "tiers.yaml").read_text(encoding="utf-8")
    (tmp_path / "waiting.py").write_text(WAITING)
    jobs = {
        "waits": {"pool": "a100", "gang": {"workers": 2}, "run": ["python", "waiting.py"]},
        "fails": {
            "pool": "a100",
            "gang": {"workers": 2},
            "run": ["python", "-c", "print('why'); raise SystemExit(9)"],
        },
        "works": {"pool": "a100", "gang": {"workers": 4}, "run": ["python", "-c", "print('done')"]},
    }
    (tmp_path / "tiers.yaml").write_text(base)
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": jobs}, indent=1))

    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-c", PROGRAM, *arguments, "-f", "tiers.yaml", "-f", "jobs.yaml"]

    return command


def run(command, folder):
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, cwd=folder)


def test_the_result_is_on_stdout_and_the_workers_on_stderr(site, tmp_path):
    done = run(site("job", "submit", "works", "--local", "--workers", "2", "--json"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (json.loads(done.stdout)["workers"], json.loads(done.stdout)["job"]) == (2, "works")
    assert sorted(done.stderr.splitlines()[-2:]) == ["[rank 0] done", "[rank 1] done"]


def test_a_failed_job_gives_1_its_last_words_and_the_next_command(site, tmp_path):
    done = run(site("job", "submit", "fails", "--local", "--no-follow"), tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "ended with exit code 9" in done.stderr
    assert "    | why" in done.stderr
    (hint,) = (line for line in done.stderr.splitlines() if line.startswith("  try: tiers job logs fails"))
    words = hint.removeprefix("  try: tiers ").split()
    logs = run([sys.executable, "-c", PROGRAM, *words], tmp_path)
    assert (logs.returncode, logs.stdout.strip().endswith("] why")) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["waitz", "--local"], "did you mean 'waits'"),
        (["waits", "--fresh"], "--fresh is for --local"),
        (["waits", "--local", "--wait"], "--local runs here and knows no --wait"),
    ],
)
def test_a_wrong_command_line_gives_2(site, tmp_path, arguments, message):
    done = run(site("job", "submit", *arguments), tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / ".tiers").exists()


def test_without_a_cluster_it_gives_5(site, tmp_path):
    done = run(site("job", "submit", "waits", "--kubeconfig", "nowhere"), tmp_path)
    assert done.returncode == 5
    assert "no usable kubeconfig" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_gang_cleanly_with_130(site, tmp_path, number):
    process = subprocess.Popen(
        site("job", "submit", "waits", "--local"), stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stderr is not None
    said = (line.split() for line in process.stderr)
    pids: list[int] = []
    while len(pids) < 2:
        words = next(said)
        if words[0] == "[rank" and words[2] == "pid":
            pids.append(int(words[3]))
    process.send_signal(number)
    with process:
        process.stderr.read()
    assert process.returncode == 130
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert len(list((tmp_path / ".tiers" / "jobs" / "waits").glob("saved-*"))) == 2
