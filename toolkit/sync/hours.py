"""How fast a route may be at a time of day: the limit of the hours that it is, else the one that holds always. Pure.

`run` asks for every second or so that passes; the hours come from tiers.yaml through `toolkit.routes`.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo

from toolkit.errors import UsageError
from toolkit.sync.task import LimitHours, SyncTask


def zone_of(task: SyncTask) -> tzinfo:
    """Give the time zone that a task's hours are meant in.

    Raises:
        UsageError: this machine does not know it.
    """
    if task.timezone in {"", "UTC"}:
        return timezone.utc
    from zoneinfo import ZoneInfo  # most tasks have no hours

    try:
        return ZoneInfo(task.timezone)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(
            f"route {task.route}: the time zone {task.timezone!r} is not known on this machine",
            hint="pip install tzdata",
        ) from error


def rate_at(task: SyncTask, when: datetime) -> int:
    """Give the most bytes a second at a moment; 0 is no limit.

    Args:
        task: says which hours have a limit of their own; of several that hold at once the lowest counts.
        when: the moment, in the zone of the task's hours.
    """
    rates = [each.bytes_per_second for each in task.hours if _holds(each, when)]
    return min(rates) if rates else task.limit_bytes_per_second


def _holds(hours: LimitHours, when: datetime) -> bool:
    minute = when.hour * 60 + when.minute
    if hours.opens < hours.closes:
        return when.weekday() in hours.days and hours.opens <= minute < hours.closes
    # They end on the day after the one on which they begin.
    begun_today = when.weekday() in hours.days and minute >= hours.opens
    yesterday = (when - timedelta(days=1)).weekday()
    return begun_today or (yesterday in hours.days and minute < hours.closes)
