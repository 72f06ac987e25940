from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.topology.clock import Days, TimeOfDay


@given(st.integers(min_value=0, max_value=24 * 60))
def test_a_time_is_read_back_as_it_was_written(minutes):
    assert TimeOfDay.parse(str(TimeOfDay(minutes))) == TimeOfDay(minutes)


@given(st.sets(st.integers(min_value=0, max_value=6), min_size=1))
def test_days_are_read_back_as_they_were_written(days):
    chosen = Days(tuple(sorted(days)))
    assert Days.parse(str(chosen)) == chosen


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("mon-fri", (0, 1, 2, 3, 4)),
        ("sat", (5,)),
        ("sat-mon", (0, 5, 6)),
        ("mon, wed,fri", (0, 2, 4)),
        ("mon-mon", (0,)),
    ],
)
def test_days(text, days):
    assert Days.parse(text).days == days


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        (TimeOfDay, "8:00"),
        (TimeOfDay, "24:01"),
        (TimeOfDay, "12:60"),
        (Days, "monday"),
        (Days, "mon-"),
        (Days, ""),
    ],
)
def test_what_cannot_be_read_is_refused(unit, text):
    with pytest.raises(ValueError, match="is not"):
        unit.parse(text)
