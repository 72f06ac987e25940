"""Look through a folder and make an Index: the first step of every sync.

`run` hands in the folder and the cache of the last scan; `push` and `layouts.mirror` go on with the Index. Files are
cut where their content says so; small ones are read in batches by a few threads (reading, cutting and hashing let go
of Python's lock). A file that changes while it is read is read again, and left out as torn when it does not rest.
Links are recorded, never followed; devices, pipes and sockets are counted and skipped.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from toolkit.errors import UnsafePathError
from toolkit.sync.cache import Facts, Known, ScanCache, facts_of
from toolkit.sync.events import FileProblem, file_problem
from toolkit.sync.folder import Folder
from toolkit.sync.layouts.disk import MODE_BITS, SIDECAR
from toolkit.sync.read import FileReader, GridKind, Read, Wanted, join
from toolkit.sync.selection import EVERYTHING, Selection
from toolkit.wire.index import Entry, Index
from toolkit.wire.paths import check_path

_THREADS = 2
_BATCH_BYTES = 4 * 1024 * 1024
_BATCH_FILES = 256


@dataclass(frozen=True)
class Scan:
    """What a folder holds."""

    index: Index
    left_out: frozenset[bytes] = frozenset()
    """Files that are there but were not taken: not selected, torn, or unreadable. A target keeps its copy of them."""
    facts: Mapping[bytes, Facts] = field(default_factory=dict)
    """Facts of each file of the index at the time it was read."""
    problems: tuple[FileProblem, ...] = ()
    special: int = 0
    """Devices, pipes and sockets that were skipped."""
    files_read: int = 0
    bytes_read: int = 0

    @property
    def files(self) -> int:
        """Number of files."""
        return sum(entry.kind == "file" for entry in self.index.entries)


def scan(
    folder: Folder,
    path: bytes = b"",
    *,
    grid: GridKind = "data",
    selection: Selection = EVERYTHING,
    cache: ScanCache | None = None,
) -> Scan:
    """Make an Index of what lies at and below a path.

    Args:
        folder: the storage.
        path: folder below it whose content is scanned; entries are relative to it. Empty takes the whole storage.
        grid: how finely files are cut.
        selection: which files are taken.
        cache: what an earlier scan learned; it learns from this one.

    Raises:
        FileNotFoundError: there is no such folder.
        UnsafePathError: the path goes through a link.
    """
    return _Scanner(folder, path, grid, selection, cache or ScanCache(None)).run()


class _Scanner:
    """One scan at work: walks in the calling thread, reads in a pool."""

    def __init__(
        self, folder: Folder, root: bytes, grid: GridKind, selection: Selection, cache: ScanCache
    ) -> None:
        self._folder = folder
        self._root = root
        self._grid: GridKind = grid
        self._selection = selection
        self._cache = cache
        self._entries: list[Entry] = []
        self._facts: dict[bytes, Facts] = {}
        self._left_out: set[bytes] = set()
        self._problems: list[FileProblem] = []
        self._special = 0
        self._files_read = 0
        self._bytes_read = 0
        self._batch: list[Wanted] = []
        self._batch_bytes = 0
        self._reads: list[Future[list[Read]]] = []

    def run(self) -> Scan:
        with ThreadPoolExecutor(_THREADS, "scan") as pool, ThreadPoolExecutor(1, "hash") as hashers:
            reader = FileReader(self._folder, self._root, self._grid, hashers)
            visited: set[bytes] = set()
            below = [b""]
            while below:
                at = below.pop()
                visited.add(join(self._root, at))
                below += self._visit(at, pool, reader)
            self._send(pool, reader)
            for read in self._reads:
                self._take(read.result())
        for gone in self._cache.folders(self._grid, self._root):
            if gone not in visited:
                self._cache.forget(self._grid, ((gone, name) for name in self._cache.known(self._grid, gone)))
        self._entries.sort(key=lambda entry: entry.path)
        return Scan(
            Index(entries=tuple(self._entries)),
            frozenset(self._left_out),
            self._facts,
            tuple(self._problems),
            self._special,
            self._files_read,
            self._bytes_read,
        )

    def _visit(self, at: bytes, pool: ThreadPoolExecutor, reader: FileReader) -> list[bytes]:
        """Look at one folder; give the folders in it."""
        whole = join(self._root, at)
        known = dict(self._cache.known(self._grid, whole))
        folders: list[bytes] = []
        try:
            with self._folder.folder(whole) as descriptor, os.scandir(descriptor) as found:
                for item in found:
                    name = os.fsencode(item.name)
                    if (whole or name != SIDECAR) and self._see(
                        item, at, name, known.pop(name, None), descriptor
                    ):
                        folders.append(join(at, name))
        except OSError as error:
            if not at:
                raise  # what was to be scanned is not there
            self._miss(at, error)
        self._cache.forget(self._grid, ((whole, name) for name in known))
        if self._batch_bytes >= _BATCH_BYTES or len(self._batch) >= _BATCH_FILES:
            self._send(pool, reader)
        return folders

    def _see(
        self, item: os.DirEntry[str], at: bytes, name: bytes, known: Known | None, descriptor: int
    ) -> bool:
        """Take one thing in; say whether it is a folder to visit."""
        try:
            path = check_path(join(at, name))
            status = item.stat(follow_symlinks=False)
        except (UnsafePathError, OSError) as error:
            self._miss(join(at, name), error)
            return False
        if stat.S_ISDIR(status.st_mode):
            if self._selection.takes_all:
                mode = status.st_mode & MODE_BITS
                self._entries.append(Entry(path, "folder", 0, mode, status.st_mtime_ns))
            return True
        if stat.S_ISREG(status.st_mode):
            self._see_file(path, name, status, known)
        elif stat.S_ISLNK(status.st_mode):
            self._see_link(path, name, status, descriptor)
        else:
            self._special += 1
        return False

    def _see_file(self, path: bytes, name: bytes, status: os.stat_result, known: Known | None) -> None:
        facts = facts_of(status)
        if not self._selection.takes(name, facts.size, facts.mtime_ns):
            self._left_out.add(path)
            return
        wanted = Wanted(path, facts, status.st_mode & MODE_BITS)
        if known is not None and known.facts == facts:
            self._add(wanted, known)
            return
        self._batch.append(wanted)
        self._batch_bytes += facts.size

    def _see_link(self, path: bytes, name: bytes, status: os.stat_result, descriptor: int) -> None:
        if not self._selection.takes(name, 0, status.st_mtime_ns):
            self._left_out.add(path)
            return
        try:
            target = os.readlink(name, dir_fd=descriptor)
        except OSError as error:
            self._miss(path, error)
            return
        # A link's own times and mode mean nothing to anybody; without them equal trees give equal indexes.
        self._entries.append(Entry(path, "link", 0, MODE_BITS, 0, b"", target))

    def _miss(self, path: bytes, error: Exception) -> None:
        if isinstance(error, FileNotFoundError):
            return  # it went away while we looked; then it is not there
        self._left_out.add(path)
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self._problems.append(file_problem(path, "unreadable", reason))

    def _send(self, pool: ThreadPoolExecutor, reader: FileReader) -> None:
        batch: list[Wanted] = []
        size = 0
        for wanted in self._batch:
            batch.append(wanted)
            size += wanted.facts.size
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
                self._reads.append(pool.submit(reader.read_batch, batch))
                batch, size = [], 0
        if batch:
            self._reads.append(pool.submit(reader.read_batch, batch))
        self._batch, self._batch_bytes = [], 0

    def _take(self, reads: list[Read]) -> None:
        learned: list[tuple[bytes, bytes, Known]] = []
        for read in reads:
            self._bytes_read += read.bytes_read
            if read.known is not None:
                self._files_read += 1
                self._add(read.wanted, read.known)
                way, _, name = join(self._root, read.wanted.path).rpartition(b"/")
                learned.append((way, name, read.known))
            elif read.problem is not None:
                self._left_out.add(read.wanted.path)
                self._problems.append(read.problem)
        if reads:
            self._cache.learn(self._grid, learned, reads[0].read_at_ns)

    def _add(self, wanted: Wanted, known: Known) -> None:
        self._entries.append(
            Entry(wanted.path, "file", known.facts.size, wanted.mode, known.facts.mtime_ns, known.chunks)
        )
        self._facts[wanted.path] = known.facts
