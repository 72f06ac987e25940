"""The sign of life is not there before the first beat, is renewed now and then, and its folder must be there."""

from __future__ import annotations

import os

import pytest

from toolkit.errors import UsageError
from toolkit.fleet.heartbeat import BEAT_SECONDS, Heartbeat


def test_an_old_file_goes_at_the_start_and_comes_with_the_first_beat(tmp_path):
    file = tmp_path / "alive"
    file.touch()
    beat = Heartbeat(file)
    assert not file.exists()
    beat()
    assert file.exists()


def test_the_file_is_touched_when_it_is_due_and_not_each_time(tmp_path):
    now = 100.0
    file = tmp_path / "alive"
    beat = Heartbeat(file, clock=lambda: now)
    beat()
    os.utime(file, (1, 1))
    now += BEAT_SECONDS - 1
    beat()
    assert file.stat().st_mtime == 1
    now += 1
    beat()
    assert file.stat().st_mtime > 1


def test_a_folder_that_is_not_there_is_said_at_once(tmp_path):
    with pytest.raises(UsageError, match="cannot be touched"):
        Heartbeat(tmp_path / "missing" / "alive")
