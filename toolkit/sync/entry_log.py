"""A list of entries that takes little memory: a first sync of a million files has a million of them to build.

`layouts.plan` writes it, `layouts.mirror` and `layouts.settle` walk it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from toolkit.wire.index import Entry

_BLOCK = 4096
_PACK = msgspec.msgpack.Encoder().encode
_UNPACK = msgspec.msgpack.Decoder(list[Entry]).decode


class EntryLog:
    """Entries in the order in which they were appended; all but the last few are packed."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        """Begin with some."""
        self._packed: list[bytes] = []
        self._loose: list[Entry] = []
        for entry in entries:
            self.append(entry)

    def append(self, entry: Entry) -> None:
        """Put one at the end."""
        self._loose.append(entry)
        if len(self._loose) >= _BLOCK:
            self._packed.append(_PACK(self._loose))
            self._loose = []

    def clear(self) -> None:
        """Forget all."""
        self._packed, self._loose = [], []

    def __iter__(self) -> Iterator[Entry]:
        """Walk those that are there when it begins."""
        packed, loose = tuple(self._packed), tuple(self._loose)
        for block in packed:
            yield from _UNPACK(block)
        yield from loose

    def __len__(self) -> int:
        """Give their number."""
        return len(self._packed) * _BLOCK + len(self._loose)

    def __eq__(self, other: object) -> bool:
        """Compare with any entries, in order."""
        return isinstance(other, EntryLog | list) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]
