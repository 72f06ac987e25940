"""An object in pieces: whatever a link does to them, the whole comes out or nothing does."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from toolkit.errors import IntegrityError
from toolkit.protocol.bitmap import Bitmap
from toolkit.protocol.parcel import LARGEST_BURST_BYTES, Gathering, Sending
from toolkit.wire.digest import digest_of
from toolkit.wire.store_call import StoreCall, piece_size


def call_of(data: bytes, piece_bytes: int, number: int = -1) -> StoreCall:
    start = number * piece_bytes
    piece = data[start : start + piece_size(len(data), piece_bytes, number)] if number >= 0 else b""
    return StoreCall(
        device="us-001",
        call="0123456789abcdef-1",
        operation="write",
        total=len(data),
        digest=digest_of(data),
        piece_bytes=piece_bytes,
        piece=number,
        data=piece,
    )


@given(st.binary(max_size=3000), st.integers(1, 400), st.integers(0, 2**32))
def test_lost_doubled_and_reordered_pieces_make_the_whole_in_the_end(data, piece_bytes, seed):
    dice = random.Random(seed)
    sending, gathering = Sending.of(len(data), piece_bytes), Gathering(call_of(data, piece_bytes))
    for _ in range(1000):
        burst = sending.burst()
        arriving = [number for number in burst if dice.random() < 0.7] * dice.randint(1, 2)
        dice.shuffle(arriving)
        for number in arriving:
            gathering.take(call_of(data, piece_bytes, number))
        if gathering.have.full:
            break
        sending = sending.answered(gathering.have, burst) if dice.random() < 0.8 else sending.silent()
    assert gathering.whole() == data


def test_bursts_grow_while_all_arrives_and_shrink_when_something_is_lost():
    sending = Sending.of(1 << 30, 1 << 18)
    sizes = []
    for _ in range(6):
        burst = sending.burst()
        sizes.append(len(burst))
        sending = sending.answered(sending.have.with_set(burst), burst)
    assert sizes == [4, 8, 16, 32, 32, 32]
    assert sending.burst_bytes == LARGEST_BURST_BYTES
    assert len(sending.silent().burst()) == 16
    assert len(sending.answered(sending.have, sending.burst()).burst()) == 16


def test_a_damaged_object_is_wanted_again_and_a_stranger_is_refused():
    data = b"0123456789" * 3
    gathering = Gathering(call_of(data, 10))
    for number in (0, 1):
        gathering.take(call_of(data, 10, number))
    gathering.take(replace(call_of(data, 10, 2), data=b"xxxxxxxxxx"))
    with pytest.raises(IntegrityError, match="damaged"):
        gathering.whole()
    assert gathering.have == Bitmap.empty(3)
    with pytest.raises(IntegrityError, match="different objects"):
        gathering.take(call_of(b"something else, of thirty bytes", 10, 0))
