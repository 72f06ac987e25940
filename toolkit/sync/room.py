"""Memory that costs little: to read into, and for packs. For threads that read: `read`, `build`, `chunk_source`.

`bytearray(size)` fills itself with zeros, and the kernel hands out every page of it: some 10 ms a thread for what a run
of small files never touches. Pages of an anonymous mapping come one by one, when something is written there.
"""

from __future__ import annotations

import mmap
from functools import cache

_FLAGS = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}
"""Private: a child that is forked gets a copy, not a share."""
_LARGEST_BYTES = 32 * 1024 * 1024 - 64 * 1024
"""The largest block that glibc learns from, with what it adds."""


def room_for(size: int) -> memoryview:
    """Give a buffer of `size` bytes, all zero; it goes back when nobody has the view any more."""
    return memoryview(mmap.mmap(-1, size, **_FLAGS))


@cache
def keep_freed() -> None:
    """Let the C library keep large blocks that are freed for those that come next.

    glibc gives blocks of megabytes back to the kernel, and takes every page of the next one anew, until it has seen a
    larger one freed (mallopt(3), M_MMAP_THRESHOLD). Packs that come and go would cost a third of the system's time so.
    Nothing is written to this one, so no page of it is ever taken. Up to 64 MiB stay with the process from then on.
    """
    bytes(_LARGEST_BYTES)
