"""Where a store of packs has its chunks, as the trailers say, in little memory. Between `trailers` and `packs`."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from toolkit.sync.digest_table import DigestTable
from toolkit.sync.layouts.pack import PackEntry
from toolkit.wire.digest import Digest, from_raw, to_raw

_BESIDE = struct.Struct("=IIII")
"""Number of the pack, then offset, stored length and size as in `pack`."""


class Place(NamedTuple):
    """Where a chunk is."""

    pack: Digest
    entry: PackEntry


class Places:
    """Chunks and where they are. One thread puts, others may read meanwhile.

    What is here stays; who finds that packs have gone begins with a new one.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._table = DigestTable(_BESIDE.size)
        self._packs: list[Digest] = []
        self._numbers: dict[Digest, int] = {}

    def __len__(self) -> int:
        """Give the number of chunks."""
        return len(self._table)

    def __contains__(self, digest: Digest) -> bool:
        """Say whether a chunk is in one of the packs."""
        return to_raw(digest) in self._table

    def digests(self) -> Iterator[Digest]:
        """Yield the chunks; nothing may be put meanwhile."""
        return map(from_raw, self._table)

    def get(self, digest: Digest) -> Place | None:
        """Give where a chunk is."""
        beside = self._table.get(to_raw(digest))
        if beside is None:
            return None
        number, offset, length, size = _BESIDE.unpack(beside)
        return Place(self._packs[number], PackEntry(digest, offset, length, size))

    def pack_of(self, raw: bytes) -> Digest | None:
        """Give the pack that a chunk is in; `raw` is its raw digest."""
        beside = self._table.get(raw)
        return None if beside is None else self._packs[_BESIDE.unpack(beside)[0]]

    def put(self, pack: Digest, entries: Iterable[PackEntry], gives_way: Callable[[Digest], bool]) -> None:
        """Take in what a pack has.

        Args:
            pack: its id.
            entries: its chunks.
            gives_way: of a pack, whether another one with the same chunk is to be preferred.
        """
        number = self._numbers.get(pack)
        if number is None:
            number = self._numbers[pack] = len(self._packs)
            self._packs.append(pack)
        for entry in entries:
            raw = to_raw(entry.digest)
            before = self._table.get(raw)
            if before is None or gives_way(self._packs[_BESIDE.unpack(before)[0]]):
                self._table.put(raw, _BESIDE.pack(number, entry.offset, entry.length, entry.size))
