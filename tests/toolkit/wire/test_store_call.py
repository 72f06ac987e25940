"""Calls on a store over there: what cannot be is refused before anybody takes memory for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from toolkit.errors import IntegrityError
from toolkit.wire.store_call import (
    MAX_CALL_BYTES,
    Listed,
    StoreAnswer,
    StoreCall,
    decode_answer,
    decode_call,
    encode_answer,
    encode_call,
    piece_count,
    piece_size,
)

CALL = StoreCall(
    device="us-001",
    call="0123456789abcdef-1",
    operation="write",
    key="packs/a",
    total=25,
    digest="0" * 64,
    piece_bytes=10,
    piece=2,
    data=b"12345",
)


def test_a_call_and_an_answer_come_back_as_they_were():
    assert decode_call(encode_call(CALL)) == CALL
    answer = StoreAnswer(call=CALL.call, done=True, listed=(Listed("refs/a", 5),), more=True, data=b"x")
    assert decode_answer(encode_answer(answer)) == answer


def test_the_bytes_are_frozen():
    assert encode_call(replace(CALL, data=b"12345", digest="d")).hex() == (
        "8aa463616c6cb23031323334353637383961626364"
        "65662d31a464617461c4053132333435a6646576696365a675732d303031a6646967657374a164a6666f726d617401"
        "a36b6579a77061636b732f61a96f7065726174696f6ea57772697465a5706965636502ab70696563655f62797465730a"
        "a5746f74616c19"
    )


@pytest.mark.parametrize(
    "change",
    [{"call": "x"}, {"call": "0123456789abcdef-"}, {"start": -1}, {"length": -2}, {"piece": -1}, {"piece": 3},
     {"data": b"1234"}, {"data": b"123456"}, {"piece": 0}, {"piece_bytes": 0}, {"total": -1},
     {"total": 1 << 60}, {"operation": "format"}],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_is_refused(change):
    with pytest.raises(IntegrityError, match="store call"):
        decode_call(encode_call(replace(CALL, **change)))


@given(st.binary(max_size=200))
def test_noise_is_an_integrity_error(data):
    for decode in (decode_call, decode_answer):
        with pytest.raises(IntegrityError):
            decode(data)


def test_nothing_is_decoded_above_the_limit():
    with pytest.raises(IntegrityError, match="at most"):
        decode_call(bytes(MAX_CALL_BYTES + 1))


@given(st.integers(0, 10_000), st.integers(1, 3000))
def test_the_pieces_of_an_object_are_all_of_it(total, piece_bytes):
    sizes = [piece_size(total, piece_bytes, number) for number in range(piece_count(total, piece_bytes))]
    assert sum(sizes) == total
    assert all(0 < size <= piece_bytes for size in sizes) or sizes == [0]
