"""Write a first copy into a mirror while its source is being scanned, so that nobody reads it twice.

`scan` asks for each large file that it reads whether anybody wants the bytes; here they go straight into the draft
(`layouts.drafts`) that the file would get anyway, each stretch right after its chunks were named from the same memory.
`layouts.mirror` then finds the draft complete. Only for routes that have brought nothing yet: later, most of what is
read is in the target already. Whatever goes wrong here is left to the ordinary way, which reads the draft again.
"""

from __future__ import annotations

import os
import threading

from toolkit.errors import UnsafePathError
from toolkit.sync.folder import Folder, begin_flush
from toolkit.sync.layouts.build import DRAFT_MODE
from toolkit.sync.layouts.drafts import Drafts
from toolkit.sync.read import Sink, join

_NEW_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_FLUSH_BYTES = 16 * 1024 * 1024
"""The disk begins to write when so much has come."""
_SPARE_SHARE = 20
"""One part in so many of the free space is left alone, as are files that would need it."""


class EarlyDrafts:
    """Takes large files that the mirror has not got. Usable by several threads."""

    def __init__(self, folder: Folder, root: bytes, drafts: Drafts) -> None:
        """Write drafts for what shall lie below `root`."""
        self._folder = folder
        self._root = root
        self._drafts = drafts
        self._lock = threading.Lock()
        self._sizes: set[int] = set()

    def begin(self, path: bytes, size: int) -> Sink | None:
        """Make the draft of a file, if it is worth it; see `read.Tap`."""
        with self._lock:
            # Two files of one size may be copies, and copies move once: the second one takes the ordinary way.
            if size in self._sizes or not self._has_room(size):
                return None
            self._sizes.add(size)
        try:
            if self._is_there(join(self._root, path)):
                return None
            with self._folder.parent(self._drafts.place_of(path), create=True) as (way, name):
                # A draft that is there already holds what an earlier run has brought.
                return _Draft(self._drafts, path, os.open(name, _NEW_FLAGS, DRAFT_MODE, dir_fd=way))
        except (OSError, UnsafePathError):
            return None

    def _is_there(self, path: bytes) -> bool:
        try:
            with self._folder.parent(path) as (way, name):
                os.stat(name, dir_fd=way, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _has_room(self, size: int) -> bool:
        facts = os.fstatvfs(self._folder.descriptor)
        free = facts.f_bavail * facts.f_frsize
        return size <= free - free // _SPARE_SHARE


class _Draft:
    """One draft that is being written; see `read.Sink`."""

    def __init__(self, drafts: Drafts, path: bytes, descriptor: int) -> None:
        self._drafts = drafts
        self._path = path
        self._descriptor = descriptor
        self._broken = False
        self._lock = threading.Lock()
        self._unflushed = 0

    def write(self, data: memoryview, offset: int) -> None:
        """Take bytes; see `read.Sink`."""
        size = len(data)
        try:
            while data and not self._broken:
                written = os.pwrite(self._descriptor, data, offset)
                data, offset = data[written:], offset + written
        except OSError:
            self._broken = True  # the ordinary way will run into it too, and say so
            return
        with self._lock:
            self._unflushed += size
            if self._unflushed < _FLUSH_BYTES:
                return
            self._unflushed = 0
        begin_flush(self._descriptor)

    def end(self, chunks: bytes | None) -> None:
        """Note what the draft holds; see `read.Sink`."""
        os.close(self._descriptor)
        if chunks is not None and not self._broken:
            self._drafts.early[self._path] = chunks
