"""Build drafts piece by piece in a few threads: read or fetch a stretch, prove it, write it. The inner half of drafts.

`layouts.drafts` says which drafts lack what; `layouts.pieces` says in which stretches.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from toolkit.errors import TornReadError, UnsafePathError
from toolkit.sync.chunk_source import ChunkSource
from toolkit.sync.events import FileProblem, Listener, Moved, file_problem
from toolkit.sync.extras import is_sparse, write_around_holes
from toolkit.sync.flush_ahead import FlushAhead
from toolkit.sync.folder import READ_FLAGS, Cursor, Folder, begin_flush
from toolkit.sync.layouts.pieces import Piece, Place, differing, end_of, groups, stretches
from toolkit.sync.pace import Pace
from toolkit.sync.room import room_for
from toolkit.wire.chunk import MAX_CHUNK_BYTES
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.index import ChunkRef, Entry

DRAFT_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
DRAFT_MODE = 0o600
"""Until it is in its place nobody else reads a draft."""
_READABLE = 0o400
"""Other drafts may be about to take pieces of it."""
_LARGE_BYTES = 1024 * 1024
_BUFFERS = 3


class Buffers:
    """Buffers for one chunk each, of each thread its own: fresh memory costs more than reading into it."""

    def __init__(self) -> None:
        """Begin without; a thread gets them when it first asks."""
        self._local = threading.local()

    def get(self, number: int = 0) -> memoryview:
        """Give one of this thread's three."""
        if not hasattr(self._local, "buffers"):
            self._local.buffers = [room_for(MAX_CHUNK_BYTES) for _ in range(_BUFFERS)]
        buffers: list[memoryview] = self._local.buffers
        return buffers[number]


class Road(NamedTuple):
    """Where bytes come from and who hears of them: the same for all drafts of a run."""

    source: ChunkSource
    pace: Pace
    listen: Listener
    target: str
    """Names the storage in events."""
    bases: Mapping[bytes, bytes]
    """See `pieces.Lacks`."""
    copies: Mapping[bytes, tuple[int, int]]
    """Files whose drafts share the blocks of the last version, with its `facts_of` from before that."""
    flushing: FlushAhead


def open_draft(name: bytes, way: int, flags: int) -> int:
    """Open a draft to write it, and nothing that somebody put in its place.

    Raises:
        UnsafePathError: it is no plain file, or one that has another name too.
        OSError: it is a link, is not there, or the disk refuses.
    """
    descriptor = os.open(name, flags, DRAFT_MODE, dir_fd=way)
    if not is_ours(descriptor):
        os.close(descriptor)
        raise UnsafePathError(
            "a file that was being built has been replaced by another one",
            hint="nothing was written to it; look who else writes in .tiers/partial, and run it again",
        )
    return descriptor


def is_ours(descriptor: int) -> bool:
    """Say whether an open draft is a plain file that has no other name."""
    status = os.fstat(descriptor)
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def facts_of(descriptor: int) -> tuple[int, int]:
    """Give size and time in ns of an open file; whoever writes to it changes them."""
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns


