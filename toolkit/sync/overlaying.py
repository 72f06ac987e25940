"""Send of a chunk that changed only its new blocks: between a `FolderSource` and a `PackStore`, for large files.

The chunk that a file had at the same place in the target's last state is its base, if it lies whole there; if it rests
as an overlay, its own bases are. Which of its blocks are still the same is told by `blocks`, so that nothing is read
from the target. Chunks whose edges have moved lie upon two or three. What shares too little goes whole, and is a base
for what comes after it.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

from toolkit.errors import IntegrityError, MissingObjectError, UnsafePathError
from toolkit.sync.blocks import BLOCK_BYTES, NAME_BYTES, BlockMemory, Laid, Whole, block_edges, block_names
from toolkit.sync.layouts.pack import StoredChunk
from toolkit.sync.layouts.packs import PackStore
from toolkit.wire.chunk import LARGE_ARTIFACT, store_chunk
from toolkit.wire.digest import RAW_BYTES, from_raw, to_raw
from toolkit.wire.entry import PACKED
from toolkit.wire.index import ChunkRef
from toolkit.wire.overlay import MAX_BASES, NEW, Run, encode_overlay
from toolkit.wire.tree import Tree

_LEAST_BYTES = 2 * BLOCK_BYTES
_MOST_BYTES = LARGE_ARTIFACT.maximum
"""Larger ones are of archives, which are written once."""
_FIRST_SHARE, _LATER_SHARE = 0.75, 0.5
"""So much of a chunk may be new when it goes as an overlay for the first time, and again. What changed stays changed:
each time more of it is sent again, until a whole chunk costs less in the long run."""


class _Base(NamedTuple):
    raw: bytes
    start: int
    """Where it began in the file."""
    whole: Whole
    again: bool
    """Whether the last version of the chunk lay upon it already."""

    @property
    def end(self) -> int:
        """Give where it ended in the file."""
        return self.start + self.whole.size

    @property
    def shift(self) -> int:
        """Give by how much its blocks are not those of the file, 0 to 4095: it may have been sent from elsewhere."""
        return (self.start - self.whole.phase) % BLOCK_BYTES


class _Block(NamedTuple):
    """A block that a base has."""

    name: bytes
    length: int
    base: _Base
    start: int
    """Where it begins in the base."""


class Overlaying:
    """Codes the chunks of large files for one target. Usable by several threads."""

    def __init__(self, store: PackStore, old: Tree, memory: BlockMemory) -> None:
        """Begin a run.

        Args:
            store: the target, as it was looked at last.
            old: what the route had brought there before.
            memory: the blocks that have been sent.
        """
        self._store = store
        self._old = old
        self._memory = memory
        self._lock = threading.Lock()
        self._path: bytes | None = None
        self._chunks = b""
        self._starts: list[int] = []

    def code(self, ref: ChunkRef, path: bytes, offset: int, data: memoryview) -> StoredChunk:
        """Give a chunk in the stored form that moves least.

        Args:
            ref: the chunk.
            path: of its file.
            offset: where in the file it begins.
            data: its bytes, which have just been proven.
        """
        if not _LEAST_BYTES <= ref.size <= _MOST_BYTES:
            return StoredChunk(ref.digest, ref.size, store_chunk(data))
        known = self._known(path, offset, ref.size)
        shift = _shift_of(known, offset, ref.size)
        edges = block_edges(offset - shift, ref.size)
        names = block_names(data, edges)
        bases, runs = _runs(known, offset, shift, edges, names)
        new_bytes = sum(run.length for run in runs if run.base == NEW)
        most = _LATER_SHARE if any(base.again for base in bases) else _FIRST_SHARE
        if bases and new_bytes <= most * ref.size:
            self._memory.remember(
                to_raw(ref.digest), Laid(tuple((base.raw, base.start - offset) for base in bases))
            )
            stored = encode_overlay(data, runs)
            return StoredChunk(ref.digest, ref.size, stored, tuple(from_raw(base.raw) for base in bases))
        if shift:
            names = block_names(data, block_edges(offset, ref.size))
        self._memory.remember(to_raw(ref.digest), Whole(offset % BLOCK_BYTES, ref.size, names))
        return StoredChunk(ref.digest, ref.size, store_chunk(data))

    def _known(self, path: bytes, offset: int, size: int) -> list[_Base]:
        """List the bases that lay at this place of the file, each once, if the target keeps them."""
        found: dict[tuple[bytes, int], _Base] = {}
        for base in self._bases(path, offset, size):
            if base.start < offset + size and base.end > offset and self._store.keeps_whole(base.raw):
                found.setdefault((base.raw, base.start), base)
        return list(found.values())

    def _bases(self, path: bytes, offset: int, size: int) -> Iterator[_Base]:
        """Yield what lay at this place of the file, as far as its blocks are known."""
        for raw, start in self._earlier(path, offset, size):
            known = self._memory.recall(raw)
            if isinstance(known, Whole):
                yield _Base(raw, start, known, again=False)
            for base, shift in known.bases if isinstance(known, Laid) else ():
                below = self._memory.recall(base)
                if isinstance(below, Whole):
                    yield _Base(base, start + shift, below, again=True)

    def _earlier(self, path: bytes, offset: int, size: int) -> list[tuple[bytes, int]]:
        """Give the chunks of the earlier version between two places, with where they began."""
        with self._lock:
            if path != self._path:
                self._path, self._chunks = path, self._chunks_of(path)
                sizes = (length for _, length in PACKED.iter_unpack(self._chunks))
                self._starts = [0, *accumulate(sizes)]
            chunks, starts = self._chunks, self._starts
        first = bisect_right(starts, offset) - 1
        last = bisect_right(starts, offset + size - 1)
        return [
            (chunks[number * PACKED.size : number * PACKED.size + RAW_BYTES], starts[number])
            for number in range(first, min(last, len(starts) - 1))
        ]

    def _chunks_of(self, path: bytes) -> bytes:
        try:
            entry = self._old.get(path)
        except (IntegrityError, MissingObjectError, UnsafePathError):
            return b""  # whoever needs that index finds out about it
        return entry.chunks if entry is not None else b""


def _shift_of(known: list[_Base], offset: int, size: int) -> int:
    """Choose where blocks are taken to begin: as in the bases that have most of a chunk."""
    shares: dict[int, int] = {}
    for base in known:
        share = min(base.end, offset + size) - max(base.start, offset)
        shares[base.shift] = shares.get(base.shift, 0) + share
    return max(shares, key=lambda shift: (shares[shift], -shift), default=0)


def _runs(
    known: list[_Base], offset: int, shift: int, edges: list[int], names: bytes
) -> tuple[list[_Base], list[Run]]:
    """Find the blocks that bases have, and say where each stretch of the chunk comes from."""
    there = _blocks(known, offset, shift, edges[-1])
    bases: list[_Base] = []
    runs: list[Run] = []
    for number, start in enumerate(edges[:-1]):
        length = edges[number + 1] - start
        name = names[number * NAME_BYTES : (number + 1) * NAME_BYTES]
        run = Run(NEW, 0, length)
        for block in there.get(offset + start, ()):
            if (block.name, block.length) != (name, length):
                continue
            if block.base not in bases:
                if len(bases) == MAX_BASES:
                    continue
                bases.append(block.base)
            run = Run(bases.index(block.base), block.start, length)
            break
        last = runs[-1] if runs else None
        if last and last.base == run.base and (run.base == NEW or last.start + last.length == run.start):
            runs[-1] = Run(last.base, last.start, last.length + length)
        else:
            runs.append(run)
    return bases, runs


def _blocks(known: list[_Base], offset: int, shift: int, size: int) -> dict[int, list[_Block]]:
    """Give the blocks of the bases that begin as those of the chunk do, by where they begin in the file."""
    found: dict[int, list[_Block]] = {}
    for base in known:
        if base.shift != shift:
            continue
        edges, names = block_edges(base.whole.phase, base.whole.size), base.whole.names
        for number, at in enumerate(edges[:-1]):
            if offset <= base.start + at < offset + size:
                name = names[number * NAME_BYTES : (number + 1) * NAME_BYTES]
                found.setdefault(base.start + at, []).append(_Block(name, edges[number + 1] - at, base, at))
    return found
