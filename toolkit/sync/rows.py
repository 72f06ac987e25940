"""What the operating system says of a folder's content, packed: so that an unchanged folder costs one comparison.

`scan` (the source) and `layouts.sight` (a mirror) list folders into rows and keep them packed, sorted by name, in a
`cache`; when the bytes are the same next time, nothing in the folder has changed and no file of it is looked at alone.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import NamedTuple

import msgspec

_KIND = 0o170000
_LISTED = {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK}


class Row(NamedTuple):
    """One thing in a folder."""

    name: bytes
    mode: int
    """With the bits that say what it is."""
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


class Listed(NamedTuple):
    """A folder's content."""

    rows: list[Row]
    """Files with one name, folders and links, sorted by name."""
    rest: list[tuple[bytes, os.stat_result]]
    """Files with several names, and what is no file, folder or link."""
    failed: list[tuple[bytes, OSError]]
    """What was listed and then could not be looked at."""


_CODING = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
"""What `os.fsencode` uses."""
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(list[Row]).decode


def list_folder(descriptor: int, *, but: bytes = b"") -> Listed:
    """List an open folder, leaving out one name; links are not followed.

    Raises:
        OSError: it cannot be read.
    """
    rows: list[Row] = []
    rest: list[tuple[bytes, os.stat_result]] = []
    failed: list[tuple[bytes, OSError]] = []
    with os.scandir(descriptor) as items:
        for item in items:
            try:
                found = item.stat(follow_symlinks=False)
            except OSError as error:
                failed.append((os.fsencode(item.name), error))
                continue
            mode = found.st_mode
            if mode & _KIND in _LISTED and (found.st_nlink == 1 or mode & _KIND == stat.S_IFDIR):
                name = item.name.encode(*_CODING)
                # A plain tuple is made in a third of the time of a Row, and is compared and packed like one.
                rows.append(
                    (name, mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)  # type: ignore[arg-type]
                )
            else:
                rest.append((os.fsencode(item.name), found))
    rows.sort()
    if but:
        rows = [row for row in rows if row[0] != but]
    return Listed(rows, rest, failed)


def pack_rows(rows: list[Row]) -> bytes:
    """Pack rows that are sorted."""
    return _ENCODE(rows)


def unpack_rows(data: bytes) -> list[Row]:
    """Unpack rows; none when they were damaged, for what is not known is looked at."""
    try:
        return _DECODE(data)
    except msgspec.DecodeError:
        return []


def row_of(name: bytes, status: os.stat_result) -> Row | None:
    """Make the row of one thing; None for what has none."""
    kind = status.st_mode & _KIND
    if kind not in _LISTED or (status.st_nlink != 1 and kind != stat.S_IFDIR):
        return None
    return Row(name, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def is_folder(row: Row) -> bool:
    """Say whether a row is a folder."""
    return row[1] & _KIND == stat.S_IFDIR
