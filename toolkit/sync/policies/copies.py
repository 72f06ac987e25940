"""Prove that another storage has an object, byte for byte, before this one lets go of it.

Between `plan`, which believes sizes and times, and `taking`, which removes: here both copies are read.
"""

from __future__ import annotations

from collections.abc import Sequence

from toolkit.errors import TiersError
from toolkit.sync.policies.shelf import Shelf
from toolkit.wire.index import Entry


def proven(entry: Entry, here: Shelf, others: Sequence[Shelf], wanted: int) -> tuple[str, ...]:
    """Give the addresses of storages that were read back and hold an object; stops when there are enough.

    A storage that does not answer, or whose documents are damaged, proves nothing.

    Args:
        entry: the object as `here` has it, from `Shelf.entries`.
        here: the storage that may let go of it.
        others: where else it may be; each counts once.
        wanted: so many are enough.
    """
    found: dict[str, None] = {}
    for there in others:
        if len(found) >= wanted:
            break
        if there.place.url == here.place.url or there.place.url in found:
            continue
        try:
            is_there = _is_there(entry, here, there)
        except TiersError:
            is_there = False
        if is_there:
            found[there.place.url] = None
    return tuple(found)


def _is_there(entry: Entry, here: Shelf, there: Shelf) -> bool:
    if there.place.layout == "mirror":
        return there.holds(entry)
    for other in there.entries([entry.path]):
        if other.chunks == entry.chunks:
            return there.holds(other)
        # Cut by another grid: the chunks differ though the bytes may be the same, so ours are read by theirs.
        return other.size == entry.size and here.holds(other) and there.holds(other)
    return False
