"""Take chunks from versions that are installed already, before anything is asked for over the link.

SEEDING of the install table, on the disk thread, in small batches so that other models' chunks get their turn. Every
chunk is hashed again: a disk that has rotted must not be copied on.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.part import Part
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.index import ChunkRef, Index
from toolkit.wire.paths import local


@dataclass(frozen=True)
class Source:
    """A version that is installed: its index and its folder."""

    index: Index
    folder: Path


@dataclass(frozen=True)
class Find:
    """Where a missing chunk may be found."""

    number: int
    chunk: ChunkRef
    path: Path
    offset: int


def find(missing: Iterable[int], chunks: tuple[ChunkRef, ...], sources: Iterable[Source]) -> list[Find]:
    """Say where the missing chunks lie among the sources; nothing is read yet."""
    wanted: dict[Digest, int] = {chunks[number].digest: number for number in missing}
    found: list[Find] = []
    for source in sources:
        for entry in source.index.entries:
            offset = 0
            for chunk in entry.refs():
                number = wanted.pop(chunk.digest, None)
                if number is not None:
                    found.append(Find(number, chunk, source.folder / local(entry.path), offset))
                offset += chunk.size
    return sorted(found, key=lambda each: (each.path, each.offset))


def take(finds: list[Find], part: Part) -> list[int]:
    """Copy chunks into the part file and make them durable; give the numbers of those that were good.

    Raises:
        OSError: the part file cannot be written.
    """
    taken: list[int] = []
    for each in finds:
        data = _read(each)
        if data is not None:
            part.write(each.number, data)
            taken.append(each.number)
    if taken:
        part.sync()
    return taken


def _read(find: Find) -> bytes | None:
    with suppress(OSError):
        descriptor = os.open(find.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.pread(descriptor, find.chunk.size, find.offset)
        finally:
            os.close(descriptor)
        if len(data) == find.chunk.size and digest_of(data) == find.chunk.digest:
            return data
    return None
