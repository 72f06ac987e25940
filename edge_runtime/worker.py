"""A thread that does jobs in order; what they give goes back to the control thread. The daemon has two of them.

`disk` hashes and writes (both release Python's lock, so inference and the link go on meanwhile); because its jobs take
turns, a folder is never deleted while another job reads it. `loader` opens models beside the ones that serve.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

from toolkit.errors import TiersError

log = logging.getLogger(__name__)
T = TypeVar("T")
Post = Callable[[Callable[[], None]], None]
"""Hands a call over to the control thread."""


class Worker:
    """A queue of jobs and the thread that does them."""

    def __init__(self, name: str, post: Post) -> None:
        """Begin to take jobs; `post` carries their outcomes to the control thread."""
        self._post = post
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # A daemon: a driver or a disk that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(
        self, job: Callable[[], T], done: Callable[[T], None], failed: Callable[[Exception], None]
    ) -> None:
        """Do `job` when its turn comes, then call `done` or `failed` in the control thread.

        A fault of this program is logged and reported like any failure, so that no installation waits for ever.
        """

        def run() -> None:
            try:
                result = job()
            except (OSError, TiersError) as error:
                self._post(partial(failed, error))
            except Exception as error:
                log.exception("a job of thread %s failed", self._thread.name)
                self._post(partial(failed, error))
            else:
                self._post(partial(done, result))

        self._jobs.put(run)

    def close(self, seconds: float = 10.0) -> None:
        """Finish the jobs that are queued and end the thread; wait for that so many seconds at most."""
        self._jobs.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
