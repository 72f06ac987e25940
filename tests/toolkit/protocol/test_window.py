"""When an install window is open, against a clock on the wall that is read minute by minute."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.protocol.window import Window

EVERY_DAY = frozenset(range(7))
BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"]
"""With and without summer time, half an hour of it, a day that was left out, minutes beside hours."""
CHANGES = {
    "UTC": ["2026-01-01T00:00"],
    "Europe/Berlin": ["2026-03-29T01:00", "2026-10-25T01:00"],
    "America/New_York": ["2026-03-08T07:00", "2026-11-01T06:00"],
    "Australia/Lord_Howe": ["2026-04-04T15:00", "2026-10-03T15:30"],
    "Pacific/Apia": ["2011-12-30T10:00"],
    "Asia/Kathmandu": ["2026-01-01T00:00"],
}
"""When the clocks there jump, in UTC."""


def at(text: str, zone: ZoneInfo | timezone = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def wall_says_open(window: Window, moment: float) -> bool:
    """What somebody says who looks at the clock on the wall and at the calendar beside it."""
    wall = datetime.fromtimestamp(moment, window.zone)
    minute = wall.hour * 60 + wall.minute
    today, yesterday = wall.weekday(), (wall.weekday() - 1) % 7
    if window.opens == 1440:
        opens, today, yesterday = 0, yesterday, (yesterday - 1) % 7
    else:
        opens = window.opens
    closes = window.closes if window.opens != 1440 else window.closes % 1440
    if opens < closes:
        return today in window.days and opens <= minute < closes
    closes %= 1440
    return (today in window.days and minute >= opens) or (yesterday in window.days and minute < closes)


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, float]:
    """Draw a zone and a minute in the days around one of its jumps."""
    zone = draw(st.sampled_from(ZONES))
    change = at(draw(st.sampled_from(CHANGES[zone])), timezone.utc)
    return zone, change + 60 * draw(st.integers(-3 * 1440, 2 * 1440))


DAYS = st.frozensets(st.integers(0, 6), min_size=1)
MINUTES = st.integers(0, 1440)


@given(moments(), DAYS, MINUTES, MINUTES)
@settings(max_examples=300)
def test_it_is_open_when_the_clock_on_the_wall_says_so(moment, days, opens, closes) -> None:
    window = Window(days, opens, closes, ZoneInfo(moment[0]))
    assert window.is_open(moment[1]) == wall_says_open(window, moment[1])


@given(moments(), DAYS, MINUTES, MINUTES)
@settings(max_examples=60, deadline=None)
def test_it_opens_next_at_the_first_minute_at_which_it_is_open(moment, days, opens, closes) -> None:
    window = Window(days, opens, closes, ZoneInfo(moment[0]))
    start = moment[1]
    found = window.next_open(start)
    assert window.is_open(found)
    first = next(
        each for each in range(int(start), int(start) + 16 * 86_400, 60) if wall_says_open(window, each)
    )
    assert found == first


@given(moments(), st.integers(0, 86_399), DAYS, MINUTES, MINUTES)
def test_seconds_count_and_a_second_before_it_opens_it_is_closed(
    moment, seconds, days, opens, closes
) -> None:
    window = Window(days, opens, closes, ZoneInfo(moment[0]))
    start = moment[1] + seconds + 0.25
    found = window.next_open(start)
    assert found >= start
    assert window.is_open(found)
    assert found == start or not window.is_open(found - 1)
    assert window.next_open(found) == found


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_opens() -> None:
    window = Window(frozenset({4}), 22 * 60, 4 * 60, BERLIN)
    assert window.is_open(at("2026-11-27T22:00"))
    assert window.is_open(at("2026-11-28T03:59"))
    assert not window.is_open(at("2026-11-28T04:00"))
    assert not window.is_open(at("2026-11-27T03:00"))
    assert window.next_open(at("2026-11-28T04:00")) == at("2026-12-04T22:00")


def test_in_the_night_on_which_clocks_go_forward_over_it_it_does_not_open() -> None:
    window = Window(EVERY_DAY, 120, 150, BERLIN)
    assert window.next_open(at("2026-03-28T12:00")) == at("2026-03-30T02:00")
    longer = Window(EVERY_DAY, 150, 210, BERLIN)
    assert longer.next_open(at("2026-03-28T12:00")) == at("2026-03-29T03:00"), "half past two never comes"


def test_in_the_night_on_which_clocks_go_back_over_it_it_opens_twice() -> None:
    window = Window(EVERY_DAY, 120, 150, BERLIN)
    first, second = at("2026-10-25T02:00"), at("2026-10-25T02:00", fold=1)
    assert second - first == 3600
    assert window.next_open(at("2026-10-24T12:00")) == first
    assert window.next_open(first + 30 * 60) == second
    assert window.next_open(second + 30 * 60) == at("2026-10-26T02:00")


def test_the_same_time_twice_is_a_whole_day() -> None:
    window = Window(frozenset({5}), 0, 0, timezone(timedelta(hours=2)))
    saturday = at("2026-11-28T00:00", timezone(timedelta(hours=2)))
    assert not window.is_open(saturday - 1)
    assert window.is_open(saturday)
    assert window.is_open(saturday + 86_399)
    assert not window.is_open(saturday + 86_400)


def test_a_window_without_days_never_opens() -> None:
    with pytest.raises(ValueError, match="never opens"):
        Window(frozenset(), 0, 60, BERLIN).next_open(0.0)
