"""Which states of a route's history stay: the last N, one a day, a week, a month, a year, all of the last weeks. Pure.

`gc` asks before it looks what is used; the states that this leaves out are forgotten, and what only they needed becomes
garbage. The newest state always stays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from toolkit.errors import UsageError

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class State(NamedTuple):
    """One state of a history."""

    sequence: int
    """Grows with each state; the order in which they are counted, whatever the clocks of the writers said."""
    written_ms: int
    """Milliseconds since 1970; says which day, week, month and year it belongs to, in UTC."""


@dataclass(frozen=True)
class Keep:
    """What stays; a state stays when any of the rules wants it."""

    last: int = 0
    """The newest so many."""
    daily: int = 0
    """The newest state of each of the last so many days that have one."""
    weekly: int = 0
    """The same for weeks, which begin on Monday."""
    monthly: int = 0
    yearly: int = 0
    within_seconds: float = 0.0
    """All that were written so long before the newest one, or later."""

    def __post_init__(self) -> None:
        """Refuse what would keep nothing.

        Raises:
            UsageError: a number is negative, or all of them are zero.
        """
        numbers = (self.last, self.daily, self.weekly, self.monthly, self.yearly, self.within_seconds)
        if min(numbers) < 0 or not any(numbers):
            raise UsageError(
                "a retention needs at least one number above zero, and none below",
                hint="for example --keep-last 10 --keep-daily 30",
            )


def kept(states: Collection[State], keep: Keep) -> frozenset[int]:
    """Give the sequence numbers of the states that stay."""
    newest_first = sorted(states, reverse=True)
    if not newest_first:
        return frozenset()
    stay = {state.sequence for state in newest_first[: max(1, keep.last)]}
    periods: tuple[tuple[int, Callable[[datetime], Hashable]], ...] = (
        (keep.daily, lambda day: day.date()),
        (keep.weekly, lambda day: tuple(day.isocalendar())[:2]),
        (keep.monthly, lambda day: (day.year, day.month)),
        (keep.yearly, lambda day: day.year),
    )
    for count, period in periods:
        stay |= _newest_of_each(newest_first, count, period)
    if keep.within_seconds:
        since = newest_first[0].written_ms - keep.within_seconds * 1000
        stay |= {state.sequence for state in newest_first if state.written_ms >= since}
    return frozenset(stay)


def _newest_of_each(
    newest_first: list[State], count: int, period: Callable[[datetime], Hashable]
) -> set[int]:
    found: dict[Hashable, int] = {}
    for state in newest_first:
        which = period(_EPOCH + timedelta(milliseconds=state.written_ms))
        if which not in found and len(found) == count:
            break
        found.setdefault(which, state.sequence)
    return set(found.values())
