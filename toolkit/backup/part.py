"""One part of a backup before it is stored: files with a way to read each. `gather_*` make them, `take` stores them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

MAX_FILE_BYTES = 64 * 1024 * 1024
"""No file of a backup is larger: objects of a Remote have at most this, documents much less."""


@dataclass(frozen=True)
class Item:
    """One file."""

    path: str
    """Inside of the part."""
    read: Callable[[], bytes]
    """Gives its bytes. Raises MissingObjectError when it has gone meanwhile; then it is left out."""
    unchanging_size: int | None = None
    """Its size, if its path names its content: then it is not read when the backup before has it. None: it is read."""


@dataclass(frozen=True)
class Part:
    """Some files that belong together."""

    name: str
    items: Iterable[Item] = ()
    """Read once, in this order, which may matter."""
    skipped: str = ""
    """Why it is empty, or what it lacks."""


def known(path: str, data: bytes) -> Item:
    """Make an item of bytes that are at hand."""
    return Item(path, lambda: data)
