"""Chunks: cut the same however the bytes arrive, stored and opened without trust, and never cut differently again."""

from __future__ import annotations

import base64
import importlib.util
import itertools
import json
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import IntegrityError
from toolkit.wire.chunk import (
    ARCHIVE,
    ARTIFACT,
    LARGE_ARTIFACT,
    LARGE_ARTIFACT_FROM_BYTES,
    MAX_CHUNK_BYTES,
    MIB,
    RAW,
    WEIGHTS,
    WEIGHTS_FROM_BYTES,
    ZSTD,
    Cutter,
    Grid,
    cut,
    grid_for,
    grid_of,
    open_chunk,
    store_chunk,
)
from toolkit.wire.cuts import Sizes, reference_cuts
from toolkit.wire.digest import Digest, digest_of

VECTORS = Path(__file__).parent / "vectors"
SMALL = Grid(256, 1024, 4096)
"""A grid that makes many pieces of little data."""


def _writer():
    spec = importlib.util.spec_from_file_location("vectors_write", VECTORS / "write.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_frozen_vector_is_cut_the_same_today():
    writer = _writer()
    frozen = json.loads((VECTORS / "cuts-1.json").read_text())
    assert len(frozen) == 9
    assert writer.cuts() == frozen


def test_frozen_stored_chunks_still_open():
    writer = _writer()
    for kind, case in json.loads((VECTORS / "stored-1.json").read_text()).items():
        plain = writer.data("random" if kind == "raw" else "text", case["size"])
        stored = base64.b64decode(case["stored"])
        assert stored[0] == (RAW if kind == "raw" else ZSTD)
        assert open_chunk(stored, digest_of(plain), len(plain)) == plain


# Runs of equal bytes, noise and repetitions: what shifts and stretches cuts.
pieces_of_data = st.lists(
    st.one_of(
        st.binary(max_size=3000),
        st.tuples(st.integers(0, 255), st.integers(0, 9000)).map(lambda run: bytes([run[0]]) * run[1]),
        st.tuples(st.integers(0, 2**32), st.integers(0, 20000)).map(
            lambda noise: random.Random(noise[0]).randbytes(noise[1])
        ),
    ),
    max_size=6,
).map(b"".join)


def test_weights_are_cut_in_equal_pieces_in_whatever_segments_they_arrive():
    data = memoryview(bytes(5 * MIB + 17))
    assert [len(piece) for piece in cut(data, WEIGHTS)] == [MIB] * 5 + [17]
    cutter = Cutter(WEIGHTS)
    fed = [
        len(piece) for at in range(0, len(data), 700_001) for piece in cutter.feed(data[at : at + 700_001])
    ]
    assert fed + [len(piece) for piece in cutter.finish()] == [MIB] * 5 + [17]
    assert [*reference_cuts(Sizes(*astuple(WEIGHTS)))(data)] == [MIB] * 5 + [17]
    assert cut(b"", WEIGHTS) == []


@settings(max_examples=60, deadline=None)
@given(data=pieces_of_data)
def test_the_pieces_joined_are_the_bytes(data):
    pieces = cut(data, SMALL)
    assert b"".join(pieces) == data
    assert all(len(piece) <= SMALL.maximum for piece in pieces)
    assert all(len(piece) >= SMALL.minimum for piece in pieces[:-1])


@settings(max_examples=120, deadline=None)
@given(data=pieces_of_data, ends=st.lists(st.integers(0, 40000), max_size=12))
def test_a_stream_in_segments_is_cut_as_if_it_had_come_whole(data, ends):
    bounds = [0, *sorted(min(end, len(data)) for end in ends), len(data)]
    cutter = Cutter(SMALL)
    pieces = []
    for start, end in itertools.pairwise(bounds):
        pieces += [bytes(piece) for piece in cutter.feed(data[start:end])]
    pieces += [bytes(piece) for piece in cutter.finish()]
    assert pieces == [bytes(piece) for piece in cut(data, SMALL)]


def test_one_cutter_takes_one_stream_after_another():
    data = _writer().data("random", 200_000)
    cutter = Cutter(ARTIFACT)
    first = [bytes(piece) for piece in (*cutter.feed(data), *cutter.finish())]
    second = [bytes(piece) for piece in (*cutter.feed(data), *cutter.finish())]
    assert first == second


def test_a_byte_put_in_front_changes_only_the_first_pieces():
    data = _writer().data("random", 1 << 20)
    before = {digest_of(piece) for piece in cut(data, ARTIFACT)}
    after = [digest_of(piece) for piece in cut(b"!" + data, ARTIFACT)]
    assert sum(digest not in before for digest in after) <= 2


def test_nothing_gives_no_pieces():
    assert cut(b"", ARTIFACT) == []


@pytest.mark.parametrize(
    ("kind", "size", "grid"),
    [
        ("artifact", LARGE_ARTIFACT_FROM_BYTES, ARTIFACT),
        ("artifact", LARGE_ARTIFACT_FROM_BYTES + 1, LARGE_ARTIFACT),
        ("data", 1, LARGE_ARTIFACT),
        ("scattered", 1 << 40, ARTIFACT),
        ("archive", 1, ARCHIVE),
        ("weights", WEIGHTS_FROM_BYTES, WEIGHTS),
        ("weights", WEIGHTS_FROM_BYTES - 1, LARGE_ARTIFACT),
    ],
)
def test_the_grid_follows_kind_and_size(kind, size, grid):
    assert grid_for(kind, size) == grid


def test_the_frozen_choice_of_grids_is_made_today():
    frozen = json.loads((VECTORS / "grids-1.json").read_text())
    assert len({case["middle"] for case in frozen}) == 3
    for case in frozen:
        assert grid_for(case["kind"], case["size"], case["name"].encode()).average == case["middle"], case


@pytest.mark.parametrize("grid", [ARTIFACT, LARGE_ARTIFACT, ARCHIVE, WEIGHTS])
def test_a_list_of_pieces_tells_its_grid(grid):
    assert grid_of([len(piece) for piece in cut(_writer().data("random", 10 << 20), grid)]) == grid


def test_a_list_that_is_too_short_or_of_no_grid_tells_nothing():
    assert grid_of([]) is None
    assert grid_of([16384] * 3) is None
    assert grid_of([100] * 9) is None


@settings(max_examples=60, deadline=None)
@given(data=pieces_of_data.filter(lambda data: len(data) <= MAX_CHUNK_BYTES))
def test_a_stored_chunk_opens_to_itself(data):
    stored = store_chunk(data)
    assert open_chunk(stored, digest_of(data), len(data)) == data
    assert len(stored) <= len(data) + 1


def test_values_that_are_not_spread_evenly_are_compressed_though_nothing_repeats():
    draw = random.Random(7)
    image = b"".join(min(4095, int(draw.gauss(1000, 200))).to_bytes(2, "little") for _ in range(20_000))
    assert len(store_chunk(image)) < 0.8 * len(image)


def test_what_shrinks_is_compressed_and_noise_is_not():
    text, noise = _writer().data("text", 50_000), _writer().data("random", 50_000)
    assert store_chunk(text)[0] == ZSTD
    assert len(store_chunk(text)) < 0.75 * len(text)
    assert store_chunk(noise) == bytes([RAW]) + noise


def test_threads_may_store_and_open_at_once():
    chunks = [_writer().data("text", 40_000 + number) for number in range(40)]

    def round_trip(data):
        return open_chunk(store_chunk(data), digest_of(data), len(data)) == data

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(round_trip, chunks))


