"""Put a stored chunk together that is larger than a frame and so comes in pieces. Pure; used by `transfer`.

Pieces of one answer come in order; when a piece of another answer comes (another total, or a gap), it begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.wire.frame import Piece


@dataclass(frozen=True)
class Arriving:
    """The first `have` bytes of a stored chunk of `total` bytes."""

    total: int
    have: int
    pieces: tuple[bytes, ...]


def add_piece(arriving: Arriving | None, piece: Piece) -> tuple[Arriving, bytes | None]:
    """Add a piece; give what has arrived, and the whole stored chunk if this completes it."""
    if arriving is None or arriving.total != piece.total:
        arriving = Arriving(piece.total, 0, ())
    if piece.offset == 0 and arriving.have:
        arriving = Arriving(piece.total, 0, ())
    if piece.offset != arriving.have:
        return arriving, None
    have = arriving.have + len(piece.data)
    arriving = Arriving(arriving.total, have, (*arriving.pieces, bytes(piece.data)))
    return arriving, b"".join(arriving.pieces) if have == arriving.total else None
