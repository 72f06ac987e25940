"""A buffer takes no memory before it is written to, and as much as is written then."""

from __future__ import annotations

import ctypes
import mmap
import sys

import pytest

from toolkit.sync.room import room_for

SIZE = 16 * 1024 * 1024


@pytest.mark.skipif(
    sys.platform != "linux", reason="needs hardware: a kernel that says which pages are there"
)
def test_pages_come_when_they_are_written():
    room = room_for(SIZE)
    assert (len(room), room.readonly) == (SIZE, False)
    assert pages(room) == 0
    room[:5] = b"first"
    assert 0 < pages(room) < SIZE // mmap.PAGESIZE
    assert bytes(room[:8]) == b"first\0\0\0"


def pages(room: memoryview) -> int:
    """How many pages of it are in memory; see mincore(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    there = (ctypes.c_ubyte * (len(room) // mmap.PAGESIZE))()
    begin = ctypes.addressof(ctypes.c_ubyte.from_buffer(room))
    assert libc.mincore(ctypes.c_void_p(begin), ctypes.c_size_t(len(room)), there) == 0, ctypes.get_errno()
    return sum(page & 1 for page in there)
