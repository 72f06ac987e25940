"""What drafts lack and where each piece comes from; how the work is shared out. Pure: entries in, pieces out.

`layouts.mirror` asks what is lacking, `layouts.drafts` brings it task by task, in stretches of neighbouring pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from toolkit.sync.merge import placed
from toolkit.wire.digest import Digest
from toolkit.wire.index import ChunkRef, Entry

_TASK_BYTES = 4 * 1024 * 1024
_TASK_DRAFTS = 64
_STRETCH_BYTES = 512 * 1024
"""Neighbouring chunks are read, proven and written together up to this size: it fits the processor's cache."""
_BLOCK_BYTES = 4096


class Place(NamedTuple):
    """Where a chunk is: a path below the storage's root, and the offset."""

    path: bytes
    offset: int


class Piece(NamedTuple):
    """A chunk that a draft lacks. `place` is where the mirror has it; without one it comes from the source."""

    offset: int
    ref: ChunkRef
    place: Place | None


@dataclass(frozen=True)
class Lacks:
    """What the drafts lack."""

    first: list[tuple[Entry, list[Piece]]]
    """Each draft with the pieces that can be brought at once."""
    then: list[tuple[Entry, list[Piece]]]
    """Pieces that are copied from another draft when that one is filled."""
    moving: dict[Digest, int]
    """Chunks that come from the source, each once, with their sizes in bytes."""
    bases: dict[bytes, bytes] = field(default_factory=dict)
    """Where the last version of a file lies that is built anew: path of the entry to path below the storage's root."""
    seen: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """Size and time in ns of that version when it was looked up what it holds."""


def lacking(drafts: Iterable[tuple[Entry, Place, set[int]]], have: dict[Digest, Place]) -> Lacks:
    """Sort out where each piece of the drafts comes from.

    Args:
        drafts: each file to build, where its draft is, and the offsets at which that is right already.
        have: where the mirror has chunks; what drafts hold is added.
    """
    drafts = list(drafts)
    for entry, (path, _), right in drafts:
        for offset, ref in placed(entry) if right else ():
            if offset in right:
                have.setdefault(ref.digest, Place(path, offset))
    lacks = Lacks([], [], {})
    coming: dict[Digest, Place] = {}
    for entry, (path, _), right in drafts:
        first: list[Piece] = []
        then: list[Piece] = []
        for offset, ref in placed(entry):
            if offset in right:
                continue
            if ref.digest in have:
                first.append(Piece(offset, ref, have[ref.digest]))
            elif ref.digest in coming:
                then.append(Piece(offset, ref, coming[ref.digest]))
            else:
                first.append(Piece(offset, ref, None))
                coming[ref.digest] = Place(path, offset)
                lacks.moving[ref.digest] = ref.size
        lacks.first.append((entry, first))
        if then:
            lacks.then.append((entry, then))
    return lacks


def staying(pieces: Iterable[Piece], base: bytes, before: Iterable[tuple[int, ChunkRef]]) -> Iterator[Piece]:
    """Take from the last version of a file what it has at the same offset, wherever else the mirror has it too.

    Args:
        pieces: of the new version.
        base: where the last one lies.
        before: its chunks with their offsets.
    """
    there = {(offset, ref.digest) for offset, ref in before}
    for piece in pieces:
        stays = piece.place is not None and (piece.offset, piece.ref.digest) in there
        yield piece._replace(place=Place(base, piece.offset)) if stays else piece


def tasks(drafts: Iterable[tuple[Entry, list[Piece]]]) -> Iterator[list[tuple[Entry, list[Piece]]]]:
    """Group pieces so that a task is worth a thread's while and a large file keeps all threads busy."""
    task: list[tuple[Entry, list[Piece]]] = []
    size = 0
    for entry, pieces in drafts:
        start = 0
        for position, piece in enumerate(pieces):
            size += piece.ref.size
            if size >= _TASK_BYTES:
                task.append((entry, pieces[start : position + 1]))
                yield task
                task, size, start = [], 0, position + 1
        if start < len(pieces) or not pieces:
            task.append((entry, pieces[start:]))
        if len(task) >= _TASK_DRAFTS:
            yield task
            task, size = [], 0
    if task:
        yield task


def differing(new: memoryview, old: memoryview, offset: int) -> list[tuple[int, int]]:
    """Compare bytes block by block and give the ranges of `new` in which `old` has something else, or ends before.

    Args:
        new: what shall be there.
        old: what is there.
        offset: where both lie in their file; blocks are those of the file.
    """
    there, here = bytes(new), bytes(old)  # views are compared byte by byte, these a block at a time
    if there == here:
        return []
    ranges: list[tuple[int, int]] = []
    start, size = 0, len(new)
    while start < size:
        end = min(size, start + _BLOCK_BYTES - (offset + start) % _BLOCK_BYTES)
        if there[start:end] != here[start:end]:
            if ranges and ranges[-1][1] == start:
                ranges[-1] = (ranges[-1][0], end)
            else:
                ranges.append((start, end))
        start = end
    return ranges


def groups(task: Iterable[tuple[Entry, list[Piece]]]) -> Iterator[list[tuple[Entry, list[Piece]]]]:
    """Put small files together whose pieces fit into one stretch."""
    group: list[tuple[Entry, list[Piece]]] = []
    size = 0
    for entry, pieces in task:
        more = sum(piece.ref.size for piece in pieces)
        if group and size + more > _STRETCH_BYTES:
            yield group
            group, size = [], 0
        group.append((entry, pieces))
        size += more
    if group:
        yield group


def stretches(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Group pieces that are neighbours in the draft and where they come from."""
    stretch: list[Piece] = []
    begin = end = shift = 0
    origin: bytes | None = None
    for piece in pieces:
        place, size = piece.place, piece.ref.size
        path = None if place is None else place.path
        distance = 0 if place is None else place.offset - piece.offset
        together = piece.offset == end and path == origin and distance == shift
        if stretch and not (together and end + size - begin <= _STRETCH_BYTES):
            yield stretch
            stretch = []
        if not stretch:
            begin, origin, shift = piece.offset, path, distance
        stretch.append(piece)
        end = piece.offset + size
    if stretch:
        yield stretch


def end_of(piece: Piece) -> int:
    """Give the offset behind a piece."""
    return piece.offset + piece.ref.size
