"""Find what a new index shares with those before it, where files have long chunk lists. For `documents`, which writes.

A long list is compared record by record (36 bytes a chunk): one record in sixteen of the old lists is remembered, by
the first byte of its digest, and where the new list has it again, all that is equal before and behind it is shared.
Where both differ, the next records on either side are looked at, so a chunk that changed in its place costs its own
record and one run. What comes out always gives the new bytes; how much it shares is all that this can get wrong.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, product

from toolkit.wire.digest import Digest, to_raw
from toolkit.wire.entry import PACKED
from toolkit.wire.index_overlay import (
    MAX_BASES,
    MAX_OVERLAY_BYTES,
    IndexOverlay,
    Run,
    Shared,
    encode_index_overlay,
)

LONG_LIST_BYTES = 64 * 1024
"""A document without a chunk list of so many bytes is written whole, as ever: that is a file of some 120 MB."""
_RECORD = PACKED.size
_LIST = re.compile(rb"\xc6[\x00-\x03].{3}", re.DOTALL)
"""How MessagePack begins bytes of this length; digests that look so are no harm, see above."""
_ANCHOR = re.compile(rb"[\x00-\x0f]")
_NEAR = sorted((pair for pair in product(range(5), repeat=2) if any(pair)), key=sum)
"""So many records further on in the new list and in the old one is looked for where they are equal again."""
_LARGE = 16
_HALF = 2


class Known:
    """An older document of the same store: its bytes, and how it rests."""

    def __init__(self, digest: Digest, data: bytes, overlay: IndexOverlay | None) -> None:
        """Take what was read and proven; `overlay` is None when it rests whole."""
        self.digest = digest
        self.data = data
        self.overlay = overlay
        self._ends = list(accumulate(_length(run) for run in overlay.runs)) if overlay else []

    @property
    def overlay_bytes(self) -> int:
        """Bytes that it rests in if it is an overlay, else 0."""
        return len(encode_index_overlay(self.overlay)) if self.overlay else 0

    def take(self, start: int, length: int) -> Iterator[bytes | tuple[Digest, int, int]]:
        """Yield some of its bytes as they rest: out of documents that rest whole, or as new bytes."""
        if self.overlay is None:
            yield self.digest, start, length
            return
        bases = self.overlay.base_digests()
        number = bisect_right(self._ends, start)
        while length:
            run = self.overlay.runs[number]
            within = start - (self._ends[number] - _length(run))
            some = min(length, _length(run) - within)
            if isinstance(run, Shared):
                yield bases[run.base], run.start + within, some
            else:
                yield run[within : within + some]
            start, length, number = start + some, length - some, number + 1


def has_long_list(data: bytes) -> bool:
    """Say whether a document names a file of very many chunks."""
    return len(data) >= LONG_LIST_BYTES and next(_long_lists(data), None) is not None


def overlay_of(data: bytes, known: Sequence[Known]) -> bytes | None:
    """Give the overlay that a new index rests as, or None when it should rest whole.

    All that changed since its bases stands in each overlay, so these grow, and from some size on one that rests whole
    again is cheaper. Of states that add c bytes each to what they share with a base of S bytes, n cost
    S + c (1 + 2 + … + n); the mean is least at n = sqrt(2 S / c), when an overlay has sqrt(2 S c) bytes.

    Args:
        data: the new document.
        known: older ones with names near those in this one; the first begins before it, the last ends behind it.
    """
    laid = _Laid(data)
    for start, length, number, there in _matches(data, [each.data for each in known]):
        laid.new(start)
        for part in known[number].take(there, length):
            laid.put(part)
    laid.new(len(data))
    overlay = laid.finish()
    if overlay is None:
        return None
    form = encode_index_overlay(overlay)
    size, whole = len(form), len(data)
    added = max(size - max(each.overlay_bytes for each in known), 1)
    if size > min(whole // _HALF, MAX_OVERLAY_BYTES) or (
        size > whole // _LARGE and size * size > 2 * whole * added
    ):
        return None
    return form


class _Laid:
    """An overlay that is being made, from its first byte to its last."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._bases: dict[Digest, int] = {}
        self._runs: list[Run] = []

    def new(self, until: int) -> None:
        """Take what has not come yet as new."""
        if until > self._at:
            self.put(self._data[self._at : until])

    def put(self, part: bytes | tuple[Digest, int, int]) -> None:
        """Take the next bytes."""
        last = self._runs[-1] if self._runs else None
        if isinstance(part, bytes):
            self._at += len(part)
            if isinstance(last, bytes):
                self._runs[-1] = last + part
            else:
                self._runs.append(part)
            return
        digest, start, length = part
        self._at += length
        base = self._bases.setdefault(digest, len(self._bases))
        if isinstance(last, Shared) and last.base == base and last.start + last.length == start:
            self._runs[-1] = Shared(base, last.start, last.length + length)
        else:
            self._runs.append(Shared(base, start, length))

    def finish(self) -> IndexOverlay | None:
        """Give it; None when it shares nothing, or with too many."""
        if not 0 < len(self._bases) <= MAX_BASES:
            return None
        return IndexOverlay(bases=tuple(to_raw(digest) for digest in self._bases), runs=tuple(self._runs))


