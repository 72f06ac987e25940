"""Which files a task takes. Pure; `scan` asks for files on disk, `pull` for entries of an index."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass

from toolkit.sync.task import SyncTask


@dataclass(frozen=True)
class Selection:
    """The conditions of a task; a zero or None is no condition."""

    changed_before_ns: int = 0
    """Take files whose modification time is at most this, in nanoseconds since 1970."""
    larger_than_bytes: int = 0
    name: re.Pattern[bytes] | None = None

    @property
    def takes_all(self) -> bool:
        """Whether there is no condition; folders are recorded only then, because a condition is about files."""
        return not self.changed_before_ns and not self.larger_than_bytes and self.name is None

    def takes(self, name: bytes, size: int, mtime_ns: int) -> bool:
        """Say whether a file of this name (without its folder), size and modification time is taken."""
        if self.changed_before_ns and mtime_ns > self.changed_before_ns:
            return False
        if self.larger_than_bytes and size <= self.larger_than_bytes:
            return False
        return self.name is None or self.name.fullmatch(name) is not None


EVERYTHING = Selection()


def selection_of(task: SyncTask, now_ns: int) -> Selection:
    """Read the conditions out of a task, as of now."""
    return Selection(
        changed_before_ns=now_ns - int(task.older_than_seconds * 1e9) if task.older_than_seconds else 0,
        larger_than_bytes=task.larger_than_bytes,
        name=re.compile(fnmatch.translate(task.matching).encode()) if task.matching else None,
    )
