"""Frames come from anybody on the broker: every size is checked before it is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import IntegrityError
from toolkit.wire.chunk import MAX_CHUNK_BYTES
from toolkit.wire.digest import digest_of
from toolkit.wire.frame import (
    _HEADER,
    _PIECE,
    FRAME_OVERHEAD,
    MAX_FRAME_BYTES,
    PIECE_OVERHEAD,
    FrameKind,
    Piece,
    Refusal,
    decode_frame,
    encode_pieces,
    encode_refusal,
)
from toolkit.wire.index import MAX_INDEX_BYTES

ARTIFACT = digest_of(b"artifact")


@pytest.mark.parametrize("kind", [FrameKind.CHUNKS, FrameKind.INDEX])
def test_pieces_come_back(kind):
    number = 7 if kind is FrameKind.CHUNKS else 0
    pieces = [Piece(number, 0, 3, b"abc"), Piece(number, 10, 20, b"defg")]
    frame = decode_frame(encode_pieces(kind, ARTIFACT, 9, pieces))
    assert (frame.kind, frame.epoch, frame.belongs_to(ARTIFACT)) == (kind, 9, True)
    assert [(p.number, p.offset, p.total, bytes(p.data)) for p in frame.pieces] == [
        (p.number, p.offset, p.total, p.data) for p in pieces
    ]
    assert [piece.whole for piece in frame.pieces] == [True, False]
    assert not frame.belongs_to(digest_of(b"other"))


def test_a_refusal_comes_back():
    frame = decode_frame(encode_refusal(ARTIFACT, 1, Refusal.BUSY, retry_after_ms=1500, text="ä" * 400))
    assert (frame.refusal, frame.retry_after_ms) == (Refusal.BUSY, 1500)
    assert 240 < len(frame.text) <= 251


def test_the_overheads_are_what_they_say():
    data = encode_pieces(FrameKind.CHUNKS, ARTIFACT, 1, [Piece(0, 0, 5, b"12345")])
    assert len(data) == FRAME_OVERHEAD + PIECE_OVERHEAD + 5


def test_no_frame_is_larger_than_a_broker_takes():
    with pytest.raises(ValueError, match="larger than"):
        encode_pieces(FrameKind.CHUNKS, ARTIFACT, 1, [Piece(0, 0, MAX_FRAME_BYTES, bytes(MAX_FRAME_BYTES))])
    with pytest.raises(IntegrityError, match="at most"):
        decode_frame(bytes(MAX_FRAME_BYTES + 1))


def raw(offset=0, total=3, length=3, body=b"abc", count=1, kind=1, version=1, magic=b"TF"):
    header = _HEADER.pack(magic, version, kind, bytes(8), 1, count)
    return header + _PIECE.pack(0, offset, total, length) + body


def test_the_raw_form_used_here_is_right():
    assert decode_frame(raw()).pieces[0].whole


@pytest.mark.parametrize(
    "data",
    [b"", b"TF", raw(magic=b"XX"), raw(version=2), raw(kind=0), raw(kind=9), raw(count=2), raw(count=2**32 - 1),
     raw(count=0), raw(length=4), raw(length=0, body=b""), raw(length=2**32 - 1), raw(offset=1),
     raw(offset=2**32 - 1), raw(total=2),
     raw(total=MAX_CHUNK_BYTES + 2), raw(body=b"abcd"), raw()[:-1], raw(kind=3)[:21]],
)  # fmt: skip
def test_an_impossible_frame_is_refused(data):
    with pytest.raises(IntegrityError):
        decode_frame(data)


def test_a_piece_of_an_index_that_nobody_takes_is_refused():
    data = encode_pieces(FrameKind.INDEX, ARTIFACT, 1, [Piece(0, 0, MAX_INDEX_BYTES + 1, b"abc")])
    with pytest.raises(IntegrityError, match="impossible piece"):
        decode_frame(data)


@given(st.binary(max_size=80), st.integers(0, 20))
def test_noise_is_an_integrity_error_and_nothing_else(noise, keep):
    for data in (noise, raw()[:keep] + noise):
        try:
            decode_frame(data)
        except IntegrityError:
            continue
