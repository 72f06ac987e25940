"""Read a file, cut it and name its pieces, or find that it will not hold still. The inner half of `scan`.

A pool of threads runs `FileReader.read_batch`; reading, cutting and hashing let go of Python's lock.
"""

from __future__ import annotations

import os
import stat
import threading
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import cycle
from typing import Literal, NamedTuple, Protocol

from toolkit.errors import TornReadError, UnsafePathError
from toolkit.sync.cache import Facts, Known, facts_of, has_settled, now_ns
from toolkit.sync.events import FileProblem, file_problem
from toolkit.sync.extras import TooManyXattrsError, Xattrs, has_holes, read_xattrs
from toolkit.sync.folder import READ_FLAGS, Cursor, Folder
from toolkit.sync.recut import cut_again
from toolkit.sync.room import room_for
from toolkit.wire.chunk import Cutter, Grid, grid_for, grid_of
from toolkit.wire.digest import raw_digest_of
from toolkit.wire.entry import PACKED
from toolkit.wire.extras import extras_of

_WINDOW_BYTES = 8 * 1024 * 1024
_BUFFERS = 3
"""One window is read and cut while two others are named."""
_STRETCH_BYTES = 512 * 1024
"""What is named is handed on in such stretches, while the processor's cache still has them."""
_ATTEMPTS = 3
LARGE_BYTES = _WINDOW_BYTES
"""From this size on a file is cut window by window."""

GridKind = Literal["data", "scattered", "archive", "weights"]


class Wanted(NamedTuple):
    """A file to read: its path relative to what is scanned, its facts when it was seen, its permissions."""

    path: bytes
    facts: Facts
    mode: int
    earlier: bytes = b""
    """Packed chunk list of a large file that the last scan knew and that has changed since."""


class Read(NamedTuple):
    """What came of it: `known`, a problem, both when not all could be taken, or neither when the file has gone."""

    wanted: Wanted
    known: Known | None
    problem: FileProblem | None
    read_at_ns: int
    bytes_read: int


class Sink(Protocol):
    """Takes the bytes of one file while they are read. Several threads write; nothing that goes wrong here is told."""

    def write(self, data: memoryview, offset: int) -> None:
        """Take bytes that have just been named, and are not valid afterwards."""
        ...

    def end(self, chunks: bytes | None) -> None:
        """Say that all has been written, and what the file's chunks are; None when it would not hold still."""
        ...


class Tap(Protocol):
    """Who wants the bytes of large files while they are read, so that nobody reads them twice."""

    def begin(self, path: bytes, size: int) -> Sink | None:
        """Say where the bytes of a file go, if they are wanted."""
        ...


