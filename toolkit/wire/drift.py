"""A chunk as numbers that have drifted from those of an older chunk: how weights rest in a pack when all of them moved.

`sync.drifting` makes one for a chunk of a file of weights that came again; `layouts.reading` opens it, with
`sync.delta.drift` for the numbers, when the chunk is asked for. Its *base* is one whole chunk, which the trailer of the
pack names. Nothing of it is believed: what comes out must have the chunk's digest.

    3 | width u8 | floats u8 | start u8 | length u32 | width x ( stored bytes u32 ) | sections | other bytes

Numbers are big-endian. `length` bytes of the chunk from `start` on are numbers of `width` bytes, and the sections give
them as planes give them in a patch (`wire.delta`), upon the bytes of the base from `start` on. The bytes before and
behind them, if there are any, are stored as a chunk is.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from toolkit.errors import IntegrityError
from toolkit.wire.chunk import MAX_CHUNK_BYTES, decode_stored, store_chunk
from toolkit.wire.delta import WIDTHS
from toolkit.wire.digest import Digest

DRIFT = 3
"""First byte of a drift; those of `wire.chunk` are 0 and 1, that of `wire.overlay` is 2."""
_HEAD = struct.Struct(">BBBBI")
_STORED = struct.Struct(">I")


class Drift(NamedTuple):
    """A chunk in terms of its base."""

    width: int
    """Bytes of a number: 1, 2, 4 or 8; little-endian."""
    floats: bool
    """Whether the top bit is a sign and the rest a magnitude, as in IEEE 754."""
    start: int
    """Where the numbers begin, in the chunk and in the base; less than `width`."""
    length: int
    """Bytes of all numbers."""
    sections: tuple[bytes, ...]
    """One a byte of the numbers, the lowest first."""
    others: bytes
    """The bytes of the chunk before the numbers and behind them."""


def encode_drift(drift: Drift) -> bytes:
    """Give the stored form."""
    head = _HEAD.pack(DRIFT, drift.width, drift.floats, drift.start, drift.length)
    stored = b"".join(_STORED.pack(len(each)) for each in drift.sections)
    return b"".join((head, stored, *drift.sections, store_chunk(drift.others) if drift.others else b""))


def decode_drift(stored: bytes | memoryview, digest: Digest, size: int) -> Drift:
    """Take the stored form apart, unproven.

    Args:
        stored: what `encode_drift` gave, possibly damaged since.
        digest: name of the chunk, for errors.
        size: its bytes; nothing larger is allocated.

    Raises:
        IntegrityError: it is no drift, or its sizes cannot be.
    """
    what = f"the drift of chunk {digest[:12]}"
    if not 0 < size <= MAX_CHUNK_BYTES:
        raise IntegrityError(f"{what} claims {size} bytes; no chunk has that")
    if len(stored) < _HEAD.size or stored[0] != DRIFT:
        raise IntegrityError(f"chunk {digest[:12]} should be a drift, and is none")
    _, width, floats, start, length = _HEAD.unpack_from(stored)
    is_possible = width in WIDTHS and floats in {0, 1} and start < width
    if not is_possible or not length or length % width or start + length > size:
        raise IntegrityError(f"{what} has numbers of {width} bytes at {start} to {start + length} of {size}")
    at = _HEAD.size + width * _STORED.size
    if len(stored) < at:
        raise IntegrityError(f"{what} is cut off")
    sections: list[bytes] = []
    for (taken,) in _STORED.iter_unpack(stored[_HEAD.size : at]):
        if not 1 < taken <= length // width + 1 or at + taken > len(stored):
            raise IntegrityError(f"{what} has a section of {taken} bytes for {length // width}")
        sections.append(bytes(stored[at : at + taken]))
        at += taken
    body, left = memoryview(stored)[at:], size - length
    if bool(left) != bool(body):
        raise IntegrityError(f"{what} has {len(body)} stored bytes for {left} that are no numbers")
    others = bytes(decode_stored(body, digest, left)) if left else b""
    if len(others) != left:
        raise IntegrityError(f"{what} has {len(others)} bytes that are no numbers, not {left}")
    return Drift(width, bool(floats), start, length, tuple(sections), others)
