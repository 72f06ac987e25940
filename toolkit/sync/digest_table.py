"""Digests, each with a few bytes beside it, in little memory: a store may hold millions of chunks. Pure.

A dict of Python objects takes some 300 bytes for each; this takes the 32 bytes of the digest, what lies beside it, and
about ten more. The whole digest is kept and compared, so nothing is ever taken for something else.
`layouts.places` says with one where chunks are, `push` which are missing, `used` and `survey` which are needed.

Records lie in buckets by the first bits of their digests, which are as good as random; `bytes.find` looks through a
bucket in C. When buckets grow long, each is split in 16.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from toolkit.wire.digest import RAW_BYTES

_KEY_BYTES = 3
"""So much of a digest may choose the bucket."""
_FIRST_BITS, _STEP_BITS, _MOST_BITS = 8, 4, 8 * _KEY_BYTES
_LONG = 64
"""Records in an average bucket that is split."""


class _Buckets(NamedTuple):
    """Buckets and how many bits of the first three bytes do not count. One value, so that readers see both or none."""

    shift: int
    all: list[bytearray]

    def of(self, raw: bytes) -> bytearray:
        return self.all[int.from_bytes(raw[:_KEY_BYTES], "big") >> self.shift]


class DigestTable:
    """Raw digests, each once, with `beside` bytes each.

    One thread may put while others read: they see a digest with what was beside it before or after. Who discards has
    the table alone.
    """

    def __init__(self, beside: int = 0) -> None:
        """Begin empty; `beside` is how many bytes lie beside each digest."""
        self._width = RAW_BYTES + beside
        self._count = 0
        self._buckets = _made(_FIRST_BITS)

    def __len__(self) -> int:
        """Give the number of digests."""
        return self._count

    def __contains__(self, raw: object) -> bool:
        """Say whether a raw digest is here."""
        return isinstance(raw, bytes) and self._find(self._buckets.of(raw), raw) >= 0

    def __iter__(self) -> Iterator[bytes]:
        """Yield the raw digests, in no order that means anything; none may be put or discarded meanwhile."""
        for bucket in self._buckets.all:
            for at in range(0, len(bucket), self._width):
                yield bytes(bucket[at : at + RAW_BYTES])

    def get(self, raw: bytes) -> bytes | None:
        """Give what lies beside a digest; None when it is not here."""
        bucket = self._buckets.of(raw)
        at = self._find(bucket, raw)
        return bytes(bucket[at + RAW_BYTES : at + self._width]) if at >= 0 else None

    def put(self, raw: bytes, beside: bytes = b"") -> bool:
        """Keep a digest with what lies beside it, in the place of what lay there; say whether it is new.

        Raises:
            ValueError: the number of bytes is another one.
        """
        if len(raw) + len(beside) != self._width or len(raw) != RAW_BYTES:
            raise ValueError(f"{len(raw)} + {len(beside)} bytes are no record of {self._width}")
        bucket = self._buckets.of(raw)
        at = self._find(bucket, raw)
        if at >= 0:
            bucket[at + RAW_BYTES : at + self._width] = beside
            return False
        bucket += raw + beside
        self._count += 1
        if self._count > _LONG * len(self._buckets.all):
            self._split()
        return True

    def discard(self, raw: bytes) -> bool:
        """Take a digest out; say whether it was here."""
        bucket = self._buckets.of(raw)
        at = self._find(bucket, raw)
        if at < 0:
            return False
        del bucket[at : at + self._width]
        self._count -= 1
        return True

    def _find(self, bucket: bytearray, raw: bytes) -> int:
        at = bucket.find(raw)
        while at > 0 and at % self._width:  # these bytes, but across the edge of two records
            at = bucket.find(raw, at + 1)
        return at

    def _split(self) -> None:
        bits = _MOST_BITS - self._buckets.shift
        if bits == _MOST_BITS:
            return
        larger = _made(bits + _STEP_BITS)
        for bucket in self._buckets.all:
            for at in range(0, len(bucket), self._width):
                record = bytes(bucket[at : at + self._width])
                larger.of(record).extend(record)
        self._buckets = larger


def _made(bits: int) -> _Buckets:
    return _Buckets(_MOST_BITS - bits, [bytearray() for _ in range(1 << bits)])
