"""`tiers job submit --wait`: each change is told once, the end decides the exit code, Ctrl-C leaves the job alone."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from toolkit.cli import main
from toolkit.jobs.follow import follow
from toolkit.jobs.states import JobState

PROGRAM = "import sys; from toolkit.cli import main; sys.exit(main())"


@dataclass
class Follower:
    """A command in a process of its own, and what it has said so far."""

    process: subprocess.Popen[str]
    said: list[str]

    def hears(self, words: str) -> bool:
        return any(words in line for line in self.said)


@pytest.fixture
def follower():
    """Give `follower(site, words)`; what still runs after the test is ended."""
    with ExitStack() as opened:

        def start(site, *words: str) -> Follower:
            command = [sys.executable, "-c", PROGRAM, *site.command(*words)]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            found = Follower(process, [])
            reader = threading.Thread(target=lambda: found.said.extend(process.stderr), daemon=True)
            reader.start()
            opened.enter_context(process)
            opened.callback(reader.join)
            opened.callback(process.kill)
            return found

        yield start


def test_it_is_followed_from_waiting_to_its_end(ward, follower, wait_until):
    site = ward({"jobs": {"seg3d": {"gang": {"workers": 6}}, "digits": {"queue": None}}})
    assert main(site.command("submit", "digits")) == 0
    wait_until(lambda: site.phase("digits") == "Running", "the small job holds a machine")
    one = follower(site, "submit", "seg3d", "--wait")
    wait_until(lambda: one.hears("seg3d: pending: 6 workers"), "it says why it waits")
    begin = site.looks("seg3d")
    wait_until(lambda: site.looks("seg3d") >= begin + 2, "it looks again while nothing changes")
    assert main(site.command("cancel", "digits", "--yes")) == 0
    wait_until(lambda: one.hears("seg3d: running: all 6 workers"), "it says that it runs")
    site.end("seg3d", 0)
    assert one.process.wait(timeout=120) == 0
    wait_until(lambda: one.hears("seg3d: completed: it ended well"), "it says the end")
    told = [line for line in one.said if line.startswith("seg3d: ")]
    assert all(one != after for one, after in itertools.pairwise(told)), "each change once"


def test_ctrl_c_leaves_the_job_alone(ward, follower, wait_until):
    site = ward()
    one = follower(site, "submit", "digits", "--wait")
    wait_until(lambda: one.hears("digits: running"), "it runs")
    one.process.send_signal(signal.SIGINT)
    assert one.process.wait(timeout=120) == 130
    wait_until(lambda: one.hears("look at it with: tiers job status digits"), "the way back")
    assert site.phase("digits") == "Running"


def test_a_job_that_is_suspended_or_cancelled_meanwhile_ends_the_wait_with_1(ward, follower, wait_until):
    site = ward()
    one = follower(site, "submit", "digits", "--wait")
    wait_until(lambda: one.hears("digits: running"), "it runs")
    assert main(site.command("suspend", "digits")) == 0
    assert one.process.wait(timeout=120) == 1
    wait_until(lambda: one.hears("try: tiers job resume digits"), "the cure")
    assert main(site.command("cancel", "digits", "--yes")) == 0
    assert [each.state for each in follow(site.where("digits"))] == [JobState.NOT_SUBMITTED]
