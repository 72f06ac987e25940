"""Which states of a history stay, against a calendar written out by hand and laws that hold for all histories."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import UsageError
from toolkit.sync.retention import Keep, State, kept


def at(sequence: int, text: str) -> State:
    when = datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
    return State(sequence, int(when.timestamp() * 1000))


HISTORY = (
    at(1, "2029-12-31T12:00"),  # a Monday; its week is the first of 2030 by ISO 8601
    at(2, "2030-01-01T08:00"),
    at(3, "2030-01-01T20:00"),
    at(4, "2030-01-06T23:59"),  # the Sunday of that week
    at(5, "2030-01-07T00:01"),
    at(6, "2030-02-01T00:00"),
    at(7, "2030-02-01T06:00"),
)


@pytest.mark.parametrize(
    ("keep", "stay"),
    [
        (Keep(last=2), {6, 7}),
        (Keep(daily=2), {5, 7}),
        (Keep(daily=100), {1, 3, 4, 5, 7}),
        (Keep(weekly=3), {4, 5, 7}),
        (Keep(monthly=2), {5, 7}),
        (Keep(monthly=3), {1, 5, 7}),
        (Keep(yearly=5), {1, 7}),
        (Keep(within_seconds=6 * 3600), {6, 7}),
        (Keep(within_seconds=1), {7}),
        (Keep(last=1, yearly=2, within_seconds=6 * 3600), {1, 6, 7}),
    ],
)
def test_a_calendar(keep, stay):
    assert kept(HISTORY, keep) == stay
    assert kept(HISTORY[::-1], keep) == stay


@pytest.mark.parametrize("numbers", [{}, {"last": -1, "daily": 3}])
def test_what_would_keep_nothing_is_refused(numbers):
    with pytest.raises(UsageError, match="at least one number above zero"):
        Keep(**numbers)


states = st.lists(st.integers(0, 2**41), max_size=40).map(
    lambda times: [State(number, time) for number, time in enumerate(times, 1)]
)
keeps = st.builds(
    Keep, st.integers(1, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)
)


@given(states, keeps)
def test_laws(history, keep):
    stay = kept(history, keep)
    numbers = {state.sequence for state in history}
    assert stay <= numbers
    assert {state.sequence for state in history[-keep.last :]} <= stay
    # Forgetting again what was forgotten changes nothing: agents may run it as often as they like.
    assert kept([state for state in history if state.sequence in stay], keep) == stay
    more = Keep(keep.last + 1, keep.daily + 1, keep.weekly + 1, keep.monthly + 1, keep.yearly + 1)
    assert stay <= kept(history, more)


def test_nothing_stays_of_nothing():
    assert kept((), Keep(last=1)) == frozenset()
