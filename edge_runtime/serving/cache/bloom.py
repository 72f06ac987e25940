"""A set that may say yes wrongly and never no: whether it is worth looking on the disk. `disk` asks it on the loop.

Without it every question that is new would wait for a thread and a system call to learn that there is no file; a
dictionary of all files would take a hundred times the memory. Sizes: n keys and a share p of wrong yeses need
m = −n · ln p / (ln 2)² bits and k = (m / n) · ln 2 looks (B. H. Bloom, Space/time trade-offs in hash coding with
allowable errors, CACM 1970). The k places are h1 + i · h2 (A. Kirsch, M. Mitzenmacher, Less hashing, same performance,
ESA 2006), where h1 and h2 are halves of the key, which is a hash already.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from edge_runtime.serving.cache.key import Key

WRONG_YES = 0.01


class Bloom:
    """A filter over keys."""

    def __init__(self, capacity: int, wrong_yes: float = WRONG_YES) -> None:
        """Make room for so many keys; with more of them the share of wrong yeses grows."""
        self.capacity = max(capacity, 1)
        self._bits = max(8, math.ceil(-self.capacity * math.log(wrong_yes) / math.log(2) ** 2))
        self._looks = max(1, round(self._bits / self.capacity * math.log(2)))
        self._field = bytearray(-(-self._bits // 8))
        self.added = 0

    def add(self, key: Key) -> None:
        """Take a key in."""
        for place in self._places(key):
            self._field[place >> 3] |= 1 << (place & 7)
        self.added += 1

    def __contains__(self, key: Key) -> bool:
        """Say whether the key may be there; no is certain."""
        return all(self._field[place >> 3] & 1 << (place & 7) for place in self._places(key))

    def _places(self, key: Key) -> Iterator[int]:
        first = int.from_bytes(key[:8], "little")
        step = int.from_bytes(key[8:16], "little") | 1
        return ((first + turn * step) % self._bits for turn in range(self._looks))
