"""When the tasks of one process are due: each in its own time, one after the other, what was missed is not made up for.

Pure. The agent of a tier (`cloud_jobs.sync_agent`) and `sync.watch` ask it what comes next.
"""

from __future__ import annotations

from collections.abc import Iterable

from toolkit.sync.task import SyncTask


class Schedule:
    """When each task is due. Tasks that wait for a demand never are; one without a period is due once."""

    def __init__(self, tasks: Iterable[SyncTask], now: float) -> None:
        """Let every task be due at once; `now` is in seconds of any clock that only grows."""
        self._due: list[tuple[float, int, SyncTask]] = [
            (now, number, task) for number, task in enumerate(tasks) if task.trigger == "schedule"
        ]

    def wait(self, now: float) -> float | None:
        """Give the seconds until the next task is due, 0 if one is; None when none ever will be."""
        return max(0.0, min(self._due)[0] - now) if self._due else None

    def take(self, now: float) -> SyncTask:
        """Give the task that is due and plan its next run; runs that were missed are not made up for."""
        due = min(self._due, key=lambda entry: entry[:2])
        self._due.remove(due)
        when, number, task = due
        if task.every_seconds:
            following = when + task.every_seconds
            self._due.append((following if following > now else now + task.every_seconds, number, task))
        return task
