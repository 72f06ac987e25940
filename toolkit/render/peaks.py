"""Peaks of a service → the weekly hours of KEDA's cron trigger.

Pure; between the noun `topology.service.Peak` and `autoscaling`. KEDA holds a floor while the next end comes before the
next start, so its two expressions must never let one window reach into the next: windows that touch become one, also
over midnight and over the end of the week. Cron has Sunday as day 0, tiers.yaml Monday as the first.
Format: https://keda.sh/docs/latest/scalers/cron/ .
"""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.topology.service import Peak
from toolkit.topology.units import Duration

DAY = 24 * 60
WEEK = 7 * DAY
_MINUTE = 60_000
_CRON_MONDAY = 1


@dataclass(frozen=True)
class Hours:
    """When a floor holds: cron expressions of five fields."""

    start: str
    end: str


def hours_of(peak: Peak, ahead: Duration) -> tuple[Hours, ...] | None:
    """Give the windows of a peak, the first of the week first; None when they fill the whole week.

    Args:
        peak: hours on days of the week; an end before the start is on the next day.
        ahead: how long before its start the floor holds already, rounded up to minutes.
    """
    windows = _joined(peak, ahead)
    if windows is None:
        return None
    alike: dict[tuple[int, int], tuple[list[int], list[int]]] = {}
    for begin, end in windows:
        starts, ends = alike.setdefault((begin % DAY, end % DAY), ([], []))
        starts.append(begin // DAY % 7)
        ends.append(end // DAY % 7)
    return tuple(
        Hours(_cron(begin, starts), _cron(end, ends)) for (begin, end), (starts, ends) in alike.items()
    )


def _joined(peak: Peak, ahead: Duration) -> list[tuple[int, int]] | None:
    """Give the windows as minutes since Monday's midnight; None for the whole week."""
    early = -(-ahead.milliseconds // _MINUTE)
    length = early + ((peak.closes.minutes - peak.opens.minutes) % DAY or DAY)
    begins = sorted((day * DAY + peak.opens.minutes - early) % WEEK for day in peak.days.days)
    joined: list[tuple[int, int]] = []
    for begin in begins:
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], begin + length)
        else:
            joined.append((begin, begin + length))
    while len(joined) > 1 and joined[-1][1] >= joined[0][0] + WEEK:
        _, end = joined.pop(0)
        joined[-1] = (joined[-1][0], max(joined[-1][1], end + WEEK))
    return None if joined[0][1] - joined[0][0] >= WEEK else joined


def _cron(minute_of_day: int, days: list[int]) -> str:
    hour, minute = divmod(minute_of_day, 60)
    return f"{minute} {hour} * * {_days(days)}"


def _days(days: list[int]) -> str:
    """Write days of the week, Monday is 0, as cron does, Sunday is 0."""
    numbers = sorted((day + _CRON_MONDAY) % 7 for day in days)
    if len(numbers) == 7:  # noqa: PLR2004 -- days of a week
        return "*"
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:  # noqa: PLR2004 -- a range pays from three
        return f"{numbers[0]}-{numbers[-1]}"
    return ",".join(map(str, numbers))
