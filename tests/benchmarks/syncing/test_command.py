"""The command keeps to its budget and reports what is on record."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.syncing.record import Walked, append, read
from tests.benchmarks.syncing.test_record import measured

PROGRAM = Path(__file__).parents[3] / "benchmarks/sync.py"


def sync(*arguments):
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_a_walk_that_would_not_end_in_time_is_not_begun(tmp_path):
    file = tmp_path / "record"
    append(file, Walked(place="local", walk="small", turn=0, seconds=60.0, size=32 << 20, files=500, run="x"))
    done = sync("--quick", "--place", "local", "--walk", "small", "--record", file, "--budget", "0.5")
    assert (done.returncode, len(list(read([file])))) == (0, 1), done.stderr
    assert "repetition 1: local: small: left out, it would not end within --budget" in done.stderr


def test_a_record_of_another_size_of_work_is_not_added_to(tmp_path):
    file = tmp_path / "record"
    append(file, measured(1.0))
    done = sync("--quick", "--record", file)
    assert (done.returncode, len(list(read([file])))) == (2, 1)
    assert "holds another size of work; name another file" in done.stderr


def test_records_are_reported_without_measuring(tmp_path):
    files = [tmp_path / "first", tmp_path / "second"]
    for seconds, file in zip((1.0, 3.0), files, strict=True):
        append(file, measured(seconds))
        append(file, measured(4.0, tool="rsync"))
    done = sync("--report", *files)
    assert done.returncode == 0, done.stderr
    target = "local: small, nothing changed: ours, mirror / rsync | s | 2.00 | 4.00 | 0.5 | 1.0 | 2 | 0.25 | 0.5 | 0.75"
    assert f"| {target} | met |" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--report", "/nowhere/record"], "/nowhere/record: No such file"), (["--budget", "0"], "above 0")],
)
def test_what_cannot_be_is_refused(arguments, said):
    done = sync(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
