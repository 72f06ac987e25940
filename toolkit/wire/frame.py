"""What the depot answers: pieces of an index, pieces of stored chunks, or a refusal; one MQTT payload each.

    header   magic "TF" | version u8 | kind u8 | artifact, first 8 bytes | epoch u32 | count u32      20 bytes
    INDEX    count x ( offset u32 | total u32 | length u32 | bytes )
    CHUNKS   count x ( number u32 | offset u32 | total u32 | length u32 | bytes )
    REFUSAL  code u8 | retry after, milliseconds u32 | UTF-8 text

All numbers are big-endian. `offset`, `total` and `length` count stored bytes; a chunk that fits comes in one piece.
`protocol.serve` makes frames, `protocol.transfer` puts them together. The device knows every digest, so a frame
carries none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from toolkit.errors import IntegrityError
from toolkit.wire.chunk import MAX_CHUNK_BYTES
from toolkit.wire.digest import Digest, to_raw
from toolkit.wire.index import MAX_INDEX_BYTES

MAX_FRAME_BYTES = 1024 * 1024
"""No message of ours is larger on any broker."""

_HEADER = struct.Struct(">2sBB8sII")
_PIECE = struct.Struct(">IIII")
_INDEX_PIECE = struct.Struct(">III")
_REFUSAL = struct.Struct(">BI")
_MAGIC = b"TF"
_VERSION = 1

FRAME_OVERHEAD = _HEADER.size
PIECE_OVERHEAD = _PIECE.size


class FrameKind(IntEnum):
    """What follows the header."""

    CHUNKS = 1
    INDEX = 2
    REFUSAL = 3


class Refusal(IntEnum):
    """Why a depot does not send what was asked for."""

    UNKNOWN_ARTIFACT = 1
    BUSY = 2
    BAD_REQUEST = 3
    DAMAGED = 4
    """The depot's own copy of a chunk failed its check; asking again will not help until it is repaired."""


@dataclass(frozen=True)
class Piece:
    """A piece of a stored chunk, or of the index (number 0)."""

    number: int
    offset: int
    total: int
    data: bytes | memoryview

    @property
    def whole(self) -> bool:
        """Whether this piece is all of it."""
        return self.offset == 0 and len(self.data) == self.total


@dataclass(frozen=True)
class Frame:
    """One answer. `pieces` for CHUNKS and INDEX; `refusal`, `retry_after_ms` and `text` for REFUSAL."""

    kind: FrameKind
    artifact_prefix: bytes
    epoch: int
    pieces: tuple[Piece, ...] = ()
    refusal: Refusal | None = None
    retry_after_ms: int = 0
    text: str = ""

    def belongs_to(self, artifact: Digest) -> bool:
        """Whether the frame answers a request for this artifact."""
        return self.artifact_prefix == to_raw(artifact)[:8]


def encode_pieces(kind: FrameKind, artifact: Digest, epoch: int, pieces: list[Piece]) -> bytes:
    """Write a CHUNKS or INDEX frame.

    Raises:
        ValueError: it would be larger than MAX_FRAME_BYTES (a fault of the caller).
    """
    parts: list[bytes | memoryview] = [
        _HEADER.pack(_MAGIC, _VERSION, kind, to_raw(artifact)[:8], epoch & 0xFFFFFFFF, len(pieces))
    ]
    for piece in pieces:
        if kind is FrameKind.CHUNKS:
            parts.append(_PIECE.pack(piece.number, piece.offset, piece.total, len(piece.data)))
        else:
            parts.append(_INDEX_PIECE.pack(piece.offset, piece.total, len(piece.data)))
        parts.append(piece.data)
    frame = b"".join(parts)
    if len(frame) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(frame)} bytes is larger than {MAX_FRAME_BYTES}")
    return frame


def encode_refusal(
    artifact: Digest, epoch: int, refusal: Refusal, *, retry_after_ms: int = 0, text: str = ""
) -> bytes:
    """Write a REFUSAL frame; the text is for people and cut at 500 bytes."""
    header = _HEADER.pack(_MAGIC, _VERSION, FrameKind.REFUSAL, to_raw(artifact)[:8], epoch & 0xFFFFFFFF, 1)
    return header + _REFUSAL.pack(refusal, retry_after_ms) + text.encode()[:500]


def decode_frame(data: bytes) -> Frame:
    """Read a frame from anybody; sizes are checked before anything is kept.

    Raises:
        IntegrityError: it is damaged or of another version.
    """
    if len(data) > MAX_FRAME_BYTES:
        raise IntegrityError(f"frame has {len(data)} bytes; at most {MAX_FRAME_BYTES} are read")
    try:
        magic, version, kind_number, prefix, epoch, count = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != _VERSION:
            raise IntegrityError(
                f"frame begins with {data[:4]!r}; this version reads frames of version {_VERSION}"
            )
        kind = FrameKind(kind_number)
        if kind is FrameKind.REFUSAL:
            code, retry = _REFUSAL.unpack_from(data, _HEADER.size)
            text = data[_HEADER.size + _REFUSAL.size :].decode("utf-8", "replace")
            return Frame(kind, prefix, epoch, (), Refusal(code), retry, text)
        pieces = tuple(_pieces(memoryview(data), kind, count))
    except (struct.error, ValueError) as error:
        raise IntegrityError(f"frame is damaged: {error}") from error
    return Frame(kind, prefix, epoch, pieces)


def _pieces(data: memoryview, kind: FrameKind, count: int) -> Iterator[Piece]:
    position = _HEADER.size
    largest = MAX_CHUNK_BYTES + 1 if kind is FrameKind.CHUNKS else MAX_INDEX_BYTES
    for _ in range(count):
        if kind is FrameKind.CHUNKS:
            number, offset, total, length = _PIECE.unpack_from(data, position)
            position += _PIECE.size
        else:
            number = 0
            offset, total, length = _INDEX_PIECE.unpack_from(data, position)
            position += _INDEX_PIECE.size
        body = data[position : position + length]
        position += length
        if len(body) != length or not length or offset + length > total or total > largest:
            raise IntegrityError(
                f"frame has an impossible piece: offset {offset}, length {length}, total {total}"
            )
        yield Piece(number, offset, total, body)
    if position != len(data):
        raise IntegrityError(f"frame has {len(data) - position} bytes after its last piece")
