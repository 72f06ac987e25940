"""A route may have another limit at certain hours."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.toolkit.sync.trees import task_of
from toolkit.errors import IntegrityError, UsageError
from toolkit.sync.hours import rate_at, zone_of
from toolkit.sync.pace import Pace
from toolkit.sync.task import LimitHours, check_task, decode_task, encode_task

WORK = LimitHours(days=(0, 1, 2, 3, 4), opens=8 * 60, closes=18 * 60, bytes_per_second=5)
NIGHT = LimitHours(days=(4,), opens=22 * 60, closes=6 * 60, bytes_per_second=3)
LUNCH = LimitHours(days=(0,), opens=12 * 60, closes=13 * 60, bytes_per_second=9)


@pytest.fixture
def task(tmp_path):
    return task_of(tmp_path, hours=(WORK, NIGHT, LUNCH), limit_bytes_per_second=100, timezone="UTC")


@pytest.mark.parametrize(
    ("when", "rate"),
    [
        ("2031-01-06 07:59", 100),  # a Monday
        ("2031-01-06 08:00", 5),
        ("2031-01-06 12:30", 5),  # the lower one of two
        ("2031-01-06 17:59", 5),
        ("2031-01-06 18:00", 100),
        ("2031-01-11 12:00", 100),  # Saturday
        ("2031-01-10 21:59", 100),  # Friday
        ("2031-01-10 22:00", 3),
        ("2031-01-11 05:59", 3),
        ("2031-01-11 06:00", 100),
        ("2031-01-10 05:00", 100),  # the night before Friday
    ],
)
def test_the_limit_of_the_hour_holds(task, when, rate):
    moment = datetime.strptime(when, "%Y-%m-%d %H:%M").replace(tzinfo=timezone.utc)
    assert rate_at(task, moment) == rate


def test_a_task_with_hours_travels(task):
    assert decode_task(encode_task(task)) == task
    assert task.format == 2


@pytest.mark.parametrize("wrong", [{"days": (7,)}, {"opens": -1}, {"closes": 1441}, {"bytes_per_second": 0}])
def test_hours_that_cannot_be_are_refused(tmp_path, wrong):
    fields = {"days": (0,), "opens": 0, "closes": 60, "bytes_per_second": 1, **wrong}
    with pytest.raises(IntegrityError, match="hours that cannot be"):
        check_task(task_of(tmp_path, hours=(LimitHours(**fields),)))


def test_a_zone_that_this_machine_does_not_know_is_said(tmp_path):
    with pytest.raises(UsageError, match="Mars/Olympus") as caught:
        zone_of(task_of(tmp_path, timezone="Mars/Olympus"))
    assert caught.value.hint == "pip install tzdata"


def test_a_limit_that_changes_is_obeyed_within_a_second():
    now, rate = [0.0], [10]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    pace = Pace(lambda: rate[0], clock=lambda: now[0], sleep=sleep)
    pace.take(100)
    assert now[0] == pytest.approx(10.0, abs=0.3)
    rate[0] = 1000
    pace.take(100)
    assert now[0] < 10.5
    rate[0] = 0
    now[0] += timedelta(seconds=2).total_seconds()
    before = now[0]
    pace.take(10**9)
    assert now[0] == before
