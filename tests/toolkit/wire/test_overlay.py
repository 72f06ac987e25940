"""Overlays: what was put in comes out, and whatever an enemy or a disk makes of one is refused, never believed."""

from __future__ import annotations

import random
import struct
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import IntegrityError
from toolkit.wire.chunk import MAX_CHUNK_BYTES, store_chunk
from toolkit.wire.digest import digest_of
from toolkit.wire.overlay import MAX_BASES, NEW, Laying, Run, encode_overlay

BASE = random.Random(1).randbytes(5000)
DATA = BASE[1000:2000] + b"new" * 40 + BASE[:500]
RUNS = (Run(0, 1000, 1000), Run(NEW, 0, 120), Run(0, 0, 500))
OVERLAY = encode_overlay(DATA, RUNS)


def opened(stored: bytes, data: bytes = DATA, bases: tuple[bytes, ...] = (BASE,)) -> bytes:
    laying = Laying(stored, digest_of(data), len(data), len(bases))
    for base in bases:
        laying.lay(base)
    return laying.finish()


def overlay(*runs: tuple[int, int, int], new: bytes = b"new" * 40, coding: int = 2) -> bytes:
    head = struct.pack(">BH", coding, len(runs))
    return head + b"".join(struct.pack(">BII", *run) for run in runs) + store_chunk(new)


def test_a_overlay_gives_its_chunk_and_is_small():
    assert opened(OVERLAY) == DATA
    assert len(OVERLAY) < 120


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.data())
def test_any_runs_over_any_bases_give_the_chunk(data):
    bases = data.draw(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=MAX_BASES))
    runs, parts = [], []
    for number in data.draw(st.lists(st.sampled_from([*range(len(bases)), NEW]), min_size=1, max_size=12)):
        if number == NEW:
            part, start = data.draw(st.binary(min_size=1, max_size=200)), 0
        else:
            start = data.draw(st.integers(0, len(bases[number]) - 1))
            part = bases[number][start : data.draw(st.integers(start + 1, len(bases[number])))]
        runs.append(Run(number, start, len(part)))
        parts.append(part)
    chunk = b"".join(parts)
    assert opened(encode_overlay(memoryview(chunk), runs), chunk, tuple(bases)) == chunk


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.integers(0, len(OVERLAY) - 1), st.integers(0, 7), st.integers(0, len(OVERLAY)))
def test_a_turned_bit_or_a_missing_end_is_refused_or_harmless(at, bit, end):
    damaged = bytearray(OVERLAY)
    damaged[at] ^= 1 << bit
    for stored in (bytes(damaged), bytes(damaged[:end]), OVERLAY[:end]):
        with suppress(IntegrityError):
            assert opened(stored) == DATA


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=80), st.integers(0, 2 * MAX_CHUNK_BYTES), st.integers(0, 2 * MAX_BASES))
def test_any_bytes_are_refused_with_our_error(noise, size, bases):
    for stored in (noise, b"\2" + noise):
        with pytest.raises(IntegrityError):
            Laying(stored, digest_of(DATA), size, bases).finish()


@pytest.mark.parametrize(
    ("stored", "complaint"),
    [
        (b"", "cut off"),
        (overlay(*RUNS, coding=1), "should be an overlay"),
        (overlay(), "should be an overlay"),
        (overlay(*RUNS)[:30], "should be an overlay"),
        (overlay((1, 1000, 1000), *RUNS[1:]), "of base 1, which cannot be"),
        (overlay((254, 0, 1620)), "of base 254, which cannot be"),
        (overlay(*RUNS, (0, 0, 0)), "takes 0 bytes"),
        (overlay((0, 0, 1 << 31), (NEW, 0, 120)), "which cannot be"),
        (overlay((0, 1000, 1000), (NEW, 7, 120), (0, 0, 500)), "which cannot be"),
        (overlay((0, 1000, 1000), (NEW, 0, 120)), "gives 1120 bytes; the chunk has 1620"),
        (
            overlay((0, 1000, 1000), (NEW, 0, 120), (0, 4600, 500)),
            "takes bytes 4600 to 5100 of a base that has 5000",
        ),
        (overlay((0, 1000, 1000), (NEW, 0, 120), (0, 1, 500)), "does not give the bytes it is named after"),
        (overlay(*RUNS, new=b"new" * 39), "would not unpack to the 120 bytes"),
        (overlay(*RUNS)[: 3 + 27] + b"\0" + b"new" * 39, "has 117 new bytes, not 120"),
        (overlay(*RUNS)[: 3 + 27] + b"\2" + b"new" * 40, "unknown coding 2"),
    ],
)
def test_what_lies_is_refused(stored, complaint):
    with pytest.raises(IntegrityError, match=complaint):
        opened(stored)


def test_a_base_that_was_not_laid_is_missed():
    laying = Laying(OVERLAY, digest_of(DATA), len(DATA), 2)
    laying.lay(BASE)
    with pytest.raises(IntegrityError, match="does not give"):
        laying.finish()


def test_a_size_that_no_chunk_has_is_refused_before_anything_is_allocated():
    for size, bases in ((MAX_CHUNK_BYTES + 1, 1), (0, 1), (10, 0), (10, MAX_BASES + 1)):
        with pytest.raises(IntegrityError, match="no chunk has that"):
            Laying(OVERLAY, digest_of(DATA), size, bases)


def test_runs_must_cover_the_chunk_to_be_written():
    for runs in ((), RUNS[:2], (*RUNS, Run(NEW, 0, 1))):
        with pytest.raises(ValueError, match="do not give"):
            encode_overlay(DATA, runs)
