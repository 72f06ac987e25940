"""Look through a folder and make an Index: the first step of every sync.

`run` hands in the folder and the cache of the last scan; `push` and `layouts.mirror` go on with the Index. Files are
cut where their content says so; small ones are read in batches by a few threads (reading, cutting and hashing let go
of Python's lock). A file that changes while it is read is read again, and left out as torn when it does not rest.
Links are recorded, never followed; devices, pipes and sockets are counted and skipped.
"""

from __future__ import annotations

import logging
import os
import stat
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from toolkit.errors import UnsafePathError
from toolkit.sync.cache import Facts, Known, ScanCache, facts_of, has_settled
from toolkit.sync.events import FileProblem, file_problem
from toolkit.sync.extras import Xattrs
from toolkit.sync.folder import Folder
from toolkit.sync.hard_links import regrouped, with_names
from toolkit.sync.layouts.disk import MODE_BITS, SIDECAR
from toolkit.sync.read import LARGE_BYTES, FileReader, GridKind, Read, Tap, Wanted, join, xattrs_of
from toolkit.sync.rows import Row, list_folder
from toolkit.sync.scan_memory import ScanMemory, StaleCacheError
from toolkit.sync.selection import EVERYTHING, Selection
from toolkit.sync.tree_change import Changes
from toolkit.wire.extras import Extras
from toolkit.wire.index import Entry, Listing
from toolkit.wire.paths import check_path
from toolkit.wire.tree import Tree, tree_of

log = logging.getLogger(__name__)

_THREADS = 2
_HASHERS = 2
_BATCH_BYTES = 4 * 1024 * 1024
_BATCH_FILES = 256
_PENDING = 16
"""So many batches may wait for a thread; then the walk rests, so that what was read does not pile up."""
_KIND = 0o170000
_Inode = tuple[int, int]
"""Device and inode: the file behind a name."""


@dataclass(frozen=True)
class Scan:
    """What a folder holds."""

    index: Listing
    left_out: frozenset[bytes] = frozenset()
    """Files that are there but were not taken: not selected, torn, or unreadable. A target keeps its copy of them."""
    facts: Mapping[bytes, Facts] = field(default_factory=dict)
    """Facts of each file of the index at the time it was read, if they were asked for."""
    problems: tuple[FileProblem, ...] = ()
    special: int = 0
    """Devices, pipes and sockets that were skipped."""
    files_read: int = 0
    bytes_read: int = 0

    @property
    def files(self) -> int:
        """Number of files."""
        if isinstance(self.index, Tree):
            return self.index.files
        return sum(entry.kind == "file" for entry in self.index.entries)


def scan(
    folder: Folder,
    path: bytes = b"",
    *,
    grid: GridKind = "data",
    selection: Selection = EVERYTHING,
    cache: ScanCache | None = None,
    tap: Tap | None = None,
    keep_facts: bool = False,
) -> Scan:
    """Make an Index of what lies at and below a path.

    Args:
        folder: the storage.
        path: folder below it whose content is scanned; entries are relative to it. Empty takes the whole storage.
        grid: how finely files are cut.
        selection: which files are taken.
        cache: what an earlier scan learned; it learns from this one.
        tap: takes the bytes of large files that are read, so that a first copy is written while it is scanned.
        keep_facts: give the facts of each file too; for who empties the folder.

    Raises:
        FileNotFoundError: there is no such folder.
        UnsafePathError: the path goes through a link.
    """
    cache = cache or ScanCache(None)
    try:
        return _Scanner(folder, path, grid, selection, cache, tap, keep_facts=keep_facts).run()
    except StaleCacheError as error:
        log.info("what the last scan of %s saw is not used: %s", folder.path, error)
        return _Scanner(folder, path, grid, selection, cache, tap, keep_facts=keep_facts, believe=False).run()