class FileReader:
    """Reads, cuts and names files; each thread of the pool uses it with buffers of its own."""

    def __init__(
        self,
        folder: Folder,
        root: bytes,
        grid: GridKind,
        hashers: ThreadPoolExecutor,
        tap: Tap | None = None,
    ) -> None:
        """Read below `root`; `hashers` names the pieces of large files meanwhile, `tap` may take them."""
        self._tap = tap
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
                known, beyond = self._read_once(wanted.path, cursor, wanted.earlier)
            except FileNotFoundError:
                return Read(wanted, None, None, started, done)
            except TornReadError as error:
                problem = file_problem(wanted.path, "torn", error.message)
            except (OSError, UnsafePathError) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                return Read(wanted, None, file_problem(wanted.path, "unreadable", reason), started, done)
            else:
                problem = file_problem(wanted.path, "unfit", beyond) if beyond else None
                return Read(wanted, known, problem, started, done + known.facts.size)
        return Read(wanted, None, problem, started, done)

    def _read_once(self, path: bytes, cursor: Cursor, earlier: bytes) -> tuple[Known, str]:
        """Read a file that holds still; give what is known of it then, and what of it no index takes."""
        way, name = cursor.at(join(self._root, path))
        descriptor = os.open(name, READ_FLAGS, dir_fd=way)
        sink: Sink | None = None
        chunks: bytes | None = None
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise TornReadError("it turned into something else than a file")
            grid = self._grid_of(name, before.st_size, earlier)
            holes = has_holes(descriptor, before)
            if before.st_size < LARGE_BYTES:
                cuts = self._cut_small(descriptor, grid)
            else:
                # What is read only once must not change unseen, as a file may within the tick of its last change.
                calm = not holes and has_settled(facts_of(before), now_ns())
                sink = self._tap.begin(path, before.st_size) if self._tap is not None and calm else None
                again = earlier if sink is None else b""
                cuts = self._cut_large(descriptor, before.st_size, grid, sink, again)
            xattrs, beyond = xattrs_of(descriptor)
            after = os.fstat(descriptor)
            facts = facts_of(before)
            if facts_of(after) != facts or sum(size for _, size in PACKED.iter_unpack(cuts)) != facts.size:
                raise TornReadError("it changed while it was read")
            chunks = cuts
        finally:
            os.close(descriptor)
            if sink is not None:
                sink.end(chunks)
        return Known(facts, chunks, extras_of(holes=holes, xattrs=xattrs)), beyond

    def _grid_of(self, name: bytes, size: int, earlier: bytes) -> Grid:
        """Give the grid of a file: the one that it was cut in before, if that can be told."""
        before = (
            grid_of([length for _, length in PACKED.iter_unpack(earlier)]) if self._grid == "data" else None
        )
        return before or grid_for(self._grid, size, name)

    def _buffers(self) -> list[memoryview]:
        # Fresh memory costs more than reading into it, so each thread keeps its buffers.
        if not hasattr(self._local, "buffers"):
            self._local.buffers = [room_for(_WINDOW_BYTES) for _ in range(_BUFFERS)]
        buffers: list[memoryview] = self._local.buffers
        return buffers

    def _cut_small(self, descriptor: int, grid: Grid) -> bytes:
        buffer = self._buffers()[0]
        length = _fill(descriptor, buffer, 0)
        if length <= grid.minimum:
            return _name(buffer, [length] if length else [], None, 0)
        return _name(buffer, self._cutter(grid).window(buffer[:length], last=True), None, 0)

    def _cutter(self, grid: Grid) -> Cutter:
        if getattr(self._local, "grid", None) != grid:
            self._local.grid, self._local.cutter = grid, Cutter(grid)
        cutter: Cutter = self._local.cutter
        return cutter

    def _cut_large(self, descriptor: int, size: int, grid: Grid, sink: Sink | None, earlier: bytes) -> bytes:
        """Cut one window while those before are named: several threads for one large file.

        Each window begins where the last certain piece ended, so a little is read twice and nothing is carried over.
        """
        if earlier:
            again = cut_again(descriptor, size, grid, earlier, self._buffers(), self._hashers)
            if again is not None:
                return again
        cutter = Cutter(grid)
        named: list[bytes] = []
        naming: deque[Future[bytes]] = deque()
        offset = 0
        try:
            for buffer in cycle(self._buffers()):
                length = _fill(descriptor, buffer, offset)
                last = length < len(buffer)
                lengths = cutter.window(buffer[:length], last=last)
                naming.append(self._hashers.submit(_name, buffer, lengths, sink, offset))
                offset += sum(lengths)
                while len(naming) >= (1 if last else _BUFFERS):
                    named.append(naming.popleft().result())
                if last:
                    break
            while naming:
                named.append(naming.popleft().result())
        finally:
            wait(naming)  # who reads next takes the same buffers
        return b"".join(named)


def _fill(descriptor: int, buffer: memoryview, offset: int) -> int:
    """Read until the buffer is full or the file ends; give the number of bytes."""
    length = 0
    while length < len(buffer):
        got = os.preadv(descriptor, [buffer[length:]], offset + length)
        if not got:
            break
        length += got
    return length


def _name(buffer: memoryview, lengths: Iterable[int], sink: Sink | None, offset: int) -> bytes:
    """Name the pieces that lie one behind the other in a buffer; what is named goes to the sink, `offset` on."""
    named: list[bytes] = []
    start = end = 0
    for length in lengths:
        named.append(PACKED.pack(raw_digest_of(buffer[end : end + length]), length))
        end += length
        if sink is not None and end - start >= _STRETCH_BYTES:
            sink.write(buffer[start:end], offset + start)
            start = end
    if sink is not None and end > start:
        sink.write(buffer[start:end], offset + start)
    return b"".join(named)


def xattrs_of(descriptor: int) -> tuple[Xattrs, str]:
    """Read the extended attributes of an open file or folder; say why not when there are too many."""
    try:
        return read_xattrs(descriptor), ""
    except TooManyXattrsError as error:
        return (), str(error)


def join(way: bytes, name: bytes) -> bytes:
    """Put two paths together; either may be empty."""
    return way + b"/" + name if way and name else way or name
