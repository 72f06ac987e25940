"""Answer a job that says, line by line, which file it reads now; look ahead while it has no question.

Between a pipe (`tiers sync prefetch`, `cloud_jobs.prefetch`) and `prefetch`. Requests go first: at most the one file
that is on its way is waited for. The end of the pipe is the end of the job; what was not brought by then is dropped.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from toolkit.errors import TiersError
from toolkit.sync.prefetch import Prefetcher
from toolkit.wire.paths import shown

_WAITING_LINES = 1000
_LOOK_UP_SECONDS = 0.2
"""So often it is asked whether to stop."""


@dataclass(frozen=True)
class Answer:
    """The line that goes back."""

    path: str
    state: str
    """there, brought or failed."""
    seconds: float = 0.0
    error: str = ""
    hint: str = ""


def serve_reads(
    prefetcher: Prefetcher,
    lines: Iterable[bytes],
    tell: Callable[[Answer], object],
    stop: threading.Event,
) -> int:
    """Answer until the lines end or `stop` is set; give the exit code of the worst answer.

    Args:
        prefetcher: brings files; closing it is for the caller.
        lines: a path each, below the storage.
        tell: gets an answer a line, when the file is there or cannot be.
        stop: ends it early.
    """
    asked: queue.Queue[bytes | None] = queue.Queue(_WAITING_LINES)
    threading.Thread(target=_read, args=(lines, asked), name="reads", daemon=True).start()
    worst = 0
    while not stop.is_set():
        try:
            line = asked.get_nowait()
        except queue.Empty:
            if prefetcher.look_ahead():
                continue
            try:
                line = asked.get(timeout=_LOOK_UP_SECONDS)
            except queue.Empty:
                continue
        if line is None:
            break
        path = line.rstrip(b"\r\n").strip(b"/")
        try:
            needed = prefetcher.need(path)
            tell(Answer(needed.path, needed.state, needed.seconds))
        except TiersError as error:
            worst = max(worst, error.exit_code)
            tell(Answer(shown(path), "failed", error=error.message, hint=error.hint))
    return worst


def _read(lines: Iterable[bytes], asked: queue.Queue[bytes | None]) -> None:
    try:
        for line in lines:
            if line.strip():
                asked.put(line)
    finally:
        asked.put(None)
