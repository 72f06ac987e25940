"""Extended attributes and holes of files on disk: read by `read` and `scan`, laid down by `drafts` and `settle`.

Everything goes by descriptor, so a link that takes a file's place meanwhile is never followed. What may be kept at all
is said by `wire.extras`: users' own attributes and ACLs.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from toolkit.wire.extras import MAX_XATTR_BYTES, MAX_XATTRS, is_kept
from toolkit.wire.index import Entry

Xattrs = tuple[tuple[bytes, bytes], ...]

_NOT_HERE = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_TOO_LARGE = (errno.ENOSPC, errno.E2BIG, errno.ERANGE, errno.EDQUOT, errno.EINVAL, errno.EPERM, errno.EACCES)
_BLOCK_BYTES = 4096
"""Holes are made of whole blocks; file systems with smaller ones lose a little."""
_COPY_BYTES = 1024 * 1024
_ZEROS = bytes(_BLOCK_BYTES)
_STAT_BLOCK_BYTES = 512


class TooManyXattrsError(Exception):
    """A file has more extended attributes than an index takes; the text says how many."""


def read_xattrs(descriptor: int) -> Xattrs:
    """Give the attributes of an open file or folder that are kept, sorted by name; none where there can be none.

    Raises:
        TooManyXattrsError: more than an index takes.
        OSError: the file system does not give them.
    """
    try:
        names = sorted(filter(is_kept, map(os.fsencode, os.listxattr(descriptor))))
    except OSError as error:
        if error.errno in _NOT_HERE:
            return ()
        raise
    found: list[tuple[bytes, bytes]] = []
    for name in names:
        try:
            found.append((name, os.getxattr(descriptor, name)))
        except OSError as error:
            if error.errno != errno.ENODATA:  # it was taken away meanwhile
                raise
    total = sum(len(name) + len(value) for name, value in found)
    if len(found) > MAX_XATTRS or total > MAX_XATTR_BYTES:
        raise TooManyXattrsError(
            f"it has {len(found)} extended attributes of {total} bytes; "
            f"at most {MAX_XATTRS} of {MAX_XATTR_BYTES} bytes are kept, so none was"
        )
    return tuple(found)


def write_xattrs(descriptor: int, wanted: Xattrs) -> Xattrs:
    """Give an open file or folder exactly these attributes, of those that are kept; return those that it has then.

    Mode bits come first: an ACL rules the group's bits.

    Raises:
        OSError: the disk is broken. That the file system does not take an attribute is no error.
    """
    try:
        there = {os.fsencode(name) for name in os.listxattr(descriptor)}
    except OSError as error:
        if error.errno in _NOT_HERE:
            return ()
        raise
    for name in sorted(filter(is_kept, there - {name for name, _ in wanted})):
        _drop(descriptor, name)
    return tuple((name, value) for name, value in wanted if _put(descriptor, name, value))


def _put(descriptor: int, name: bytes, value: bytes) -> bool:
    try:
        os.setxattr(descriptor, name, value)
    except OSError as error:
        if error.errno in _NOT_HERE or error.errno in _TOO_LARGE:
            return False
        raise
    return True


def _drop(descriptor: int, name: bytes) -> None:
    try:
        os.removexattr(descriptor, name)
    except OSError as error:
        if error.errno != errno.ENODATA:
            raise


def xattrs_in(entry: Entry) -> Xattrs:
    """Give the attributes that an entry says."""
    return entry.extras.xattrs if entry.extras is not None else ()


def is_sparse(entry: Entry) -> bool:
    """Say whether a file shall have holes."""
    return entry.extras is not None and entry.extras.holes


def names_of(xattrs: Iterable[tuple[bytes, bytes]]) -> str:
    """List attributes for people."""
    return ", ".join(name.decode("utf-8", "backslashreplace") for name, _ in xattrs)


def has_holes(descriptor: int, status: os.stat_result) -> bool:
    """Say whether an open file has runs of zeros that take no room."""
    if status.st_blocks * _STAT_BLOCK_BYTES >= status.st_size:
        return False
    try:
        return os.lseek(descriptor, 0, os.SEEK_HOLE) < status.st_size
    except OSError:
        return False  # a file system that cannot tell


def write_around_holes(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write bytes at an offset in bytes, and nothing where they and the file are zeros anyway.

    Who writes a file this way sets its size at the end, because zeros at its end were not written.
    """
    view = memoryview(data)
    start = 0
    for at, end in _blocks(offset, len(view)):
        if bytes(view[at:end]) == _ZEROS[: end - at] and _is_empty(descriptor, offset + at, end - at):
            _write(descriptor, view[start:at], offset + start)
            start = end
    _write(descriptor, view[start:], offset + start)


def copy_bytes(source: int, target: int, *, sparse: bool) -> None:
    """Copy all bytes of one open file into another that is empty, around holes if it shall have some."""
    size = os.fstat(source).st_size
    offset = 0
    while offset < size:
        data = os.pread(source, _COPY_BYTES, offset)
        if not data:
            break
        (write_around_holes if sparse else _write)(target, memoryview(data), offset)
        offset += len(data)
    os.ftruncate(target, offset)


def _blocks(offset: int, length: int) -> Iterable[tuple[int, int]]:
    """Cut `length` bytes that begin at `offset` of a file where the file's blocks end."""
    at = 0
    while at < length:
        end = min(length, at + _BLOCK_BYTES - (offset + at) % _BLOCK_BYTES)
        yield at, end
        at = end


def _is_empty(descriptor: int, offset: int, length: int) -> bool:
    return not os.pread(descriptor, length, offset).strip(b"\0")


def _write(descriptor: int, view: memoryview, offset: int) -> None:
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written
