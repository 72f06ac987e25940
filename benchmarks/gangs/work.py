"""Work on pods that only seem to run: a gang works once all its workers run, and all end together when it is done.

Between `mixed`, which submits, and the watch log. KWOK lets a pod run as soon as it is bound; this controller says when
it ends, by the annotation that KWOK's stage `pod-ends` obeys. A gang that loses a worker loses its work and begins
again when it is whole. With `patience`, workers that have waited so long for the others give up, as the rendezvous of
torchrun does, and what `give_up` does follows.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.cluster.api import Api, Refused
from tests.cluster.watchlog import Change, WatchLog

END = {"metadata": {"annotations": {"tiers.test/exit-code": "0"}}}
LISTENING = 0.5
"""Seconds after which the controller looks at the clock, whatever happens."""


@dataclass(frozen=True)
class Load:
    """One job of the mixed load."""

    name: str
    arrives: float
    """Seconds after the start."""
    workers: int
    gpus: int
    """Of one worker."""
    seconds: float
    """How long it works once all its workers run."""

    @property
    def is_gang(self) -> bool:
        """Whether it has more than one worker."""
        return self.workers > 1

    @property
    def gpu_seconds(self) -> float:
        """What its work takes."""
        return self.workers * self.gpus * self.seconds


@dataclass
class Progress:
    """What became of one job."""

    running: dict[str, str] = field(default_factory=dict)
    """uid -> name of the pods that run now."""
    waiting_since: float = 0.0
    """When its first worker that still runs began to wait; 0 while it works or has none."""
    working_since: float = 0.0
    """When all workers ran; 0 before."""
    ended: set[str] = field(default_factory=set)
    finished: float = 0.0
    """When its last worker had ended well; 0 before."""
    gave_up: int = 0
    lost: int = 0
    """Times that it lost a worker while it worked."""


class Controller:
    """Ends pods by the clock of their job's work; `run` returns when all is done or time is over."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        loads: Mapping[str, Load],
        *,
        patience: float,
        give_up: Callable[[Load, int], None],
    ) -> None:
        """Look after the jobs of a namespace; patience 0 is without end; `give_up` learns which time it is."""
        self.api, self.namespace, self.loads = api, namespace, loads
        self.patience, self.give_up = patience, give_up
        self.progress: dict[str, Progress] = defaultdict(Progress)
        self._due: list[
            tuple[float, str, float]
        ] = []  # when, job, working_since (or -waiting_since) it belongs to
        self._threads = ThreadPoolExecutor(16)

    def run(self, log: WatchLog, deadline: float) -> bool:
        """Follow the log until all jobs have finished (True) or the wall clock passes the deadline (False)."""
        read = 0
        with self._threads:
            while time.time() < deadline:
                nearest = self._due[0][0] - time.time() if self._due else LISTENING
                fresh = log.after(read, min(nearest, LISTENING))
                read += len(fresh)
                for each in fresh:
                    if each.namespace == self.namespace and each.job in self.loads:
                        self._take(each)
                self._act(time.time())
                if len(self.progress) == len(self.loads) and all(
                    each.finished for each in self.progress.values()
                ):
                    return True
        return False

    def _take(self, change: Change) -> None:
        load, progress = self.loads[change.job], self.progress[change.job]
        if change.phase == "Succeeded" and change.uid not in progress.ended:
            progress.ended.add(change.uid)
            if len(progress.ended) == load.workers:
                progress.finished = change.moment
        if change.kind != "DELETED" and change.phase == "Running":
            if change.uid not in progress.running:
                progress.running[change.uid] = change.name
                self._one_more(load, progress, change.moment)
        elif progress.running.pop(change.uid, None) is not None and change.phase != "Succeeded":
            progress.lost += bool(progress.working_since)
            progress.working_since = 0.0
            progress.waiting_since = change.moment if progress.running else 0.0
            self._expect_patience(load, progress)

    def _one_more(self, load: Load, progress: Progress, moment: float) -> None:
        if len(progress.running) == load.workers:
            progress.working_since, progress.waiting_since = moment, 0.0
            heapq.heappush(self._due, (moment + load.seconds, load.name, moment))
        elif not progress.waiting_since:
            progress.waiting_since = moment
            self._expect_patience(load, progress)

    def _expect_patience(self, load: Load, progress: Progress) -> None:
        if self.patience and progress.waiting_since:
            since = progress.waiting_since
            heapq.heappush(self._due, (since + self.patience, load.name, -since))

    def _act(self, now: float) -> None:
        """Do what is due: end the pods of work that is done, give up waiting."""
        while self._due and self._due[0][0] <= now:
            _, name, since = heapq.heappop(self._due)
            load, progress = self.loads[name], self.progress[name]
            if since == progress.working_since:
                for pod in progress.running.values():
                    self._threads.submit(self._end, pod)
            elif -since == progress.waiting_since:
                progress.gave_up += 1
                progress.waiting_since = 0.0
                self._threads.submit(self.give_up, load, progress.gave_up)

    def _end(self, pod: str) -> None:
        try:
            self.api.merge(f"/api/v1/namespaces/{self.namespace}/pods/{pod}", END)
        except Refused as error:
            if error.code != 404:  # an evicted pod may go in between; the log tells
                raise
