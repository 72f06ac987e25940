"""Drifts as bytes: what goes in comes out, and sizes that cannot be are refused before anything is allocated."""

from __future__ import annotations

import struct

import pytest

from toolkit.errors import IntegrityError
from toolkit.wire.delta import store_section
from toolkit.wire.digest import digest_of
from toolkit.wire.drift import Drift, decode_drift, encode_drift

SIZE = 23
DRIFT = Drift(2, True, 1, 20, (store_section(bytes(10)), store_section(bytes(range(10)))), b"a" + b"zz")
STORED = encode_drift(DRIFT)
NAME = digest_of(b"chunk")


def test_what_goes_in_comes_out():
    assert decode_drift(STORED, NAME, SIZE) == DRIFT
    whole = DRIFT._replace(start=0, others=b"")
    assert decode_drift(memoryview(encode_drift(whole)), NAME, 20) == whole


def test_the_bytes_are_those_of_the_formats_page():
    head = bytes([3, 2, 1, 1]) + struct.pack(">III", 20, 2, 11)
    assert head + b"\2\0" + b"\0" + bytes(range(10)) + b"\0azz" == STORED


def _with(at: int, *values: int) -> bytes:
    return STORED[:at] + bytes(values) + STORED[at + len(values) :]


@pytest.mark.parametrize(
    ("stored", "size", "complaint"),
    [
        (b"", SIZE, "should be a drift"),
        (b"\2" + STORED[1:], SIZE, "should be a drift"),
        (STORED, 0, "no chunk has that"),
        (STORED, 1 << 30, "no chunk has that"),
        (_with(1, 3), SIZE, "numbers of 3 bytes"),
        (_with(1, 0), SIZE, "numbers of 0 bytes"),
        (_with(2, 2), SIZE, "numbers of 2 bytes"),
        (_with(3, 2), SIZE, "numbers of 2 bytes at 2"),
        (_with(4, 0, 0, 0, 0), SIZE, "numbers of 2 bytes at 1 to 1"),
        (_with(4, 0, 0, 0, 19), SIZE, "at 1 to 20"),
        (_with(4, 255, 255, 255, 254), SIZE, "of 23"),
        (STORED, 20, "at 1 to 21 of 20"),
        (STORED[:15], SIZE, "cut off"),
        (_with(8, 0, 0, 0, 1), SIZE, "a section of 1 bytes"),
        (_with(8, 0, 0, 0, 12), SIZE, "a section of 12 bytes"),
        (_with(12, 255, 255, 255, 255), SIZE, "a section of 4294967295 bytes"),
        (STORED[:20], SIZE, "a section of 11 bytes"),
        (STORED[:-4], SIZE, "0 stored bytes for 3"),
        (STORED[:-1], SIZE, "2 bytes that are no numbers, not 3"),
        (encode_drift(DRIFT._replace(start=0, others=b"")) + b"!", 20, "1 stored bytes for 0"),
        (STORED[:-4] + b"\x09azz", SIZE, "unknown coding 9"),
    ],
)
def test_what_cannot_be_is_refused(stored, size, complaint):
    with pytest.raises(IntegrityError, match=f"{NAME[:12]}.*{complaint}"):
        decode_drift(stored, NAME, size)