DATA = b"the same words again and again, " * 100
NAME = digest_of(DATA)


@pytest.mark.parametrize(
    ("stored", "size", "complaint"),
    [
        (b"", len(DATA), "is empty"),
        (b"\x07" + DATA, len(DATA), "unknown coding 7"),
        (bytes([RAW]) + DATA[:-1], len(DATA), "does not hold the bytes"),
        (bytes([RAW]) + DATA[:-1] + b"!", len(DATA), "does not hold the bytes"),
        (store_chunk(DATA)[:-3], len(DATA), "cannot be unpacked"),
        (store_chunk(DATA) + b"x", len(DATA), "cannot be unpacked"),
        (store_chunk(DATA), len(DATA) - 1, "would not unpack to"),
        (store_chunk(DATA), MAX_CHUNK_BYTES + 1, "no chunk has more"),
        (store_chunk(DATA), -1, "no chunk has more"),
        (bytes([ZSTD]) + b"no zstd frame at all", len(DATA), "cannot be unpacked"),
    ],
)
def test_a_damaged_chunk_is_refused_and_named(stored, size, complaint):
    with pytest.raises(IntegrityError, match=complaint) as caught:
        open_chunk(stored, NAME, size)
    assert NAME[:12] in caught.value.message
    assert caught.value.exit_code == 6


def test_every_flipped_bit_of_a_stored_chunk_is_found():
    for plain in (DATA, _writer().data("random", 300)):
        stored = store_chunk(plain)
        for position in range(len(stored)):
            damaged = bytearray(stored)
            damaged[position] ^= 1 << position % 8
            try:
                opened = open_chunk(bytes(damaged), digest_of(plain), len(plain))
            except IntegrityError:
                continue
            assert opened == plain  # a bit that zstd does not read; what comes out is proven all the same


def test_a_bomb_is_refused_before_it_is_unpacked():
    bomb = bytes([ZSTD]) + zstandard.ZstdCompressor().compress(bytes(256 * 1024 * 1024))
    assert len(bomb) < 64 * 1024
    with pytest.raises(IntegrityError, match="would not unpack to the 1000 bytes"):
        open_chunk(bomb, Digest("0" * 64), 1000)