class _Scanner:
    """One scan at work: walks in the calling thread, reads in a pool."""

    def __init__(
        self,
        folder: Folder,
        root: bytes,
        grid: GridKind,
        selection: Selection,
        cache: ScanCache,
        tap: Tap | None,
        *,
        keep_facts: bool,
        believe: bool = True,
    ) -> None:
        self._tap = tap
        self._folder = folder
        self._root = root
        self._grid: GridKind = grid
        self._selection = selection
        self._memory = ScanMemory(cache, root, grid, whole=selection.takes_all, believe=believe)
        self._facts: dict[bytes, Facts] | None = {} if keep_facts else None
        self._changes = Changes()
        self._left_out: set[bytes] = set()
        self._problems: list[FileProblem] = []
        self._special = 0
        self._files_read = 0
        self._bytes_read = 0
        self._batch: list[Wanted] = []
        self._batch_bytes = 0
        self._reads: deque[Future[list[Read]]] = deque()
        self._folders: dict[bytes, Row] = {}
        """Folders that are not as they were, until they are visited."""
        self._linked: dict[bytes, Entry] = {}
        """Entries of files with several names."""
        self._names: dict[_Inode, list[bytes]] = {}
        """Paths of each file with several names."""
        self._waiting: dict[_Inode, list[Wanted]] = {}
        """Further names of a file that is being read; it is read once."""
        self._read_for: dict[bytes, _Inode] = {}

    def run(self) -> Scan:
        with ThreadPoolExecutor(_THREADS, "scan") as pool, ThreadPoolExecutor(_HASHERS, "hash") as hashers:
            reader = FileReader(self._folder, self._root, self._grid, hashers, self._tap)
            below = [b""]
            while below:
                below += self._visit(below.pop(), pool, reader)
                self._drain(pool, reader, _PENDING)
            self._send(pool, reader)
            self._drain(pool, reader, 0)
        for entry in with_names([self._linked[path] for path in sorted(self._linked)], self._names.values()):
            if self._memory.name(entry):
                self._changes.put(entry)
        for path in self._memory.gone():
            self._changes.drop(path)
        tree = self._memory.finish(self._changes)
        return Scan(
            tree if self._selection.takes_all else self._selected(tree),
            frozenset(self._left_out),
            self._facts or {},
            tuple(self._problems),
            self._special,
            self._files_read,
            self._bytes_read,
        )

    def _selected(self, known: Tree) -> Tree:
        """Leave out of what is known the files that are not taken this time, for example because they are too young."""
        return tree_of(regrouped([entry for entry in known.entries if entry.path not in self._left_out]))

    def _drain(self, pool: ThreadPoolExecutor, reader: FileReader, pending: int) -> None:
        """Take in what was read, until at most so many batches are at work."""
        while self._reads and (len(self._reads) > pending or self._reads[0].done()):
            again = self._take(self._reads.popleft().result())
            if again:
                self._reads.append(pool.submit(reader.read_batch, again))

    def _visit(self, at: bytes, pool: ThreadPoolExecutor, reader: FileReader) -> list[bytes]:
        """Look at one folder; give the folders in it."""
        whole = join(self._root, at)
        folders: list[bytes] = []
        try:
            with self._folder.folder(whole) as descriptor:
                found = list_folder(descriptor, but=b"" if whole else SIDECAR)
                rows = found.rows
                folders = [join(at, row[0]) for row in rows if row[1] & _KIND == stat.S_IFDIR]
                fresh = self._memory.look(at, rows)
                if (row := self._folders.pop(at, None)) is not None:
                    self._put_folder(at, row, *xattrs_of(descriptor))
                for row in fresh:
                    self._see(row, join(at, row[0]), descriptor)
                for name, status in found.rest:
                    self._see_rest(join(at, name), status, descriptor)
                if not self._selection.takes_all or self._facts is not None:
                    self._see_known(at, rows, fresh)
            for name, failure in found.failed:
                self._miss(join(at, name), failure)
        except OSError as error:
            if not at:
                raise  # what was to be scanned is not there
            self._miss(at, error)
            self._memory.unread(at)
            if (row := self._folders.pop(at, None)) is not None:
                self._put_folder(at, row, (), "")
                self._memory.unsure(at)
            folders = []
        if self._batch_bytes >= _BATCH_BYTES or len(self._batch) >= _BATCH_FILES:
            self._send(pool, reader)
        return folders

    def _see(self, row: Row, path: bytes, descriptor: int) -> None:
        """Take in something that is not known."""
        name, mode, size, mtime_ns, ctime_ns, inode = row
        kind = mode & _KIND
        try:
            check_path(path)
        except UnsafePathError as error:
            self._miss(path, error)
            return
        if kind == stat.S_IFDIR:
            if self._selection.takes_all:
                self._folders[path] = row
        elif not self._selection.takes(name, size if kind == stat.S_IFREG else 0, mtime_ns):
            self._left_out.add(path)
            self._memory.unsure(path)
        elif kind == stat.S_IFREG:
            earlier = self._memory.earlier(path) if size >= LARGE_BYTES else b""
            self._want(Wanted(path, Facts(size, mtime_ns, ctime_ns, inode), mode & MODE_BITS, earlier))
        elif (link := self._link(path, name, mtime_ns, descriptor)) is not None:
            self._changes.put(link)

    def _see_rest(self, path: bytes, status: os.stat_result, descriptor: int) -> None:
        """Take in what is looked at every time: files with several names, and what is not taken at all."""
        name, facts = path.rpartition(b"/")[2], facts_of(status)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):
            self._special += 1
            return
        try:
            check_path(path)
        except UnsafePathError as error:
            self._miss(path, error)
            return
        if not self._selection.takes(name, facts.size if stat.S_ISREG(status.st_mode) else 0, facts.mtime_ns):
            self._left_out.add(path)
        elif stat.S_ISLNK(status.st_mode):
            if (link := self._link(path, name, facts.mtime_ns, descriptor)) is not None:
                self._linked[path] = link
        else:
            self._see_name(Wanted(path, facts, status.st_mode & MODE_BITS), (status.st_dev, status.st_ino))

    def _see_name(self, wanted: Wanted, inode: _Inode) -> None:
        """Take in one of several names of a file."""
        self._names.setdefault(inode, []).append(wanted.path)
        known = self._memory.known(wanted.path)
        if known is not None and known.facts == wanted.facts:
            self._memory.learn(wanted.path, known)
            self._linked[wanted.path] = _entry(wanted, known)
            self._note(wanted.path, known.facts)
        elif inode in self._waiting:
            self._waiting[inode].append(wanted)
        else:
            self._waiting[inode] = []
            self._read_for[wanted.path] = inode
            self._want(wanted)

    def _see_known(self, at: bytes, rows: list[Row], fresh: list[Row]) -> None:
        """Look again, one by one, at files that are known: whether they are taken, and what tells them."""
        new = {row[0] for row in fresh}
        for name, mode, size, mtime_ns, ctime_ns, inode in rows:
            if name in new or mode & _KIND == stat.S_IFDIR:
                continue
            path, is_file = join(at, name), mode & _KIND == stat.S_IFREG
            if not self._selection.takes(name, size if is_file else 0, mtime_ns):
                self._left_out.add(path)
            elif is_file:
                self._note(path, Facts(size, mtime_ns, ctime_ns, inode))

    def _want(self, wanted: Wanted) -> None:
        self._batch.append(wanted)
        self._batch_bytes += wanted.facts.size

    def _note(self, path: bytes, facts: Facts) -> None:
        if self._facts is not None:
            self._facts[path] = facts

    def _put_folder(self, path: bytes, row: Row, xattrs: Xattrs, beyond: str) -> None:
        if beyond:
            self._problems.append(file_problem(path, "unfit", beyond))
            self._memory.unsure(path)
        extras = Extras(xattrs=xattrs) if xattrs else None
        self._changes.put(Entry(path, "folder", 0, row[1] & MODE_BITS, row[3], extras=extras))

    def _link(self, path: bytes, name: bytes, mtime_ns: int, descriptor: int) -> Entry | None:
        try:
            target = os.readlink(name, dir_fd=descriptor)
        except OSError as error:
            self._miss(path, error)
            return None
        # A link's own mode means nothing to anybody.
        return Entry(path, "link", 0, MODE_BITS, mtime_ns, b"", target)

    def _miss(self, path: bytes, error: Exception) -> None:
        self._memory.unsure(path)
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

    def _take(self, reads: list[Read]) -> list[Wanted]:
        """Take in what was read; give what has to be read after all."""
        again: list[Wanted] = []
        for read in reads:
            self._bytes_read += read.bytes_read
            inode = self._read_for.pop(read.wanted.path, None)
            others = self._waiting.pop(inode, []) if inode is not None else []
            if read.problem is not None:
                self._problems.append(read.problem)
            if read.known is None:
                again += others  # this name is gone or was torn; another one may be there
                self._memory.unsure(read.wanted.path)
                if read.problem is not None:
                    self._left_out.add(read.wanted.path)
                continue
            self._files_read += 1
            # A problem is to be told again next time.
            sure = read.problem is None and has_settled(read.known.facts, read.read_at_ns)
            for wanted in (read.wanted, *others):
                self._add(
                    wanted,
                    read.known,
                    sure=sure and wanted.facts == read.known.facts,
                    linked=inode is not None,
                )
        return again

    def _add(self, wanted: Wanted, known: Known, *, sure: bool, linked: bool) -> None:
        self._note(wanted.path, known.facts)
        entry = _entry(wanted, known)
        if linked:
            self._linked[wanted.path] = entry
            if sure:
                self._memory.learn(wanted.path, known)
            return
        self._changes.put(entry)
        if not sure:
            self._memory.unsure(wanted.path)


def _entry(wanted: Wanted, known: Known) -> Entry:
    return Entry(
        wanted.path,
        "file",
        known.facts.size,
        wanted.mode,
        known.facts.mtime_ns,
        known.chunks,
        extras=known.extras,
    )
