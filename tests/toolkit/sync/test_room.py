"""A buffer takes no memory before it is written to, and as much as is written then."""

from __future__ import annotations

import ctypes
import mmap
import platform
import subprocess
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


PACKS_COME_AND_GO = """
import resource, sys
from toolkit.sync.room import keep_freed
if sys.argv[1] == "kept":
    keep_freed()
taken = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
one = other = None
for number in range(12):
    if number == 4:
        before = taken()
    one, other = other, bytes([number]) * (16_000_000 + number * 1000)
print(taken() - before)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="needs hardware: glibc, whose memory this is about"
)
def test_packs_that_come_and_go_take_their_pages_once():
    command = [sys.executable, "-c", PACKS_COME_AND_GO, "kept"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert int(done.stdout) < 8 * 16_000_000 // mmap.PAGESIZE // 2
