"""Processes of a gang start together or not at all, and none is left behind."""

import signal
import sys
import threading

import pytest

from toolkit.errors import JobError
from toolkit.jobs.gang import End, Gang
from toolkit.jobs.plan import Worker, workers


def python(rank, code, tmp_path):
    return Worker(rank, (sys.executable, "-c", code), {}, tmp_path / f"rank-{rank}.log")


def ends(gang):
    return sorted(iter(gang.next_end, None), key=lambda end: end.rank)


def test_ends_are_told_with_code_and_signal(tmp_path):
    gang = Gang()
    died = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    gang.start(
        [python(0, "pass", tmp_path), python(1, "raise SystemExit(7)", tmp_path), python(2, died, tmp_path)]
    )
    try:
        found = ends(gang)
    finally:
        gang.stop(0)
    assert found == [End(0, 0, 0), End(1, 7, 0), End(2, 143, 15)]
    assert str(found[2]) == "rank 2 was ended by SIGTERM (exit code 143)"


def test_who_was_killed_is_known_though_another_end_was_noticed_first(tmp_path):
    """A worker whose peer was killed fails for want of it; which of the two threads sees its end first is chance."""
    noticed = threading.Event()

    class SlowToNotice(Gang):
        def _watch(self, rank, pid):
            if rank == 1:
                assert noticed.wait(120)
            super()._watch(rank, pid)

    gang = SlowToNotice()
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    fails = f"""
import pathlib, sys, threading
pid = pathlib.Path({str(tmp_path)!r}, "pid")
while not pid.exists() or ") Z " not in pathlib.Path("/proc", pid.read_text(), "stat").read_text():
    threading.Event().wait(0.01)
sys.exit(1)
"""
    gang.start([python(0, fails, tmp_path), python(1, killed, tmp_path)])
    try:
        assert gang.ended_by([signal.SIGTERM]) is None
        (tmp_path / "part").write_text(str(gang._processes[1].pid))
        (tmp_path / "part").rename(tmp_path / "pid")
        assert gang.next_end() == End(0, 1, 0)
        assert gang.ended_by([signal.SIGKILL]) == End(1, 137, 9)
    finally:
        noticed.set()
        gang.stop(0)


def test_no_worker_begins_when_one_cannot_be_started(tmp_path):
    marker = tmp_path / "began"
    (tmp_path / "rank-1.log").mkdir()  # a folder where the log should be: this worker cannot be started
    crew = [python(rank, f"open({str(marker)!r}, 'w')", tmp_path) for rank in range(2)]

    def slowly():
        """Give the first worker all the time it would need to begin, if only it were let."""
        yield crew[0]
        watched = threading.Event()
        for _ in range(100):
            if marker.exists() or watched.wait(0.01):
                break
        yield crew[1]

    gang = Gang()
    with pytest.raises(JobError, match=r"rank 1 cannot start: .*Is a directory.*together or not at all"):
        gang.start(slowly())
    assert gang.next_end() is None
    assert not marker.exists()
    (tmp_path / "rank-1.log").rmdir()
    gang.start(crew)  # the same workers, now that they can
    assert all(end.well for end in ends(gang))
    gang.stop(0)
    assert marker.exists()


def test_stop_ends_workers_that_ignore_sigterm_and_their_children(plan, alive, wait_until):
    job = plan(
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        note(f"pids-{rank}", f"{os.getpid()} {child()}")
        signal.pause()
        """
    )
    job.folder.output.mkdir(parents=True)
    gang = Gang()
    gang.start(workers(job, attempt=1, port=1))
    notes = [job.folder.output / f"pids-{rank}" for rank in range(2)]
    wait_until(lambda: all(note.exists() for note in notes), "both workers wait")
    pids = [int(pid) for note in notes for pid in note.read_text().split()]
    assert [alive(pid) for pid in pids] == [True] * 4
    gang.stop(0.2)
    wait_until(lambda: not any(map(alive, pids)), "no process of the gang is left")
    gang.stop(0.2)  # harmless when repeated


def test_sigterm_gives_a_worker_time_to_save(plan, wait_until):
    job = plan(
        """
        def save(*_):
            note(f"saved-{rank}", "state")
            sys.exit(143)
        signal.signal(signal.SIGTERM, save)
        note(f"ready-{rank}", "")
        signal.pause()
        """
    )
    job.folder.output.mkdir(parents=True)
    gang = Gang()
    gang.start(workers(job, attempt=1, port=1))
    wait_until(lambda: len(list(job.folder.output.glob("ready-*"))) == 2, "both workers are ready")
    gang.stop(120)
    assert len(list(job.folder.output.glob("saved-*"))) == 2


def test_output_goes_to_the_log_of_its_rank_and_to_the_listener(tmp_path):
    heard = []
    gang = Gang(lambda rank, line: heard.append((rank, line)))
    text = "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.stdout.buffer.write(b'\\xff end')"
    gang.start([python(rank, text, tmp_path) for rank in range(2)])
    assert all(end.well for end in ends(gang))
    gang.stop(0)
    for rank in range(2):
        assert (tmp_path / f"rank-{rank}.log").read_bytes().splitlines() == [b"out", b"err", b"\xff end"]
    assert sorted(heard) == sorted((rank, line) for rank in range(2) for line in ("err", "out", "� end"))
