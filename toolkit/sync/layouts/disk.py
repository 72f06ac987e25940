"""What lies at a path of a mirror right now, as far as facts tell. `layouts.sight` looks, `layouts.plan` asks."""

from __future__ import annotations

import os
import stat
from typing import Literal, NamedTuple

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
    inode: int = 0
    """Of a file that has more than one name, here or elsewhere; 0 otherwise."""

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


def found_of(status: os.stat_result, target: bytes = b"") -> Found:
    """Take out of what the operating system says what a plan asks for; `target` is that of a link."""
    mode = status.st_mode & MODE_BITS
    if stat.S_ISREG(status.st_mode):
        inode = status.st_ino if status.st_nlink > 1 else 0
        return Found("file", status.st_size, mode, status.st_mtime_ns, inode=inode)
    if stat.S_ISDIR(status.st_mode):
        return Found("folder", 0, mode, status.st_mtime_ns)
    kind: Literal["link", "other"] = "link" if stat.S_ISLNK(status.st_mode) else "other"
    return Found(kind, 0, mode, status.st_mtime_ns, target)
