"""Cut a large file again that was cut before: only around what has changed. Used by `read` when a scan knows the file.

Most of a file that changed in place has not changed. Pieces are looked for where they were, which costs one naming
each in several threads and no cutting; between those that are there the file is cut as always. What comes out is, piece
for piece, what cutting all of it would give:

- where a piece ends is decided by its own bytes and the first byte of the next one (`wire.cuts`), so the end of an
  unchanged piece stands if the next piece is unchanged too;
- near the end of the file the file's length has a say, so nothing is believed there;
- cutting goes on until it meets the beginning of a piece that stands.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import accumulate, cycle, pairwise

from toolkit.wire.chunk import Cutter, Grid
from toolkit.wire.digest import RAW_BYTES, raw_digest_of
from toolkit.wire.entry import PACKED

_PIECE = PACKED.size
_ENOUGH_BYTES = 64 * 1024 * 1024
"""When most of what was looked at first has changed, the file is cut as if it were new."""


def cut_again(
    descriptor: int,
    size: int,
    grid: Grid,
    earlier: bytes,
    buffers: Sequence[memoryview],
    hashers: ThreadPoolExecutor,
) -> bytes | None:
    """Give the packed chunk list of a file, with the help of the one that it had.

    Args:
        descriptor: the file, of `size` bytes; the caller makes sure that it does not change meanwhile.
        size: its bytes now.
        grid: how finely it is cut.
        earlier: its packed chunk list of an earlier time.
        buffers: several of one length, at least three times the largest piece.
        hashers: threads that name pieces.

    Returns:
        None if cutting all of it is the better way: it was cut in another grid, or most of it has changed.
    """
    sizes = [length for _, length in PACKED.iter_unpack(earlier)]
    fits = all(grid.minimum <= length <= grid.maximum for length in sizes[:-1])
    if not sizes or not fits:
        return None
    starts = [0, *accumulate(sizes)]
    right = _find(descriptor, min(size, starts[-1]) - grid.maximum, earlier, starts, buffers, hashers)
    if right is None:
        return None
    stands = [here and following for here, following in zip(right, [*right[1:], False], strict=True)]
    return _Patch(descriptor, size, grid, buffers[0]).run(earlier, starts, stands)


def _find(
    descriptor: int,
    until: int,
    earlier: bytes,
    starts: Sequence[int],
    buffers: Sequence[memoryview],
    hashers: ThreadPoolExecutor,
) -> list[bool] | None:
    """Say of each piece whether it is where it was; those that end behind `until` count as changed."""
    right: list[bool] = []
    wrong_bytes = 0
    looking: deque[Future[list[bool]]] = deque()
    runs = _runs(starts, until, len(buffers[0]))
    try:
        for buffer in cycle(buffers):
            run = next(runs, None)
            if run is not None:
                window = buffer[: starts[run.stop] - starts[run.start]]
                got = os.preadv(descriptor, [window], starts[run.start])
                places = [at - starts[run.start] for at in starts[run.start : run.stop + 1]]
                names = earlier[run.start * _PIECE : run.stop * _PIECE]
                looking.append(hashers.submit(_are_there, buffer[:got], places, names))
                if len(looking) < len(buffers):
                    continue
            elif not looking:
                break
            for found in looking.popleft().result():
                at = len(right)
                wrong_bytes += 0 if found else starts[at + 1] - starts[at]
                right.append(found)
            done = starts[len(right)]
            if 2 * wrong_bytes > done and (done >= _ENOUGH_BYTES or not looking):
                return None
    finally:
        wait(looking)  # who reads next takes the same buffers
    return [*right, *[False] * (len(starts) - 1 - len(right))]


def _runs(starts: Sequence[int], until: int, most: int) -> Iterator[range]:
    """Group pieces that end before `until` into runs of at most so many bytes."""
    first = last = 0
    while last + 1 < len(starts) and starts[last + 1] <= until:
        if starts[last + 1] - starts[first] > most:
            yield range(first, last)
            first = last
        last += 1
    if last > first:
        yield range(first, last)


def _are_there(data: memoryview, places: list[int], names: bytes) -> list[bool]:
    return [
        raw_digest_of(data[start:end]) == names[at * _PIECE : at * _PIECE + RAW_BYTES]
        for at, (start, end) in enumerate(pairwise(places))
    ]


class _Patch:
    """Cuts what lies between pieces that stand."""

    def __init__(self, descriptor: int, size: int, grid: Grid, buffer: memoryview) -> None:
        self._descriptor = descriptor
        self._size = size
        self._most = grid.maximum
        self._cutter = Cutter(grid)
        self._buffer = buffer
        self._parts: list[bytes] = []

    def run(self, earlier: bytes, starts: Sequence[int], stands: list[bool]) -> bytes:
        """Put the new list together."""
        known = {start: at for at, (start, stand) in enumerate(zip(starts, stands, strict=False)) if stand}
        beginnings = iter(known)
        following = next(beginnings, self._size)
        position = 0
        while position < self._size:
            at = known.get(position)
            if at is None:
                while following < position:
                    following = next(beginnings, self._size)
                position = self._cut(position, following, known)
                continue
            end = at
            while stands[end]:
                end += 1
            self._parts.append(earlier[at * _PIECE : end * _PIECE])
            position = starts[end]
        return b"".join(self._parts)

    def _cut(self, position: int, following: int, known: dict[int, int]) -> int:
        """Cut from here until a piece that stands begins, the window ends or the file does; give where that is."""
        length = min(len(self._buffer), following - position + 2 * self._most)
        window = self._buffer[:length]
        got = os.preadv(self._descriptor, [window], position)
        if not got:
            return self._size  # it became shorter; the caller finds out
        begin = position
        for piece in self._cutter.lengths(window[:got], last=position + got >= self._size):
            start = position - begin
            self._parts.append(PACKED.pack(raw_digest_of(window[start : start + piece]), piece))
            position += piece
            if position in known:
                break
        return position
