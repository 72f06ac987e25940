"""Watch how much memory a program takes with all its children together, while `process.run` runs it.

The largest resident set that the kernel tells (`getrusage`) is that of one process, exact. A tool of several has more:
here the proportional sets of all of them are added up a few times a second (`Pss`, proc_pid_smaps_rollup(5): a page
that several share counts once), so a peak that is shorter may be missed. Linux only, like the benchmarks.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_EVERY_SECONDS = 0.2


class TreeMemory:
    """Watches what runs below the processes that this one started; used in a `with`."""

    def __init__(self) -> None:
        """Be ready."""
        self.peak = 0
        """Bytes, the most that was seen."""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def __enter__(self) -> TreeMemory:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(_EVERY_SECONDS):
            # Our own children are the launcher; what it started are the programs.
            programs = {each for child in _children(os.getpid()) for each in _below(child)}
            self.peak = max(self.peak, sum(map(_memory, programs)))


def _below(process: int) -> Iterator[int]:
    for child in _children(process):
        yield child
        yield from _below(child)


def _children(process: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):  # it has ended
        for thread in Path(f"/proc/{process}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def _memory(process: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
