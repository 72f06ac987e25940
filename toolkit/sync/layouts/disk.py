"""What lies in a mirror right now, as far as names and facts tell. Before `layouts.plan`."""

from __future__ import annotations

import os
import stat
from typing import Literal, NamedTuple

from toolkit.sync.folder import Folder
from toolkit.sync.read import join
from toolkit.wire.index import Entry

SIDECAR = b".tiers"
"""Folder at the root of a storage with what we know about it; never part of the data."""
MODE_BITS = 0o777
"""Permissions only: nothing that a sync writes may run with the rights of its owner."""


class Found(NamedTuple):
    """Something in a mirror."""

    kind: Literal["file", "link", "folder", "other"]
    size: int
    mode: int
    mtime_ns: int
    target: bytes = b""

    def is_still(self, entry: Entry) -> bool:
        """Whether it is what the entry says, as far as can be told without reading it; modes do not count."""
        if self.kind != entry.kind:
            return False
        if self.kind == "file":
            return self.size == entry.size and same_time(self.mtime_ns, entry.mtime_ns)
        return self.kind == "folder" or self.target == entry.target

    def looks_like(self, entry: Entry) -> bool:
        """Whether mode and time are those of the entry."""
        return self.mode == entry.mode and same_time(self.mtime_ns, entry.mtime_ns)


def same_time(on_disk_ns: int, wanted_ns: int) -> bool:
    """Whether a time was kept as well as a file system keeps times: to the nanosecond, microsecond or second."""
    if on_disk_ns == wanted_ns:
        return True
    return any(on_disk_ns == wanted_ns - wanted_ns % unit for unit in (1_000, 1_000_000_000))


def look(folder: Folder, root: bytes) -> dict[bytes, Found]:
    """List everything below a path of a storage; links are not followed. Nothing when the path is not there.

    Raises:
        OSError: a folder cannot be read.
        UnsafePathError: the path itself goes through a link.
    """
    found: dict[bytes, Found] = {}
    below = [b""]
    while below:
        at = below.pop()
        whole = join(root, at)
        try:
            with folder.folder(whole) as descriptor, os.scandir(descriptor) as items:
                for item in items:
                    name = os.fsencode(item.name)
                    if not whole and name == SIDECAR:
                        continue
                    status = item.stat(follow_symlinks=False)
                    path = join(at, name)
                    found[path] = _found(status, name, descriptor)
                    if found[path].kind == "folder":
                        below.append(path)
        except FileNotFoundError:
            continue  # not there yet, or gone since
    return found


def _found(status: os.stat_result, name: bytes, descriptor: int) -> Found:
    mode = status.st_mode & MODE_BITS
    if stat.S_ISREG(status.st_mode):
        return Found("file", status.st_size, mode, status.st_mtime_ns)
    if stat.S_ISDIR(status.st_mode):
        return Found("folder", 0, mode, status.st_mtime_ns)
    if stat.S_ISLNK(status.st_mode):
        return Found("link", 0, mode, status.st_mtime_ns, os.readlink(name, dir_fd=descriptor))
    return Found("other", 0, mode, status.st_mtime_ns)
