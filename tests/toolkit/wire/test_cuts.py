"""Our own cut function and the library's agree bit for bit, and ours takes over when they do not."""

from __future__ import annotations

import json
import logging
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.wire.cuts import (
    TEST_DIGEST,
    TEST_SIZES,
    Sizes,
    choose,
    cuts_for,
    digest_of_cuts,
    gear,
    library_cuts,
    reference_cuts,
)

SMALL = Sizes(256, 1024, 4096)
VECTORS = Path(__file__).parent / "vectors"

# Noise, runs of one byte, short repetitions: early cuts, forced cuts, and lengths around each bound.
streams = st.lists(
    st.one_of(
        st.binary(max_size=2000),
        st.tuples(st.integers(0, 255), st.integers(0, 9000)).map(lambda run: bytes([run[0]]) * run[1]),
        st.tuples(st.integers(0, 2**32), st.integers(0, 12_000)).map(
            lambda noise: random.Random(noise[0]).randbytes(noise[1])
        ),
        st.tuples(st.binary(min_size=1, max_size=9), st.integers(0, 900)).map(lambda word: word[0] * word[1]),
    ),
    max_size=5,
).map(b"".join)


@settings(max_examples=60, deadline=None)
@given(data=streams)
def test_small_pieces_end_where_the_library_ends_them(data):
    view = memoryview(data)
    assert list(reference_cuts(SMALL)(view)) == list(library_cuts(SMALL)(view))


@pytest.mark.parametrize("sizes", TEST_SIZES)
@pytest.mark.parametrize("around", [-1, 0, 1])
def test_streams_as_long_as_a_bound_end_where_the_library_ends_them(sizes, around):
    noise = random.Random(around).randbytes(sizes.average + 4097)
    for length in {sizes.minimum + around, sizes.average + around, sizes.average + 4096 + around}:
        view = memoryview(noise)[:length]
        assert list(reference_cuts(sizes)(view)) == list(library_cuts(sizes)(view))


def test_the_frozen_cuts_of_format_1_come_out_of_the_reference():
    import importlib.util

    spec = importlib.util.spec_from_file_location("vectors_write", VECTORS / "write.py")
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    frozen = json.loads((VECTORS / "cuts-1.json").read_text())
    kinds = {
        "artifact": ("random", "text", "zeros"),
        "large": ("random", "text", "zeros"),
        "archive": ("random",),
    }
    for sizes, grid in zip(TEST_SIZES, kinds, strict=True):
        for kind in kinds[grid]:
            wanted = frozen[f"{grid}/{kind}"]["lengths"][:2]
            data = memoryview(writer.data(kind, writer.SIZES[grid]))
            given_by_us = reference_cuts(sizes)(data)  # pure Python is slow; the first pieces say it
            assert [next(given_by_us), next(given_by_us)] == wanted


def test_the_self_test_is_passed_by_both():
    assert digest_of_cuts(library_cuts) == digest_of_cuts(reference_cuts) == TEST_DIGEST


def test_the_table_is_that_of_the_paper():
    assert len(set(gear())) == 256
    assert gear()[0] == 0x3B5D3C7D207E37DC & (2**48 - 1)  # the first entry of the published table


def test_a_library_that_cuts_elsewhere_is_not_used_and_it_is_said(caplog):
    def wrong(sizes):
        return library_cuts(Sizes(sizes.minimum, sizes.average, sizes.maximum - 2))

    with caplog.at_level(logging.WARNING):
        assert choose(wrong) is reference_cuts
    assert "cuts elsewhere" in caplog.text
    caplog.clear()
    assert choose(library_cuts) is library_cuts
    assert not caplog.records


MISSING = """
import sys
sys.modules["pyfastcdc"] = None
from toolkit.wire.chunk import ARTIFACT, cut
print([len(piece) for piece in cut(bytes(range(256)) * 600, ARTIFACT)])
"""


def test_without_the_library_the_cuts_are_the_same():
    done = subprocess.run(
        [sys.executable, "-c", MISSING], capture_output=True, text=True, check=True, timeout=60
    )
    lengths = cuts_for(Sizes(4096, 16384, 65536))(memoryview(bytes(range(256)) * 600))
    assert done.stdout.strip() == str(list(lengths))
    assert "cannot be used" in done.stderr
