"""Pack what a depot has read into frames: several small chunks into one, a large one over several. Used by `serve`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from toolkit.wire.digest import Digest
from toolkit.wire.frame import FRAME_OVERHEAD, PIECE_OVERHEAD, FrameKind, Piece, encode_pieces

MIN_FRAME_BYTES = 1024
"""A device that takes less than this cannot be served."""


def chunk_frames(
    artifact: Digest, epoch: int, stored: Iterable[tuple[int, bytes | memoryview]], max_frame_bytes: int
) -> Iterator[bytes]:
    """Yield CHUNKS frames for stored chunks.

    Args:
        artifact: whose chunks they are.
        epoch: of the request that they answer.
        stored: number and stored bytes of each.
        max_frame_bytes: largest payload; at least MIN_FRAME_BYTES.
    """
    batch: list[Piece] = []
    room = full = max_frame_bytes - FRAME_OVERHEAD
    for number, data in stored:
        for piece in _cut(number, data, full - PIECE_OVERHEAD):
            need = len(piece.data) + PIECE_OVERHEAD
            if need > room:
                yield encode_pieces(FrameKind.CHUNKS, artifact, epoch, batch)
                batch, room = [], full
            batch.append(piece)
            room -= need
    if batch:
        yield encode_pieces(FrameKind.CHUNKS, artifact, epoch, batch)


def index_frames(
    artifact: Digest, epoch: int, data: bytes | memoryview, offset: int, total: int, max_frame_bytes: int
) -> Iterator[bytes]:
    """Yield INDEX frames for a part of an index that begins at `offset` of `total` bytes."""
    step = max_frame_bytes - FRAME_OVERHEAD - PIECE_OVERHEAD
    for start in range(0, len(data), step):
        piece = Piece(0, offset + start, total, data[start : start + step])
        yield encode_pieces(FrameKind.INDEX, artifact, epoch, [piece])


def _cut(number: int, data: bytes | memoryview, most: int) -> Iterator[Piece]:
    view = memoryview(data)
    for offset in range(0, len(data), most):
        yield Piece(number, offset, len(data), view[offset : offset + most])