def _matches(new: bytes, olds: Sequence[bytes]) -> Iterator[tuple[int, int, int, int]]:
    """Yield what is equal, in order: where it is in the new bytes, its length, which old ones, where it is there."""
    remembered = _remembered(olds)
    done = _equal(new, 0, olds[0], 0)
    if done:
        yield 0, done, 0, 0
    for start, end in _long_lists(new):
        for anchor in _anchors(new, start, end):
            place = remembered.get(new[anchor : anchor + _RECORD]) if anchor >= done else None
            if place is None:
                continue
            number, there = place
            old = olds[number]
            back = _back(new, anchor, old, there, max(done, start))
            for begin, length, there_too in _forward(new, anchor - back, old, there - back, end):
                yield begin, length, number, there_too
                done = begin + length
    tail = _equal_end(new[done:], olds[-1])
    if tail:
        yield len(new) - tail, tail, len(olds) - 1, len(olds[-1]) - tail


def _remembered(olds: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
    """Remember records of the long lists, and where they are first."""
    remembered: dict[bytes, tuple[int, int]] = {}
    for number, old in enumerate(olds):
        for start, end in _long_lists(old):
            for at in _anchors(old, start, end):
                remembered.setdefault(old[at : at + _RECORD], (number, at))
    return remembered


def _back(new: bytes, at: int, old: bytes, there: int, least: int) -> int:
    """Count the bytes of equal records before two places, as far as the new ones do not begin before `least`."""
    begin = at
    while (
        at - _RECORD >= least and there >= _RECORD and new[at - _RECORD : at] == old[there - _RECORD : there]
    ):
        at, there = at - _RECORD, there - _RECORD
    return begin - at


def _forward(new: bytes, at: int, old: bytes, there: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield equal runs from a record that is equal on, over changes of a few records."""
    while True:
        length = _equal(new, at, old, there)
        yield at, length, there
        at, there = at + length, there + length
        for ours, theirs in _NEAR:
            next_at, next_there = at + ours * _RECORD, there + theirs * _RECORD
            record = new[next_at : next_at + _RECORD]
            if next_at + _RECORD <= end and old[next_there : next_there + _RECORD] == record:
                at, there = next_at, next_there
                break
        else:
            return


def _long_lists(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where long chunk lists begin and end."""
    at = 0
    while found := _LIST.search(data, at):
        start, length = found.end(), int.from_bytes(data[found.start() + 1 : found.end()], "big")
        if length >= LONG_LIST_BYTES and length % _RECORD == 0 and start + length <= len(data):
            yield start, start + length
            at = start + length
        else:
            at = found.start() + 1


def _anchors(data: bytes, start: int, end: int) -> Iterator[int]:
    """Yield where the records are that can be found again: one in sixteen."""
    return (start + found.start() * _RECORD for found in _ANCHOR.finditer(data[start:end:_RECORD]))


def _equal(one: bytes, at: int, other: bytes, there: int) -> int:
    """Count the bytes that are equal from two places on."""
    length, step, most = 0, 65536, min(len(one) - at, len(other) - there)
    while step:
        while (
            length + step <= most
            and one[at + length : at + length + step] == other[there + length : there + length + step]
        ):
            length += step
        step //= 4
    return length


def _equal_end(one: bytes, other: bytes) -> int:
    """Count the bytes that are equal at both ends."""
    length, step, most = 0, 65536, min(len(one), len(other))
    while step:
        while (
            length + step <= most
            and one[len(one) - length - step : len(one) - length]
            == other[len(other) - length - step : len(other) - length]
        ):
            length += step
        step //= 4
    return length


def _length(run: Run) -> int:
    return run.length if isinstance(run, Shared) else len(run)
