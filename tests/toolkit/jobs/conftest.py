"""Gangs of plain Python workers: what a worker does is a few lines of text, run by real processes."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit.jobs.plan import LocalJob, plan_local

PRELUDE = """
import os, signal, subprocess, sys, threading, time
from pathlib import Path
rank = int(os.environ["RANK"])
output = Path(os.environ["TIERS_OUTPUT"])
def note(name, text):
    part = output / f".{name}.part"
    part.write_text(str(text))
    part.rename(output / name)
def wait_for(*names):
    for _ in range(3000):
        if all((output / name).exists() for name in names):
            return
        threading.Event().wait(0.01)
    sys.exit(99)
def child():
    return subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]).pid
"""


@pytest.fixture
def plan(topology, tmp_path) -> Callable[..., LocalJob]:
    """Give `plan(code, **keys of the job)`: a job `work` of two workers that run this code."""

    def make(
        code: str, *, workers: int = 2, environ: dict[str, str] | None = None, **changes: object
    ) -> LocalJob:
        run = [sys.executable, "-c", PRELUDE + textwrap.dedent(code)]
        job = {"pool": "a100", "gang": {"workers": 4}, "run": run, "retry": {"attempts": 0}, "grace": "5s"}
        site = topology({"jobs": {"work": job | changes}})
        environment = dict(os.environ) if environ is None else environ
        return plan_local(site, "work", root=tmp_path / "jobs", environ=environment, workers=workers)

    return make


@pytest.fixture
def alive() -> Callable[[int], bool]:
    """Give a function that says whether a process runs; one that is dead but not yet reaped does not."""

    def ask(pid: int) -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        return state not in {"Z", "X"}

    return ask
