"""What is no run of a route keeps to the lowest limit that the routes on the same line have at the moment."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.toolkit.sync.trees import task_of
from toolkit.errors import UsageError
from toolkit.sync.line_pace import line_pace
from toolkit.sync.task import LimitHours

WORK = LimitHours(days=(0, 1, 2, 3, 4), opens=8 * 60, closes=18 * 60, bytes_per_second=100)
BEGUN = datetime(2031, 1, 6, 7, 59, 40, tzinfo=timezone.utc)
"""A Monday, twenty seconds before patients come."""


class Clock:
    """Time that passes only by waiting."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds

    def sleep(self, seconds):
        assert seconds > 0
        self.seconds += seconds

    def now(self, zone):
        return (BEGUN + timedelta(seconds=self.seconds)).astimezone(zone)


def paced(clock, *tasks):
    return line_pace(tasks, now=clock.now, clock=clock, sleep=clock.sleep)


def test_bytes_pass_at_the_limit_of_the_hour(tmp_path):
    clock = Clock()
    pace = paced(clock, task_of(tmp_path, hours=(WORK,), limit_bytes_per_second=1000))
    passed = {}
    for _ in range(260):
        pace.take(100)
        before = "night" if clock.seconds <= 20 else "day"
        passed[before] = passed.get(before, 0) + 100
    assert passed["night"] == pytest.approx(20_000, abs=1500)
    # What is left of the 26,000 passes in about a minute; at the limit of the night it would take six seconds. The
    # limit is asked for once in a second.
    assert clock.seconds - 20 == pytest.approx(passed["day"] / 100, abs=4)


def test_the_lowest_of_several_routes_counts_and_one_without_a_limit_does_not(tmp_path):
    clock = Clock()
    free, slow, fast = (task_of(tmp_path, limit_bytes_per_second=rate) for rate in (0, 500, 9000))
    pace = paced(clock, fast, free, slow)
    for _ in range(100):
        pace.take(100)
    assert clock.seconds == pytest.approx(20, abs=0.3)


def test_hours_alone_leave_the_rest_of_the_day_free(tmp_path):
    clock = Clock()
    pace = paced(clock, task_of(tmp_path, hours=(WORK,)))
    pace.take(10**9)
    assert clock.seconds == 0
    clock.seconds = 25.0
    pace.take(1000)
    assert clock.seconds == pytest.approx(35, abs=0.3)


def test_without_a_limit_there_is_no_pace(tmp_path):
    assert line_pace([]) is None
    assert line_pace([task_of(tmp_path)]) is None


def test_a_time_zone_that_is_not_known_is_said_before_anything_moves(tmp_path):
    with pytest.raises(UsageError, match="Middle/Earth"):
        line_pace([task_of(tmp_path, hours=(WORK,), timezone="Middle/Earth")])
