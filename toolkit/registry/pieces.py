"""Cut files of an artifact into chunks as they are read: they may be larger than memory, so nothing is kept.

`push` reads a model twice, once to name its chunks and once to store those that are missing; `patches` does the same
with a patch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from toolkit.errors import RegistryError, TornReadError
from toolkit.sync.layouts.pack import StoredChunk
from toolkit.wire.chunk import Cutter, grid_for, store_chunk
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.index import ChunkRef, Index

_SEGMENT_BYTES = 8 * 1024 * 1024


def pieces_of(file: Path) -> Iterator[tuple[ChunkRef, memoryview]]:
    """Yield each chunk of a file; its bytes are valid until the next one.

    Raises:
        RegistryError: the file cannot be read.
    """
    try:
        with file.open("rb") as stream:
            size = file.stat().st_size
            cutter = Cutter(grid_for("artifact", size))
            while segment := stream.read(_SEGMENT_BYTES):
                for piece in cutter.feed(segment):
                    yield ChunkRef(digest_of(piece), len(piece)), piece
            for piece in cutter.finish():
                yield ChunkRef(digest_of(piece), len(piece)), piece
    except OSError as error:
        raise RegistryError(f"{file} cannot be read: {error.strerror}") from error


def new_chunks(
    files: tuple[tuple[str, Path], ...], index: Index, missing: set[Digest]
) -> Iterator[StoredChunk]:
    """Read the files again and yield the chunks that are missing.

    Raises:
        RegistryError: a file cannot be read.
        TornReadError: a file is not what its entry in the index says.
    """
    for (_, file), entry in zip(files, index.entries, strict=True):
        expected = entry.refs()
        for ref, piece in pieces_of(file):
            if next(expected, None) != ref:
                raise TornReadError(f"{file} changed while it was pushed", hint="push it again")
            if ref.digest in missing:
                yield StoredChunk(ref.digest, ref.size, store_chunk(piece))
