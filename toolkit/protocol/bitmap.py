"""Which chunks of an artifact are here: one bit a chunk, in the order of `wire.index.distinct_chunks`. Immutable.

The device's store keeps it as a BLOB; `transfer` asks only for what it lacks. Bit n is bit n % 8 of byte n // 8.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from toolkit.errors import IntegrityError

_FULL = 0xFF


@dataclass(frozen=True)
class Bitmap:
    """`size` bits; `raw` holds them."""

    size: int
    raw: bytes

    @classmethod
    def empty(cls, size: int) -> Bitmap:
        """Give a bitmap of `size` chunks that are not here."""
        return cls(size, bytes((size + 7) // 8))

    @classmethod
    def load(cls, size: int, raw: bytes) -> Bitmap:
        """Read a bitmap from the bytes of `raw`.

        Raises:
            IntegrityError: there are not as many bytes as `size` chunks need, or a bit is set that means no chunk.
        """
        spare = 8 * len(raw) - size
        if len(raw) != (size + 7) // 8 or (spare and raw[-1] >> (8 - spare)):
            raise IntegrityError(f"a bitmap of {size} chunks cannot be these {len(raw)} bytes")
        return cls(size, raw)

    def __contains__(self, number: object) -> bool:
        """Tell whether chunk `number` is here."""
        if not isinstance(number, int) or not 0 <= number < self.size:
            return False
        return bool(self.raw[number >> 3] >> (number & 7) & 1)

    @property
    def count(self) -> int:
        """Number of chunks that are here."""
        return int.from_bytes(self.raw, "little").bit_count()

    @property
    def full(self) -> bool:
        """Whether all chunks are here."""
        return self.count == self.size

    def missing(self, start: int = 0) -> Iterator[int]:
        """Yield the numbers from `start` on that are not here, in order."""
        number = start
        while number < self.size:
            if number & 7 == 0 and self.raw[number >> 3] == _FULL:
                number += 8
                continue
            if number not in self:
                yield number
            number += 1

    def with_set(self, numbers: Iterable[int]) -> Bitmap:
        """Give a bitmap in which these are here, too."""
        raw = bytearray(self.raw)
        for number in numbers:
            raw[number >> 3] |= 1 << (number & 7)
        return Bitmap(self.size, bytes(raw))

    def without(self, numbers: Iterable[int]) -> Bitmap:
        """Give a bitmap in which these are not here."""
        raw = bytearray(self.raw)
        for number in numbers:
            raw[number >> 3] &= ~(1 << (number & 7)) & 0xFF
        return Bitmap(self.size, bytes(raw))
