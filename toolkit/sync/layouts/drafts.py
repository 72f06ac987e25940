"""Files of a mirror that are being built, beside their place: `.tiers/partial/ROUTE/…`, one draft a file.

A draft is filled chunk by chunk at the right offsets, from what the mirror has already (old files, other drafts) and
from the source; every chunk is proven before it is written. There is no journal: after an interruption the drafts are
read again, and what is right in them counts as arrived. `layouts.settle` renames them into place.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from toolkit.errors import TornReadError, UnsafePathError
from toolkit.sync.chunk_source import ChunkSource
from toolkit.sync.events import FileProblem, Listener, Moved, file_problem
from toolkit.sync.flow import THREADS
from toolkit.sync.folder import READ_FLAGS, Cursor, Folder, begin_flush
from toolkit.sync.merge import placed
from toolkit.sync.pace import Pace
from toolkit.sync.read import join
from toolkit.sync.target import Filled
from toolkit.wire.chunk import MAX_CHUNK_BYTES, open_chunk
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.index import ChunkRef, Entry

_DRAFT_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_DRAFT_MODE = 0o600
_TASK_BYTES = 4 * 1024 * 1024
_TASK_DRAFTS = 64
_LARGE_BYTES = 1024 * 1024


class Place(NamedTuple):
    """Where a chunk is: a path below the storage's root, and the offset."""

    path: bytes
    offset: int


class Piece(NamedTuple):
    """A chunk that a draft lacks. `place` is where the mirror has it; without one it comes from the source."""

    offset: int
    ref: ChunkRef
    place: Place | None


@dataclass(frozen=True)
class Lacks:
    """What the drafts lack."""

    first: list[tuple[Entry, list[Piece]]]
    """Each draft with the pieces that can be brought at once."""
    then: list[tuple[Entry, list[Piece]]]
    """Pieces that are copied from another draft when that one is filled."""
    moving: dict[Digest, int]
    """Chunks that come from the source, each once, with their sizes in bytes."""


class Drafts:
    """The drafts of one route in one storage."""

    def __init__(self, folder: Folder, root: bytes, target: str) -> None:
        """Keep drafts below `root`; `target` names the storage in events."""
        self._folder = folder
        self._root = root
        self._target = target
        self._scratch = threading.local()

    def buffer(self) -> memoryview:
        """Give this thread's buffer for one chunk: fresh memory costs more than reading into it."""
        if not hasattr(self._scratch, "buffer"):
            self._scratch.buffer = memoryview(bytearray(MAX_CHUNK_BYTES))
        buffer: memoryview = self._scratch.buffer
        return buffer

    def path_of(self, entry: Entry) -> bytes:
        """Give the path of a file's draft below the storage's root."""
        return join(self._root, digest_of(entry.path)[:32].encode())

    def right_chunks(self, path: bytes, entry: Entry, cursor: Cursor) -> set[int]:
        """Read a file and give the offsets at which it holds what the entry says; empty when it cannot be read."""
        buffer = self.buffer()
        try:
            way, name = cursor.at(path)
            descriptor = os.open(name, READ_FLAGS, dir_fd=way)
        except (OSError, UnsafePathError):
            return set()
        try:
            return {offset for offset, ref in placed(entry) if _holds(descriptor, offset, ref, buffer)}
        except OSError:
            return set()
        finally:
            os.close(descriptor)

    def left_over(self, entry: Entry, cursor: Cursor) -> set[int]:
        """Give the offsets at which a draft of an earlier run holds what the entry says."""
        path = self.path_of(entry)
        try:
            way, name = cursor.at(path)
            status = os.stat(name, dir_fd=way, follow_symlinks=False)
        except FileNotFoundError:
            return set()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            # Not what we left: writing here could write somewhere else.
            os.unlink(name, dir_fd=way)
            return set()
        os.chmod(name, _DRAFT_MODE, dir_fd=way)
        return self.right_chunks(path, entry, cursor)

    def names(self) -> set[bytes]:
        """List the drafts that are there."""
        try:
            with self._folder.folder(self._root) as descriptor, os.scandir(descriptor) as items:
                return {os.fsencode(item.name) for item in items}
        except FileNotFoundError:
            return set()

    def fill(self, lacks: Lacks, source: ChunkSource, pace: Pace, listen: Listener) -> Filled:
        """Bring every piece.

        Raises:
            RemoteUnavailableError, IntegrityError: from the source; what has arrived stays.
            OSError: the disk is full or broken; what has arrived stays.
        """
        work = _Work(self, self._folder, source, pace, listen, self._target)
        pool = ThreadPoolExecutor(THREADS, "fill")
        try:
            for stage in (lacks.first, lacks.then):
                for _ in pool.map(work.run, _tasks(stage)):
                    pass
        finally:
            pool.shutdown(cancel_futures=True)
        return Filled(
            work.chunks, work.total_bytes, work.stored_bytes, tuple(work.torn.values()), frozenset(work.torn)
        )

    def discard(self, names: Iterable[bytes]) -> None:
        """Remove drafts that nobody needs any more."""
        with suppress(FileNotFoundError), self._folder.folder(self._root) as descriptor:
            for name in names:
                with suppress(FileNotFoundError, IsADirectoryError):
                    os.unlink(name, dir_fd=descriptor)


