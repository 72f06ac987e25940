"""Where a stream is cut: FastCDC 2020, by a fast library, and by a plain function of our own that is the definition.

`chunk.Cutter` asks here for cut points. They are part of the format: if they moved, everything would be sent again. So
the library pyfastcdc is believed only after it has cut a test stream at the frozen points; when it does not, or is not
installed, the function below takes over, with a warning, because it is right and about 300 times slower.

The algorithm is that of Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based Storage
Systems", IEEE TPDS 31(9), 2020, with normalised chunking 1; docs/formats.md spells it out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from blake3 import blake3

log = logging.getLogger(__name__)


class Sizes(NamedTuple):
    """Sizes of pieces in bytes: only the last one is below `minimum`, none is above `maximum`; all even."""

    minimum: int
    average: int
    maximum: int


Cuts = Callable[[memoryview], Iterator[int]]
"""Gives the lengths of the pieces of a stream that is all there, one after the other."""
Maker = Callable[[Sizes], Cuts]

MASKS = {
    1024: (0x0000D90003530000, 0x0000019000353000),  # no grid has it; tests see many cuts in little data
    16 * 1024: (0x0000D90F03530000, 0x0000D90303530000),
    64 * 1024: (0x0000D90703537000, 0x0000D90F03530000),
    1024 * 1024: (0x0000D91767537000, 0x0000D91707537000),
}
"""For each average, what must be zero in the rolling value to cut before the average is reached, and after it. The
paper's masks, of one bit more than the average has, and of one less."""
_BITS = (1 << 48) - 1
"""No mask looks higher, so nothing higher is kept: a value depends on the last 48 bytes."""

TEST_BYTES = 3 * 512 * 1024
TEST_SIZES = (
    Sizes(4096, 16384, 65536),
    Sizes(16384, 65536, 262144),
    Sizes(262144, 1048576, 4194304),
)
TEST_DIGEST = "425d3e2e564b80577cd915b780d0ed5e8dcf60b1d29a5b97073bdcd759c71e72"
"""Of the lengths of all pieces of the test stream, in all three grids, each number as four bytes, big-endian."""


@cache
def gear() -> tuple[int, ...]:
    """Give the paper's table: for each byte the first 8 bytes, big-endian, of the MD5 of 64 such bytes.

    Only the lowest 48 bits are kept.
    """
    import hashlib  # loads OpenSSL, which a run that cuts nothing, or cuts by the library, does without

    digests = (hashlib.md5(bytes([value]) * 64, usedforsecurity=False).digest() for value in range(256))
    return tuple(int.from_bytes(digest[:8], "big") & _BITS for digest in digests)


def reference_cuts(sizes: Sizes) -> Cuts:
    """Give the function that defines where pieces of these sizes end.

    Raises:
        KeyError: no grid has this average.
    """
    early, late = MASKS[sizes.average]

    def cuts(data: memoryview) -> Iterator[int]:
        start = 0
        while start < len(data):
            length = _length(data[start : start + sizes.maximum], sizes, early, late)
            yield length
            start += length

    return cuts


def equal_cuts(size: int) -> Cuts:
    """Give the function that cuts into pieces of one size; the last one may be shorter."""

    def cuts(data: memoryview) -> Iterator[int]:
        for start in range(0, len(data), size):
            yield min(size, len(data) - start)

    return cuts


def _length(data: memoryview, sizes: Sizes, early: int, late: int) -> int:
    """Give the length of the first piece of what is left, of which `data` has at most the largest piece."""
    table, length = gear(), len(data)
    if length <= sizes.minimum:
        return length
    middle = min(sizes.average, length)
    value = 0
    at = sizes.minimum
    for mask, end in ((early, middle), (late, length)):
        # The paper rolls two bytes at a time; an odd last one is not looked at.
        for byte in data[at : end - end % 2]:
            value = (value << 1) + table[byte] & _BITS
            if not value & mask:
                return at  # the byte that completes the pattern begins the next piece
            at += 1
    return length


def library_cuts(sizes: Sizes) -> Cuts:
    """Give the same function of pyfastcdc.

    Raises:
        ImportError: it is not installed, or not for this machine.
    """
    from pyfastcdc import FastCDC

    cutter = FastCDC(
        sizes.average, min_size=sizes.minimum, max_size=sizes.maximum, normalized_chunking=1, seed=0
    )

    def cuts(data: memoryview) -> Iterator[int]:
        for piece in cutter.cut_buf(data):
            yield piece.length

    return cuts


def digest_of_cuts(make: Maker) -> str:
    """Cut the test stream in all grids and give the digest of what came out.

    The stream is the extendable output of BLAKE3 of `tiers cuts`, its second third zeros, so that forced cuts are seen.
    """
    third = TEST_BYTES // 3
    stream = blake3(b"tiers cuts").digest(length=TEST_BYTES)
    data = memoryview(stream[:third] + bytes(third) + stream[2 * third :])
    lengths = (length for sizes in TEST_SIZES for length in make(sizes)(data))
    return blake3(b"".join(length.to_bytes(4, "big") for length in lengths)).hexdigest()


def choose(library: Maker) -> Maker:
    """Give the library's maker when it cuts as it must, else our own."""
    try:
        if digest_of_cuts(library) == TEST_DIGEST:
            return library
        reason = "cuts elsewhere than it must"
    except ImportError as error:
        reason = f"cannot be used ({error})"
    log.warning(
        "pyfastcdc %s: files are cut by Python itself, about 300 times slower; install pyfastcdc 0.3.1",
        reason,
    )
    return reference_cuts


@cache
def _chosen() -> Maker:
    return choose(library_cuts)


def cuts_for(sizes: Sizes) -> Cuts:
    """Give the function that cuts into pieces of these sizes; the first call finds out which one can be believed."""
    return equal_cuts(sizes.maximum) if sizes.minimum == sizes.maximum else _chosen()(sizes)
