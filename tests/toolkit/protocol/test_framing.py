from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from toolkit.protocol.framing import MIN_FRAME_BYTES, chunk_frames, index_frames
from toolkit.wire.digest import digest_of
from toolkit.wire.frame import decode_frame

MODEL = digest_of(b"model")


@given(
    st.lists(st.integers(1, 40) | st.integers(1, 3000), max_size=100).map(
        lambda sizes: [bytes([number]) * size for number, size in enumerate(sizes)]
    ),
    st.integers(MIN_FRAME_BYTES, 8000),
)
def test_frames_hold_every_byte_in_order_within_the_limit(chunks: list[bytes], most: int) -> None:
    frames = list(chunk_frames(MODEL, 3, enumerate(chunks), most))
    assert all(len(frame) <= most for frame in frames)
    got: dict[int, bytes] = {}
    for frame in frames:
        for piece in decode_frame(frame).pieces:
            assert piece.offset == len(got.get(piece.number, b""))
            got[piece.number] = got.get(piece.number, b"") + piece.data
    assert list(got.items()) == list(enumerate(chunks))


@given(st.binary(min_size=1, max_size=20_000), st.integers(0, 10**6), st.integers(MIN_FRAME_BYTES, 8000))
def test_index_frames_likewise(data: bytes, offset: int, most: int) -> None:
    frames = list(index_frames(MODEL, 3, data, offset, offset + len(data), most))
    assert all(len(frame) <= most for frame in frames)
    pieces = [decode_frame(frame).pieces[0] for frame in frames]
    assert b"".join(bytes(piece.data) for piece in pieces) == data
    assert pieces[0].offset == offset
    assert {piece.total for piece in pieces} == {offset + len(data)}
