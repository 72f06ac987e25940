"""Ranges of packs that were read in one go for many chunks: which they are, and finding a chunk in them.

Between `ahead`, which has them read, and `reading`, which takes chunks out of them instead of asking the Remote again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from toolkit.sync.layouts.places import Place
from toolkit.wire.digest import Digest

GAP_BYTES = 64 * 1024
"""What lies between two chunks is read with them up to this size: a request costs more. It is also what an encrypted
pack is read in."""


class Range(NamedTuple):
    """Bytes of a pack that lie behind each other."""

    pack: Digest
    start: int
    length: int


def ranges_of(places: Iterable[Place]) -> list[Range]:
    """Give the ranges in which places lie, few and large; they hold at most half as much again as was asked for."""
    found: list[Range] = []
    wanted = sorted({(place.pack, place.entry.offset, place.entry.length) for place in places})
    spare = sum(length for _, _, length in wanted) // 2
    for pack, start, length in wanted:
        if found and found[-1].pack == pack:
            last = found[-1]
            gap = start - last.start - last.length
            if gap <= min(GAP_BYTES, spare):
                spare -= max(0, gap)
                end = max(last.start + last.length, start + length)
                found[-1] = Range(pack, last.start, end - last.start)
                continue
        found.append(Range(pack, start, length))
    return found


class Brought:
    """Ranges that have been read. Not proven: whoever takes a chunk out of it does that."""

    def __init__(self, parts: Iterable[tuple[Range, bytes]]) -> None:
        """Take the bytes of ranges; one that came short is left out."""
        self._of: dict[Digest, list[tuple[int, memoryview]]] = {}
        for (pack, start, length), data in parts:
            if len(data) == length:
                self._of.setdefault(pack, []).append((start, memoryview(data)))
        for ranges in self._of.values():
            ranges.sort(key=lambda each: each[0])

    def get(self, pack: Digest, start: int, length: int) -> memoryview | None:
        """Give bytes of a pack, None when they are not here as a whole."""
        ranges = self._of.get(pack, [])
        number = bisect_right(ranges, start, key=lambda each: each[0]) - 1
        if number < 0:
            return None
        begin, data = ranges[number]
        at = start - begin
        return data[at : at + length] if at + length <= len(data) else None


NOTHING = Brought(())
