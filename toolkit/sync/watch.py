"""Keep routes going by hand, as the agent of a tier does: for a site that is tried out, or a machine without a cluster.

`tiers sync watch` calls this. A run that fails is told and tried again when it is due again; runs go on where the last
one stopped, so ending this at any moment loses nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from toolkit.errors import TiersError
from toolkit.sync.remotes.choose import open_storage
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.result import SyncResult
from toolkit.sync.run import run_task
from toolkit.sync.schedule import Schedule
from toolkit.sync.task import Storage, SyncTask

_AGAIN_SECONDS = 3600.0
"""Period of a route that has none of its own."""


@dataclass(frozen=True)
class WatchedRun:
    """One run of a route: what it did, or why it broke off."""

    route: str
    result: SyncResult | None
    error: str = ""
    hint: str = ""

    @property
    def exit_code(self) -> int:
        """0 when the run did what it should."""
        return self.result.exit_code if self.result else 1

    @property
    def did_nothing(self) -> bool:
        """Whether everything was up to date."""
        targets = self.result.targets if self.result else ()
        return self.result is not None and not self.exit_code and not any(each.changed for each in targets)


def watch(
    tasks: Iterable[SyncTask],
    stop: threading.Event,
    tell: Callable[[WatchedRun], object],
    *,
    every_seconds: float = 0.0,
    remotes: Callable[[Storage], Remote] = open_storage,
) -> int:
    """Run tasks in their time until `stop` is set; give the number of runs.

    Args:
        tasks: what to run; those on demand are run too, because somebody asks for them now.
        stop: ends it, after the run at work.
        tell: hears of each run.
        every_seconds: the time between two runs of each task; 0 takes that of the task.
        remotes: opens the Remote of a storage.
    """
    schedule = Schedule([_asked_for(task, every_seconds) for task in tasks], time.monotonic())
    runs = 0
    while not stop.wait(schedule.wait(time.monotonic())):
        task = schedule.take(time.monotonic())
        runs += 1
        try:
            tell(WatchedRun(task.route, run_task(task, remotes=remotes)))
        except TiersError as error:
            tell(WatchedRun(task.route, None, error.message, error.hint))
    return runs


def _asked_for(task: SyncTask, every_seconds: float) -> SyncTask:
    period = every_seconds or task.every_seconds or _AGAIN_SECONDS
    return msgspec.structs.replace(task, trigger="schedule", every_seconds=period)
