"""Read a file, cut it and name its pieces, or find that it will not hold still. The inner half of `scan`.

A pool of threads runs `FileReader.read_batch`; reading, cutting and hashing let go of Python's lock.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, NamedTuple

from toolkit.errors import TornReadError, UnsafePathError
from toolkit.sync.cache import Facts, Known, facts_of, now_ns
from toolkit.sync.events import FileProblem, file_problem
from toolkit.sync.folder import READ_FLAGS, Cursor, Folder
from toolkit.wire.chunk import Cutter, Grid, cut, grid_for
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef, pack_refs

_SEGMENT_BYTES = 8 * 1024 * 1024
_ATTEMPTS = 3

GridKind = Literal["data", "scattered", "archive"]


class Wanted(NamedTuple):
    """A file to read: its path relative to what is scanned, its facts when it was seen, its permissions."""

    path: bytes
    facts: Facts
    mode: int


class Read(NamedTuple):
    """What came of it: `known`, or a problem, or neither when the file has gone."""

    wanted: Wanted
    known: Known | None
    problem: FileProblem | None
    read_at_ns: int
    bytes_read: int


class FileReader:
    """Reads, cuts and names files; each thread of the pool uses it with buffers of its own."""

    def __init__(self, folder: Folder, root: bytes, grid: GridKind, hashers: ThreadPoolExecutor) -> None:
        """Read below `root`; `hashers` names the pieces of large files meanwhile."""
        self._folder = folder
        self._root = root
        self._grid: GridKind = grid
        self._hashers = hashers
        self._local = threading.local()

    def read_batch(self, batch: list[Wanted]) -> list[Read]:
        """Read some files, one after the other."""
        started = now_ns()
        with Cursor(self._folder) as cursor:
            return [self._read(wanted, cursor, started) for wanted in batch]

    def _read(self, wanted: Wanted, cursor: Cursor, started: int) -> Read:
        done = 0
        problem: FileProblem | None = None
        for _ in range(_ATTEMPTS):
            try:
                known = self._read_once(wanted.path, cursor)
            except FileNotFoundError:
                return Read(wanted, None, None, started, done)
            except TornReadError as error:
                problem = file_problem(wanted.path, "torn", error.message)
            except (OSError, UnsafePathError) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                return Read(wanted, None, file_problem(wanted.path, "unreadable", reason), started, done)
            else:
                return Read(wanted, known, None, started, done + known.facts.size)
        return Read(wanted, None, problem, started, done)

    def _read_once(self, path: bytes, cursor: Cursor) -> Known:
        way, name = cursor.at(join(self._root, path))
        descriptor = os.open(name, READ_FLAGS, dir_fd=way)
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise TornReadError("it turned into something else than a file")
            grid = grid_for(self._grid, before.st_size)
            refs = (
                self._cut_small(descriptor, grid)
                if before.st_size < _SEGMENT_BYTES
                else self._cut_large(descriptor, grid)
            )
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        facts = facts_of(before)
        if facts_of(after) != facts or sum(ref.size for ref in refs) != facts.size:
            raise TornReadError("it changed while it was read")
        return Known(facts, pack_refs(refs))

    def _buffers(self) -> tuple[memoryview, memoryview]:
        # Fresh memory costs more than reading into it, so each thread keeps two buffers.
        if not hasattr(self._local, "buffers"):
            self._local.buffers = (
                memoryview(bytearray(_SEGMENT_BYTES)),
                memoryview(bytearray(_SEGMENT_BYTES)),
            )
        buffers: tuple[memoryview, memoryview] = self._local.buffers
        return buffers

    def _cut_small(self, descriptor: int, grid: Grid) -> list[ChunkRef]:
        buffer = self._buffers()[0]
        length = _fill(descriptor, buffer, 0)
        if length <= grid.minimum:
            return [ChunkRef(digest_of(buffer[:length]), length)] if length else []
        return _name(cut(buffer[:length], grid))

    def _cut_large(self, descriptor: int, grid: Grid) -> list[ChunkRef]:
        """Cut one segment while the one before is named: two threads for one large file."""
        cutter = Cutter(grid)
        refs: list[ChunkRef] = []
        naming: Future[list[ChunkRef]] | None = None
        offset = 0
        for buffer in _alternate(self._buffers()):
            length = _fill(descriptor, buffer, offset)
            offset += length
            pieces = [*cutter.feed(buffer[:length])] if length else [*cutter.finish()]
            if naming is not None:
                refs += naming.result()
            naming = self._hashers.submit(_name, pieces)
            if not length:
                refs += naming.result()
                break
        return refs


def _alternate(buffers: tuple[memoryview, memoryview]) -> Iterator[memoryview]:
    while True:
        yield from buffers


def _fill(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Read until the buffer is full or the file ends; give the number of bytes."""
    length = 0
    while length < len(buffer):
        got = os.preadv(descriptor, [buffer[length:]], offset + length)
        if not got:
            break
        length += got
    return length


def _name(pieces: list[memoryview]) -> list[ChunkRef]:
    return [ChunkRef(digest_of(piece), len(piece)) for piece in pieces]


def join(way: bytes, name: bytes) -> bytes:
    """Put two paths together; either may be empty."""
    return way + b"/" + name if way and name else way or name
