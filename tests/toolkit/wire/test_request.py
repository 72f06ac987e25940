"""Requests of devices: idempotent, bounded, checked."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import IntegrityError
from toolkit.wire.digest import digest_of
from toolkit.wire.request import (
    MAX_REQUEST_BYTES,
    MAX_REQUESTED_CHUNKS,
    ChunkRequest,
    Run,
    decode_request,
    encode_request,
    runs_of,
)


def request(**fields):
    return ChunkRequest(**{"device": "us-01", "artifact": digest_of(b""), "epoch": 1, **fields})


@pytest.mark.parametrize(
    "fields", [{"index_from": 0}, {"runs": (Run(0, 1), Run(5, 4000))}, {"max_frame_bytes": 120 * 1024}]
)
def test_a_request_comes_back(fields):
    assert decode_request(encode_request(request(**fields))) == request(**fields)


@pytest.mark.parametrize(
    "fields",
    [{"artifact": "x"}, {"runs": (Run(-1, 1),)}, {"runs": (Run(0, 0),)}, {"runs": (Run(0, -5),)}, {"index_from": -1},
     {"runs": (Run(0, MAX_REQUESTED_CHUNKS + 1),)}, {"runs": (Run(0, 4000), Run(0, 4000))}],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(fields):
    with pytest.raises(IntegrityError):
        decode_request(encode_request(request(**fields)))


def test_noise_and_too_much_are_refused():
    for data in (b"", b"\xc1", b"\x80", bytes(MAX_REQUEST_BYTES + 1)):
        with pytest.raises(IntegrityError):
            decode_request(data)


@given(st.sets(st.integers(0, 60)))
def test_runs_are_the_numbers_again_and_as_few_as_can_be(numbers):
    runs = runs_of(sorted(numbers))
    assert [number for run in runs for number in range(run.first, run.first + run.length)] == sorted(numbers)
    assert all(one.first + one.length < two.first for one, two in itertools.pairwise(runs))
