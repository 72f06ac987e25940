"""The part file of an artifact: its distinct chunks one after the other, each at a place known before it comes.

The file has its full size from the start, so that a full disk shows before the first chunk and not at the last one.
Written by `disk` during SEEDING and DOWNLOADING, read by `assemble` during VERIFYING.
"""

from __future__ import annotations

import errno
import os
from itertools import accumulate
from pathlib import Path
from types import TracebackType

from edge_runtime.drill import NO_DRILL, Drill
from toolkit.sync.whole import sync_folder
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef


class Part:
    """An open part file. Use as a context manager, or call `close`."""

    def __init__(self, path: Path, chunks: tuple[ChunkRef, ...], drill: Drill = NO_DRILL) -> None:
        """Open the file, making it and taking its space if need be.

        Raises:
            OSError: the disk is full (ENOSPC) or cannot be written.
        """
        self._chunks = chunks
        self._drill = drill
        self._places = (0, *accumulate(chunk.size for chunk in chunks))
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = self._places[-1]
        try:
            if size and os.fstat(self._descriptor).st_size != size:
                with drill.write("part"):
                    _allocate(self._descriptor, size)
                    # The bitmap that will speak of this file is of no use when the file's name is lost.
                    sync_folder(path.parent)
        except BaseException:
            os.close(self._descriptor)
            raise

    def write(self, number: int, data: bytes | memoryview) -> None:
        """Put a chunk at its place; it is not durable before `sync`."""
        view, place = memoryview(data), self._places[number]
        while view:
            written = os.pwrite(self._descriptor, view, place)
            view, place = view[written:], place + written

    def read(self, number: int) -> bytes | None:
        """Give a chunk, or None if its bytes are not what its name says."""
        chunk = self._chunks[number]
        data = os.pread(self._descriptor, chunk.size, self._places[number])
        return data if len(data) == chunk.size and digest_of(data) == chunk.digest else None

    def sync(self) -> None:
        """Make all that was written durable."""
        with self._drill.write("chunks"):
            os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file. Repeated calls do nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Part:
        """Give itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()


def _allocate(descriptor: int, size: int) -> None:
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL}:
            raise
    os.ftruncate(descriptor, size)
