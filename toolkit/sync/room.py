"""Memory to read into that costs nothing until it is used. For threads that read: `read`, `build`, `chunk_source`.

`bytearray(size)` fills itself with zeros, and the kernel hands out every page of it: some 10 ms a thread for what a run
of small files never touches. Pages of an anonymous mapping come one by one, when something is written there.
"""

from __future__ import annotations

import mmap

_FLAGS = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_ANONYMOUS") else {}
"""Private: a child that is forked gets a copy, not a share."""


def room_for(size: int) -> memoryview:
    """Give a buffer of `size` bytes, all zero; it goes back when nobody has the view any more."""
    return memoryview(mmap.mmap(-1, size, **_FLAGS))
