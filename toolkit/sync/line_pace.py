"""The pace of a line to a storage for whoever is no run of a route: collecting, verifying, mending, rules, backups.

`toolkit.routes.tasks_on_line` says which routes share the line, whoever opens the storage asks here, and
`remotes.choose` puts the limit around the transport. A run keeps to its own route's limit and needs none of this.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo

from toolkit.sync.hours import rate_at, zone_of
from toolkit.sync.pace import Pace
from toolkit.sync.task import SyncTask


def line_pace(
    tasks: Sequence[SyncTask],
    *,
    now: Callable[[tzinfo], datetime] = datetime.now,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Pace | None:
    """Give a pace at the lowest limit that one of the routes has at the moment; None when none ever has one.

    Args:
        tasks: the routes that use the line.
        now: tells the time in a zone.
        clock: seconds that only grow.
        sleep: waits for seconds.

    Raises:
        UsageError: this machine does not know the time zone of one of them.
    """
    limited = [(task, zone_of(task)) for task in tasks if task.limit_bytes_per_second or task.hours]
    if not limited:
        return None

    def rate() -> int:
        rates = (rate_at(task, now(zone)) for task, zone in limited)
        return min((each for each in rates if each), default=0)

    return Pace(rate, clock=clock, sleep=sleep)
