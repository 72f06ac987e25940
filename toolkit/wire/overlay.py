"""A chunk as what it shares with older chunks and what is new: how it rests in a pack when only some blocks changed.

`sync.overlaying` makes one for a chunk of a large file that came again with changes here and there; `layouts.packs`
opens it when the chunk is asked for. Its *bases* are whole chunks, never overlays, and the trailer of the pack names
them (`layouts.pack`). Nothing of it is believed: what comes out must have the chunk's digest.

    2 | count u16 | count x ( base u8 | start u32 | length u32 ) | stored form of the new bytes

Numbers are big-endian. The runs give the chunk from its first byte to its last: `length` bytes of base number `base`
from `start` on, or, when `base` is 255 (then `start` is 0), as many of the new bytes, which are stored as a chunk is.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from toolkit.errors import IntegrityError
from toolkit.wire.chunk import MAX_CHUNK_BYTES, decode_stored, store_chunk
from toolkit.wire.digest import Digest, digest_of

OVERLAY = 2
"""First byte of an overlay; those of `wire.chunk` are 0 and 1."""
NEW = 255
"""In the place of a base's number: bytes that no base has."""
MAX_BASES = 8
"""More bases are more to read for one chunk; a chunk whose edges have moved touches two or three."""
_HEAD = struct.Struct(">BH")
_RUN = struct.Struct(">BII")
_MAX_RUNS = 0xFFFF


class Run(NamedTuple):
    """Bytes of a chunk that lie one behind the other in a base, or are new."""

    base: int
    """Number of the base, from 0; NEW for new bytes."""
    start: int
    """Where they begin in the base; 0 for new bytes."""
    length: int


def encode_overlay(data: bytes | memoryview, runs: Sequence[Run]) -> bytes:
    """Give the stored form of an overlay.

    Args:
        data: the chunk.
        runs: cover it from its first byte to its last.

    Raises:
        ValueError: they do not, or there are too many of them.
    """
    if not 0 < len(runs) <= _MAX_RUNS or sum(run.length for run in runs) != len(data):
        raise ValueError(f"{len(runs)} runs do not give a chunk of {len(data)} bytes")
    new: list[bytes | memoryview] = []
    at = 0
    for run in runs:
        if run.base == NEW:
            new.append(data[at : at + run.length])
        at += run.length
    head = [_HEAD.pack(OVERLAY, len(runs)), *(_RUN.pack(*run) for run in runs)]
    return b"".join((*head, store_chunk(b"".join(new))))


class Laying:
    """An overlay being opened: bases are laid one at a time, so that one of them is held, not all."""

    def __init__(self, stored: bytes | memoryview, digest: Digest, size: int, bases: int) -> None:
        """Read the runs and lay the new bytes.

        Args:
            stored: what `encode_overlay` gave, possibly damaged since.
            digest: name of the chunk.
            size: its bytes; nothing larger is allocated.
            bases: how many bases the trailer names.

        Raises:
            IntegrityError: it is no overlay, its runs do not give so many bytes, or name a base that there is not.
        """
        self._digest = digest
        self._bases = bases
        self._runs = _read_runs(stored, digest, size, bases)
        self._next = 0
        self._data = bytearray(size)
        total = sum(run.length for run in self._runs if run.base == NEW)
        body = memoryview(stored)[_HEAD.size + len(self._runs) * _RUN.size :]
        new = memoryview(decode_stored(body, digest, total))
        if len(new) != total:
            raise IntegrityError(f"the overlay of chunk {digest[:12]} has {len(new)} new bytes, not {total}")
        at = taken = 0
        for run in self._runs:
            if run.base == NEW:
                self._data[at : at + run.length] = new[taken : taken + run.length]
                taken += run.length
            at += run.length

    def lay(self, base: bytes | memoryview) -> None:
        """Lay what comes from the next base; they come in the order in which the trailer names them.

        Raises:
            IntegrityError: a run ends behind the base.
        """
        number, self._next = self._next, self._next + 1
        at = 0
        for run in self._runs:
            if run.base == number:
                if run.start + run.length > len(base):
                    raise IntegrityError(
                        f"the overlay of chunk {self._digest[:12]} takes bytes {run.start} to"
                        f" {run.start + run.length} of a base that has {len(base)}"
                    )
                self._data[at : at + run.length] = memoryview(base)[run.start : run.start + run.length]
            at += run.length

    def finish(self) -> bytes:
        """Give the chunk, proven to be the one that was asked for.

        Raises:
            IntegrityError: it is not.
        """
        data = bytes(self._data)
        if self._next != self._bases or digest_of(data) != self._digest:
            raise IntegrityError(
                f"the overlay of chunk {self._digest[:12]} does not give the bytes it is named after"
            )
        return data


def _read_runs(stored: bytes | memoryview, digest: Digest, size: int, bases: int) -> list[Run]:
    if not 0 < size <= MAX_CHUNK_BYTES or not 0 < bases <= MAX_BASES:
        raise IntegrityError(
            f"the overlay of chunk {digest[:12]} claims {size} bytes and {bases} bases; no chunk has that"
        )
    if len(stored) < _HEAD.size:
        raise IntegrityError(f"the overlay of chunk {digest[:12]} is cut off")
    coding, count = _HEAD.unpack_from(stored)
    end = _HEAD.size + count * _RUN.size
    if coding != OVERLAY or not count or end >= len(stored):
        raise IntegrityError(f"chunk {digest[:12]} should be an overlay, and is none")
    runs = [Run(*each) for each in _RUN.iter_unpack(memoryview(stored)[_HEAD.size : end])]
    total = 0
    for run in runs:
        total += run.length
        if not run.length or total > size or (run.base >= bases and (run.base != NEW or run.start)):
            raise IntegrityError(
                f"the overlay of chunk {digest[:12]} takes {run.length} bytes of base {run.base}, which cannot be"
            )
    if total != size:
        raise IntegrityError(f"the overlay of chunk {digest[:12]} gives {total} bytes; the chunk has {size}")
    return runs
