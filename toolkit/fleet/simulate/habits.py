"""When a device of a simulated week is on the network: nearly always, in office hours, or now and then.

`week` asks for the next change again and again; the first moment of a week is Monday, 08:00.
"""

from __future__ import annotations

import random
from typing import Literal

HOUR = 3600.0
DAY = 24 * HOUR
WEEK_BEGINS = 8 * HOUR
"""Time of day at the first moment."""
_WORKDAYS = 5
_DAYS = 7

Habit = Literal["steady", "office", "roaming"]
STEADY_HOURS = (150.0, 1.0)
"""Mean time on the network in a row, and off it."""
ROAMING_HOURS = (8.0, 30.0)


def habit_of(dice: random.Random, office: float, roaming: float) -> Habit:
    """Draw a habit; `office` and `roaming` are shares of the fleet, 0 to 1."""
    drawn = dice.random()
    if drawn < office:
        return "office"
    return "roaming" if drawn < office + roaming else "steady"


def first_change(habit: Habit, dice: random.Random) -> tuple[bool, float]:
    """Say whether a device is on the network at the first moment, and when that changes (seconds from then)."""
    if habit == "office":
        online = _is_open(WEEK_BEGINS)
        return online, next_change(habit, dice, 0.0, online=online)
    on, off = STEADY_HOURS if habit == "steady" else ROAMING_HOURS
    online = dice.random() < on / (on + off)
    return online, next_change(habit, dice, 0.0, online=online)


def next_change(habit: Habit, dice: random.Random, now: float, *, online: bool) -> float:
    """Say when a device that has just come, or gone, changes again; in seconds from the first moment."""
    if habit == "office":
        return _office(dice, now, online=online)
    on, off = STEADY_HOURS if habit == "steady" else ROAMING_HOURS
    return now + dice.expovariate(1 / ((on if online else off) * HOUR))


def _office(dice: random.Random, now: float, *, online: bool) -> float:
    """Give closing time, or the next opening time, with up to an hour's difference from shop to shop and day to day."""
    hour = 19 if online else 7
    day = int((now + WEEK_BEGINS) // DAY)
    while True:
        at = day * DAY + hour * HOUR - WEEK_BEGINS + dice.uniform(-0.5, 0.5) * HOUR
        if at > now and (online or day % _DAYS < _WORKDAYS):
            return at
        day += 1


def _is_open(time_of_week: float) -> bool:
    day, hour = divmod(time_of_week, DAY)
    return day % _DAYS < _WORKDAYS and 7 * HOUR <= hour < 19 * HOUR  # as in `_office`
