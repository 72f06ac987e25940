"""Peaks as KEDA's cron scaler understands them: its own rule, minute by minute over a whole week."""

from __future__ import annotations

from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.render.peaks import DAY, WEEK, hours_of
from toolkit.topology.clock import Days, TimeOfDay
from toolkit.topology.service import Peak
from toolkit.topology.units import Duration


def peak(days: str, begin: str, end: str) -> Peak:
    return Peak.model_validate(
        {"days": Days.parse(days), "from": TimeOfDay.parse(begin), "to": TimeOfDay.parse(end), "at_least": 2}
    )


def written(days: str, begin: str, end: str, ahead: str = "20m") -> list[tuple[str, str]] | None:
    hours = hours_of(peak(days, begin, end), Duration.parse(ahead))
    return None if hours is None else [(each.start, each.end) for each in hours]


@pytest.mark.parametrize(
    ("days", "begin", "end", "hours"),
    [
        ("mon-fri", "08:00", "18:00", [("40 7 * * 1-5", "0 18 * * 1-5")]),
        ("sat", "08:00", "18:00", [("40 7 * * 6", "0 18 * * 6")]),
        ("sun", "08:00", "18:00", [("40 7 * * 0", "0 18 * * 0")]),
        ("mon,wed", "08:00", "18:00", [("40 7 * * 1,3", "0 18 * * 1,3")]),
        ("mon-sun", "08:00", "18:00", [("40 7 * * *", "0 18 * * *")]),
        # over midnight: the end is a day later
        ("mon-fri", "22:00", "06:00", [("40 21 * * 1-5", "0 6 * * 2-6")]),
        ("sun", "22:00", "06:00", [("40 21 * * 0", "0 6 * * 1")]),
        # the start slips into the day before, also into last week
        ("mon", "00:10", "06:00", [("50 23 * * 0", "0 6 * * 1")]),
        ("tue", "08:00", "24:00", [("40 7 * * 2", "0 0 * * 3")]),
        # windows that touch are one
        ("mon-fri", "00:00", "24:00", [("40 23 * * 0", "0 0 * * 6")]),
        ("sat,sun,mon", "00:00", "24:00", [("40 23 * * 5", "0 0 * * 2")]),
        ("mon,tue,thu", "00:00", "24:00", [("40 23 * * 0,3", "0 0 * * 3,5")]),
        ("mon-sun", "00:00", "24:00", None),
        ("mon-sun", "08:00", "07:45", None),
    ],
)  # fmt: skip
def test_hours_are_written_for_cron(days, begin, end, hours):
    assert written(days, begin, end) == hours


def test_no_time_ahead_and_parts_of_a_minute():
    assert written("mon", "08:00", "09:00", "0s") == [("0 8 * * 1", "0 9 * * 1")]
    assert written("mon", "08:00", "09:00", "90s") == [("58 7 * * 1", "0 9 * * 1")]


def minutes_of(expression: str) -> list[int]:
    """Give the minutes since Monday's midnight that a cron expression names."""
    minute, hour, _, _, days = expression.split()
    if days == "*":
        days = "0-6"
    first, _, last = days.partition("-")
    numbers = range(int(first), int(last) + 1) if last else [int(each) for each in days.split(",")]
    return sorted((number - 1) % 7 * DAY + int(hour) * 60 + int(minute) for number in numbers)


def following(minutes: list[int], now: int) -> int:
    """Give the next of these minutes that comes after now."""
    position = bisect_right(minutes, now)
    return minutes[position] if position < len(minutes) else minutes[0] + WEEK


@given(
    days=st.sets(st.integers(0, 6), min_size=1),
    begin=st.integers(0, DAY),
    end=st.integers(0, DAY),
    ahead=st.sampled_from([0, 1, 20, 59, 600, 1439]),
)
def test_a_floor_holds_in_its_hours_and_in_no_others(days, begin, end, ahead):
    chosen = Peak.model_validate(
        {"days": Days(tuple(sorted(days))), "from": TimeOfDay(begin), "to": TimeOfDay(end), "at_least": 2}
    )
    length = (end - begin) % DAY or DAY
    spans = [(day * DAY + begin - ahead, day * DAY + begin + length) for day in days]
    hours = hours_of(chosen, Duration(ahead * 60_000))
    triggers = None if hours is None else [(minutes_of(each.start), minutes_of(each.end)) for each in hours]
    for now in range(0, WEEK, 7):
        meant = any(low <= now + week < high for low, high in spans for week in (-WEEK, 0, WEEK))
        # pkg/scalers/cron_scaler.go of KEDA 2.20: inside when the next start does not come before the next end
        holds = triggers is None or any(following(s, now) >= following(e, now) for s, e in triggers)
        assert holds == meant, now