class Builder:
    """Filling drafts in several threads; counts what moved."""

    def __init__(
        self, folder: Folder, path_of: Callable[[Entry], bytes], buffers: Buffers, road: Road
    ) -> None:
        """Build below a folder; `path_of` says where the draft of an entry is."""
        self._folder = folder
        self._path_of = path_of
        self._buffers = buffers
        self._road = road
        self._lock = threading.Lock()
        self.chunks = 0
        self.total_bytes = 0
        self.stored_bytes = 0
        self.torn: dict[bytes, FileProblem] = {}

    def run(self, task: list[tuple[Entry, list[Piece]]]) -> None:
        """Bring the pieces of some drafts. Usable by several threads, each with a task of its own."""
        moved: list[tuple[int, int, int]] = []
        with Cursor(self._folder) as cursor, LastFile(self._folder) as last:
            for group in groups(task):
                ahead = self._fetch_ahead(group, moved)
                for entry, pieces in group:
                    self._build(entry, pieces, cursor, last, ahead, moved)
        self._count(moved)

    def _build(
        self,
        entry: Entry,
        pieces: list[Piece],
        cursor: Cursor,
        last: LastFile,
        ahead: dict[Digest, memoryview],
        moved: list[tuple[int, int, int]],
    ) -> None:
        """Put pieces into one draft."""
        way, name = cursor.at(self._path_of(entry))
        descriptor = open_draft(name, way, DRAFT_FLAGS)
        try:
            write = write_around_holes if is_sparse(entry) else _write
            shared = self._road.copies.get(entry.path)
            base = self._road.bases.get(entry.path)
            for stretch in stretches(pieces):
                offset, size = stretch[0].offset, end_of(stretch[-1]) - stretch[0].offset
                if stretch[0].place is not None:
                    if shared is not None and stretch[0].place == Place(base or b"", offset):
                        continue  # the draft has it: nobody has written to what it shares, so it is as good as before
                    data = self._buffers.get(1)[:size]
                    self._take(stretch, last, data, moved)
                elif (begun := ahead.get(stretch[0].ref.digest)) is not None:
                    # What lies behind it is what comes behind it: it was fetched in the order of the pieces.
                    data = begun[:size]
                else:
                    data = self._buffers.get(1)[:size]
                    old = None if base is None else last.open(base)
                    blocks = self._fetch([piece.ref for piece in stretch], data, moved, offset, old)
                    if shared is not None:
                        for start, end in blocks:
                            _write(descriptor, data[start:end], offset + start)
                        continue
                write(descriptor, data, offset)
            if shared is not None:
                _see_unchanged(last.open(base or b""), shared)
        except TornReadError as error:
            with self._lock:
                self.torn[entry.path] = file_problem(entry.path, "torn", error.message)
        else:
            self._wrote(entry, pieces, descriptor)
        finally:
            os.close(descriptor)

    def _wrote(self, entry: Entry, pieces: list[Piece], descriptor: int) -> None:
        """Do what is cheap as long as a draft is open, and let the disk begin."""
        if pieces and (size := end_of(pieces[-1]) - pieces[0].offset) >= _LARGE_BYTES:
            begin_flush(descriptor, pieces[0].offset, size)
            return
        self._road.flushing.wrote(entry.size)
        whole = sum(piece.ref.size for piece in pieces) == entry.size
        if whole and entry.extras is None and entry.mode & _READABLE:
            # `settle` will see that there is nothing left to do.
            os.fchmod(descriptor, entry.mode)
            os.utime(descriptor, ns=(entry.mtime_ns, entry.mtime_ns))

    def _fetch_ahead(
        self, group: list[tuple[Entry, list[Piece]]], moved: list[tuple[int, int, int]]
    ) -> dict[Digest, memoryview]:
        """Fetch what several small files need from the source at once; give where each chunk begins."""
        new = [pieces for entry, pieces in group if entry.path not in self._road.bases]
        refs = [piece.ref for pieces in new for piece in pieces if piece.place is None]
        if len(group) == 1 or not refs:
            return {}
        buffer = self._buffers.get()
        try:
            self._fetch(refs, buffer[: sum(ref.size for ref in refs)], moved)
        except TornReadError:
            return {}  # file by file, to know which one it is
        begun: dict[Digest, memoryview] = {}
        start = 0
        for ref in refs:
            begun[ref.digest] = buffer[start:]
            start += ref.size
        return begun

    def _take(
        self, stretch: list[Piece], last: LastFile, data: memoryview, moved: list[tuple[int, int, int]]
    ) -> None:
        """Read neighbouring pieces from where the mirror has them; what is not there comes from the source."""
        place = stretch[0].place
        have = None if place is None else last.open(place.path)
        wrong = stretch if place is None or have is None else _wrong(have, place.offset, stretch, data)
        for piece in wrong:
            start = piece.offset - stretch[0].offset
            self._fetch([piece.ref], data[start : start + piece.ref.size], moved)

    def _fetch(
        self,
        refs: list[ChunkRef],
        into: memoryview,
        moved: list[tuple[int, int, int]],
        offset: int = 0,
        old: int | None = None,
    ) -> list[tuple[int, int]]:
        """Fetch chunks from the source; give the blocks of them that an old file has not got at the same place.

        Of a source of which single blocks can be had, only those count as moved.
        """
        stored = self._road.source.fetch(refs, into)
        blocks = [(0, len(into))]
        if old is not None:
            buffer = self._buffers.get(2)[: len(into)]
            with suppress(OSError):
                got = os.preadv(old, [buffer], offset)
                blocks = differing(into, buffer[:got], offset)
        if self._road.source.gives_blocks:
            stored = sum(end - start for start, end in blocks)
        self._road.pace.take(stored)
        moved.append((len(refs), len(into), stored))
        return blocks

    def _count(self, moved: list[tuple[int, int, int]]) -> None:
        if not moved:
            return
        chunks, total, stored = (sum(numbers) for numbers in zip(*moved, strict=True))
        with self._lock:
            self.chunks += chunks
            self.total_bytes += total
            self.stored_bytes += stored
            self._road.listen(Moved(self._road.target, chunks, total, stored))


class LastFile:
    """Keeps open the file that was read last: chunks of one file are mostly read one after the other."""

    def __init__(self, folder: Folder) -> None:
        """Begin with none."""
        self._folder = folder
        self._path: bytes | None = None
        self._descriptor: int | None = None

    def open(self, path: bytes) -> int | None:
        """Give a descriptor of the file, or None when it cannot be read."""
        if path != self._path:
            self.close()
            self._path = path
            with suppress(OSError, UnsafePathError), self._folder.parent(path) as (way, name):
                self._descriptor = os.open(name, READ_FLAGS, dir_fd=way)
        return self._descriptor

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._path = None, None

    def __enter__(self) -> LastFile:
        """Use it in a `with`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def _see_unchanged(descriptor: int | None, facts: tuple[int, int]) -> None:
    if descriptor is None or facts_of(descriptor) != facts:
        raise TornReadError("its last version was changed while the new one was built out of it")


def _wrong(descriptor: int, offset: int, stretch: list[Piece], into: memoryview) -> list[Piece]:
    """Read a stretch from where the mirror should have it, and give the pieces that are not there."""
    try:
        got = os.preadv(descriptor, [into], offset)
    except OSError:
        return stretch
    wrong: list[Piece] = []
    at = 0
    for piece in stretch:
        end = at + piece.ref.size
        if end > got or digest_of(into[at:end]) != piece.ref.digest:
            wrong.append(piece)
        at = end
    return wrong


def _write(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written
