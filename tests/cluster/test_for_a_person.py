"""`make cluster` as a person starts it: it says how to reach it, and Ctrl-C ends all of it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import crds, programs


def children(pid: int) -> set[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return {int(each) for each in listed.split()}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_starts_answers_and_ends(require, wait_until):
    require("cluster")
    command = [sys.executable, "-m", "tests.cluster"]
    with subprocess.Popen(command, cwd=crds.REPOSITORY, stdout=subprocess.PIPE, text=True) as person:
        try:
            lines = []
            for line in person.stdout:
                lines.append(line)
                if "Ctrl-C" in line:
                    break
            text = "".join(lines)
            kubeconfig = shlex.split(re.search(r"^export KUBECONFIG=(.*)$", text, re.MULTILINE)[1])[0]
            kubectl = shlex.split(re.search(r"^alias kubectl=(.*)$", text, re.MULTILINE)[1])[0]
            started = children(person.pid)
            assert len(started) >= 8, "etcd, API server, controllers, schedulers, Volcano, KWOK"
            edge = subprocess.run(
                [kubectl, "get", "nodes", "-l", "node-role.kubernetes.io/edge", "-o", "name"],
                env={**os.environ, "KUBECONFIG": kubeconfig},
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )
            assert len(edge.stdout.splitlines()) == 122
            person.send_signal(signal.SIGINT)
            assert person.wait(240) == 0
        finally:
            person.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started), "all of it has ended")
    assert not Path(kubeconfig).exists()


def test_what_is_missing_is_named(tmp_path):
    hidden = {
        **os.environ,
        "TIERS_CRDS": str(tmp_path),
        "TIERS_CACHE": str(tmp_path),
        "KUBEBUILDER_ASSETS": "",
    }
    told = subprocess.run(
        [sys.executable, "-m", "tests.cluster"],
        cwd=crds.REPOSITORY,
        env=hidden,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert told.returncode == 1
    assert f"try: {crds.BRING}; {programs.BRING}" in told.stderr
