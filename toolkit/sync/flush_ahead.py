"""Let the disk work while files are being built: what was written so far is flushed beside what is written next.

Between `layouts.build`, which says how much it has written, and `layouts.settle`, which waits for all of it. Of many
small files the kernel would keep hundreds of megabytes in memory, and the disk would begin when everything is built.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

from toolkit.sync.folder import Folder

_WORTH_IT_BYTES = 64 * 1024 * 1024


class FlushAhead:
    """Flushes a file system again and again while much is written to it. Usable by several threads."""

    def __init__(self, folder: Folder, *, every_bytes: int = _WORTH_IT_BYTES) -> None:
        """Begin with nothing written; `every_bytes` are worth a flush, one at a time."""
        self._folder = folder
        self._every_bytes = every_bytes
        self._lock = threading.Lock()
        self._written = 0
        self._pool: ThreadPoolExecutor | None = None
        self._flush: Future[None] | None = None

    def wrote(self, size: int) -> None:
        """Say that so many bytes were written; when they are many, the disk begins with them.

        Raises:
            OSError: it did not take what was flushed last.
        """
        with self._lock:
            self._written += size
            if self._written < self._every_bytes or (self._flush is not None and not self._flush.done()):
                return
            last, self._written = self._flush, 0
            self._pool = self._pool or ThreadPoolExecutor(1, "flush-ahead")
            self._flush = self._pool.submit(self._folder.flush_all)
        if last is not None:
            last.result()

    def wait(self) -> None:
        """Wait for the flush that is going on. What was written since is not on the disk.

        Raises:
            OSError: the disk did not take it. The kernel says so once, so this must not be lost.
        """
        with self._lock:
            last, self._flush = self._flush, None
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()
        if last is not None:
            last.result()