class _Work:
    """Filling drafts in several threads; counts what moved."""

    def __init__(
        self, drafts: Drafts, folder: Folder, source: ChunkSource, pace: Pace, listen: Listener, target: str
    ) -> None:
        self._drafts = drafts
        self._folder = folder
        self._source = source
        self._pace = pace
        self._listen = listen
        self._target = target
        self._lock = threading.Lock()
        self.chunks = 0
        self.total_bytes = 0
        self.stored_bytes = 0
        self.torn: dict[bytes, FileProblem] = {}

    def run(self, task: list[tuple[Entry, list[Piece]]]) -> None:
        moved: list[tuple[int, int]] = []
        buffer = self._drafts.buffer()
        with Cursor(self._folder) as cursor, _LastFile(self._folder) as last:
            for entry, pieces in task:
                way, name = cursor.at(self._drafts.path_of(entry))
                descriptor = os.open(name, _DRAFT_FLAGS, _DRAFT_MODE, dir_fd=way)
                try:
                    for piece in pieces:
                        _write(descriptor, self._bring(piece, last, buffer, moved), piece.offset)
                except TornReadError as error:
                    with self._lock:
                        self.torn[entry.path] = file_problem(entry.path, "torn", error.message)
                else:
                    if sum(piece.ref.size for piece in pieces) >= _LARGE_BYTES:
                        begin_flush(descriptor)
                finally:
                    os.close(descriptor)
        self._count(moved)

    def _bring(
        self, piece: Piece, last: _LastFile, buffer: memoryview, moved: list[tuple[int, int]]
    ) -> bytes | memoryview:
        ref = piece.ref
        if piece.place is not None and (descriptor := last.open(piece.place.path)) is not None:
            with suppress(OSError):
                if _holds(descriptor, piece.place.offset, ref, buffer):
                    return buffer[: ref.size]
        stored = self._source.stored(ref)
        self._pace.take(len(stored))
        data = open_chunk(stored, ref.digest, ref.size)
        moved.append((ref.size, len(stored)))
        return data

    def _count(self, moved: list[tuple[int, int]]) -> None:
        if not moved:
            return
        total, stored = (sum(sizes) for sizes in zip(*moved, strict=True))
        with self._lock:
            self.chunks += len(moved)
            self.total_bytes += total
            self.stored_bytes += stored
            self._listen(Moved(self._target, len(moved), total, stored))


class _LastFile:
    """Keeps open the file that was read last: chunks of one file are mostly read one after the other."""

    def __init__(self, folder: Folder) -> None:
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
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self._path = None, None

    def __enter__(self) -> _LastFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def lacking(drafts: Iterable[tuple[Entry, Place, set[int]]], have: dict[Digest, Place]) -> Lacks:
    """Sort out where each piece of the drafts comes from.

    Args:
        drafts: each file to build, where its draft is, and the offsets at which that is right already.
        have: where the mirror has chunks; what drafts hold is added.
    """
    drafts = list(drafts)
    for entry, (path, _), right in drafts:
        for offset, ref in placed(entry) if right else ():
            if offset in right:
                have.setdefault(ref.digest, Place(path, offset))
    lacks = Lacks([], [], {})
    coming: dict[Digest, Place] = {}
    for entry, (path, _), right in drafts:
        first: list[Piece] = []
        then: list[Piece] = []
        for offset, ref in placed(entry):
            if offset in right:
                continue
            if ref.digest in have:
                first.append(Piece(offset, ref, have[ref.digest]))
            elif ref.digest in coming:
                then.append(Piece(offset, ref, coming[ref.digest]))
            else:
                first.append(Piece(offset, ref, None))
                coming[ref.digest] = Place(path, offset)
                lacks.moving[ref.digest] = ref.size
        lacks.first.append((entry, first))
        if then:
            lacks.then.append((entry, then))
    return lacks


def _tasks(drafts: Iterable[tuple[Entry, list[Piece]]]) -> Iterator[list[tuple[Entry, list[Piece]]]]:
    """Group pieces so that a task is worth a thread's while and a large file keeps all threads busy."""
    task: list[tuple[Entry, list[Piece]]] = []
    size = 0
    for entry, pieces in drafts:
        start = 0
        for position, piece in enumerate(pieces):
            size += piece.ref.size
            if size >= _TASK_BYTES:
                task.append((entry, pieces[start : position + 1]))
                yield task
                task, size, start = [], 0, position + 1
        if start < len(pieces) or not pieces:
            task.append((entry, pieces[start:]))
        if len(task) >= _TASK_DRAFTS:
            yield task
            task, size = [], 0
    if task:
        yield task


def _holds(descriptor: int, offset: int, ref: ChunkRef, buffer: memoryview) -> bool:
    """Read a chunk's place into the buffer and say whether the chunk is there."""
    piece = buffer[: ref.size]
    return os.preadv(descriptor, [piece], offset) == ref.size and digest_of(piece) == ref.digest


def _write(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written
