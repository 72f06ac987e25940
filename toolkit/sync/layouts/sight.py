"""What has changed in a mirror since it was last what its index says. Between `layouts.disk` and `layouts.plan`.

After each run the rows of all folders (`sync.rows`) are written down beside the digest of the index that they fit. The
next run compares: a row that is the same needs no second look, and a mirror in which all are costs a comparison of
bytes per folder. Looking takes the kernel as long as looking through the source, so a child process does it at the same
time where this one has no other thread; the child looks, compares and ends, and touches nothing else.

What is written down is only a hint: without it, or when it fits another index, everything is compared, as ever.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain

import msgspec

from toolkit.errors import UnsafePathError
from toolkit.sync.cache import ScanCache
from toolkit.sync.folder import Folder
from toolkit.sync.layouts.disk import MODE_BITS, SIDECAR, Found, found_of, same_time
from toolkit.sync.read import join
from toolkit.sync.rows import Row, is_folder, list_folder, pack_rows, row_of, unpack_rows
from toolkit.wire.index import Entry
from toolkit.wire.learnt import learn
from toolkit.wire.tree import Tree

_NEVER = -1
_MANY = 50_000
"""So many names are held at a time while rows are written down."""
_SPOILT = Row(b"", 0, 0, 0, _NEVER, 0)


class _Look(msgspec.Struct, array_like=True):
    """What a look through a mirror found."""

    index: bytes
    """Digest of the index that the rows of last time fit; empty when there are none."""
    folders: list[tuple[bytes, bytes]]
    """Folders whose rows are not as they were, with their packed rows."""
    gone: list[bytes]
    """Folders that had rows and are not there any more."""
    rest: list[tuple[bytes, Found]]
    """Files with several names, and what is no file, folder or link."""


class Sight:
    """The look of one run at one mirror. For one thread."""

    def __init__(self, folder: Folder, root: bytes, file: str | None, route: str, guard: int) -> None:
        """Be ready to look.

        Args:
            folder: the storage.
            root: folder below it that the route fills.
            file: where rows are remembered; None remembers nothing.
            route: what the Refs of the route begin with.
            guard: descriptor with the lock of the route, which a child lets go of; -1 for none.
        """
        self._guard = guard
        self._folder = folder
        self._root = root
        self._file = file
        self._key = b"\0".join((route.encode(), root))
        self._child: tuple[int, int] | None = None
        self._cache = ScanCache(None)
        self._now: dict[bytes, bytes] = {}
        """Packed rows of folders that are not as they were."""
        self._gone: frozenset[bytes] = frozenset()
        self.index = ""
        """Digest of the index that all rows fit that are as they were."""
        self.rest: dict[bytes, Found] = {}
        self._changed: set[bytes] | None = None

    def begin(self) -> None:
        """Begin to look, beside what this process goes on with. Not with other threads: they may hold locks."""
        if self._child is not None or not _is_alone():
            return
        answer = os.memfd_create("sight")
        child = os.fork()
        if child:
            self._child = child, answer
            return
        code = 1
        with suppress(BaseException):
            if self._guard >= 0:
                os.close(self._guard)  # the lock is the parent's alone
            data = msgspec.msgpack.encode(self._look())
            with open(answer, "wb", closefd=False) as file:
                file.write(data)
            code = 0
        os._exit(code)

    def look(self) -> None:
        """Look, or take in what was begun.

        Raises:
            OSError: a folder cannot be read.
            UnsafePathError: the path itself goes through a link.
        """
        found = self._answer() or self._look()
        self._cache.close()
        self._cache = ScanCache(self._file)
        self.index = found.index.decode()
        self._now = dict(found.folders)
        self._gone = frozenset(found.gone)
        self.rest = dict(found.rest)
        self._changed = None

    def forget(self) -> None:
        """Believe nothing of last time, because the index is another one."""
        self.index = ""

    def close(self) -> None:
        """Wait for a look that was begun, and let go of files."""
        self._answer()
        self._cache.close()

    def _answer(self) -> _Look | None:
        if self._child is None:
            return None
        (child, answer), self._child = self._child, None
        try:
            _, status = os.waitpid(child, 0)
            if status:
                return None  # what went wrong is found, and said, by looking again
            with open(answer, "rb", closefd=False) as file:
                file.seek(0)
                return msgspec.msgpack.decode(file.read(), type=learn(_Look))
        finally:
            os.close(answer)

    def _look(self) -> _Look:
        cache = ScanCache(self._file)
        try:
            found = _Look(cache.state(self._key) or b"", [], [], [])
            visited: set[bytes] = set()
            below = [b""]
            while below:
                at = below.pop()
                listed = self._list(at)
                if listed is None:
                    continue
                rows, rest = listed
                visited.add(at)
                below += [join(at, row[0]) for row in rows if is_folder(row)]
                packed = pack_rows(rows)
                if packed != cache.rows(self._key, at):
                    found.folders.append((at, packed))
                found.rest += rest
            found.gone.extend(folder for folder in cache.folders(self._key) if folder not in visited)
            return found
        finally:
            cache.close()

    def _list(self, at: bytes) -> tuple[list[Row], list[tuple[bytes, Found]]] | None:
        whole = join(self._root, at)
        try:
            with self._folder.folder(whole) as descriptor:
                listed = list_folder(descriptor, but=b"" if whole else SIDECAR)
        except FileNotFoundError:
            return None  # not there yet, or gone since
        for _, error in listed.failed:
            if not isinstance(error, FileNotFoundError):
                raise error
        rest = [(join(at, name), found_of(status)) for name, status in listed.rest]
        return listed.rows, [(path, self._with_target(path, found)) for path, found in rest]

    def changed(self) -> set[bytes]:
        """Give the paths whose rows are not as they were, whose rows are gone, and those that are never remembered."""
        if self._changed is not None:
            return self._changed
        self._changed = paths = set(self.rest)
        for folder, packed in self._now.items():
            before = set(unpack_rows(self._cache.rows(self._key, folder) or b"\x90"))
            paths.update(join(folder, row[0]) for row in before ^ set(unpack_rows(packed)))
        for folder in self._gone:
            paths.update(join(folder, row.name) for row in self._before(folder))
        return paths

    def all(self) -> Iterator[tuple[bytes, Found]]:
        """Yield everything that is there."""
        folders = {*self._now, *self._cache.folders(self._key)} - self._gone
        for folder in folders:
            yield from self._found_in(folder)
        yield from self.rest.items()

    def at(self, paths: Iterable[bytes]) -> Iterator[tuple[bytes, Found]]:
        """Yield what is at some paths."""
        by_folder: dict[bytes, set[bytes]] = {}
        for path in paths:
            folder, _, name = path.rpartition(b"/")
            by_folder.setdefault(folder, set()).add(name)
            if path in self.rest:
                yield path, self.rest[path]
        for folder, names in by_folder.items():
            yield from self._found_in(folder, names)

    def below(self, path: bytes) -> Iterator[bytes]:
        """Yield the paths below a folder."""
        for row in self._rows(path):
            inner = join(path, row.name)
            yield inner
            if is_folder(row):
                yield from self.below(inner)
        yield from (other for other in self.rest if other.rpartition(b"/")[0] == path)

    def _found_in(
        self, folder: bytes, names: Collection[bytes] | None = None
    ) -> Iterator[tuple[bytes, Found]]:
        for row in self._rows(folder):
            if names is None or row.name in names:
                path = join(folder, row.name)
                yield path, self._with_target(path, _found(row))

    def _rows(self, folder: bytes) -> list[Row]:
        packed = self._now.get(folder)
        if packed is not None:
            return unpack_rows(packed)
        return [] if folder in self._gone else self._before(folder)

    def _before(self, folder: bytes) -> list[Row]:
        return unpack_rows(self._cache.rows(self._key, folder) or b"\x90")

    def _with_target(self, path: bytes, found: Found) -> Found:
        if found.kind == "link":
            with (
                suppress(OSError, UnsafePathError),
                self._folder.parent(join(self._root, path)) as (way, name),
            ):
                return found._replace(target=os.readlink(name, dir_fd=way))
        return found

    def remember(self, index: Tree, touched: Iterable[bytes], suspects: Iterable[bytes]) -> None:
        """Write down that what is there now fits an index; what does not is spoilt, so that it is looked at next time.

        Args:
            index: what a route has written here.
            touched: paths that this run made, changed or removed, the folders around them among them.
            suspects: paths that were not as the index says when this run looked.
        """
        gone = set(self._gone)
        by_folder: dict[bytes, set[bytes]] = {}
        for number, path in enumerate(chain(touched, suspects), 1):
            folder, _, name = path.rpartition(b"/")
            by_folder.setdefault(folder, set()).add(name)
            if number % _MANY == 0:
                self._look_again(by_folder, index, gone)
                by_folder = {}
        self._look_again(by_folder, index, gone)
        if index.digest == self.index and not self._now and not gone:
            return
        self._cache.remember(self._key, index.digest.encode(), rows=self._now.items(), gone=gone)
        self._cache.write()

    def _look_again(
        self, by_folder: Mapping[bytes, Collection[bytes]], index: Tree, gone: set[bytes]
    ) -> None:
        """Bring the rows of some names in some folders up to now; `gone` gets the folders that are not there."""
        for folder in sorted(by_folder):
            rows = self._rows_now(folder, by_folder[folder], index)
            if rows is None:
                gone.add(folder)
                self._now.pop(folder, None)
            else:
                self._now[folder] = pack_rows(rows)
                gone.discard(folder)

    def _rows_now(self, folder: bytes, names: Collection[bytes], index: Tree) -> list[Row] | None:
        """Give the rows of a folder, looking again at some names; None when there are none of a folder that is gone."""
        rows = {row.name: row for row in self._rows(folder)}
        try:
            descriptor = self._folder.open_folder(join(self._root, folder))
        except (FileNotFoundError, UnsafePathError):
            spoilt = [name for name in sorted(names) if index.get(join(folder, name)) is not None]
            return [_SPOILT._replace(name=name) for name in spoilt] or None
        try:
            for name in names:
                rows.pop(name, None)
                entry = index.get(join(folder, name))
                try:
                    status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                except FileNotFoundError:
                    if entry is not None:
                        rows[name] = _SPOILT._replace(name=name)
                    continue
                row = row_of(name, status)
                if row is not None:
                    fits = self._fits(row, join(folder, name), entry)
                    rows[name] = row if fits else row._replace(ctime_ns=_NEVER)
        finally:
            os.close(descriptor)
        return [rows[name] for name in sorted(rows)]

    def _fits(self, row: Row, path: bytes, entry: Entry | None) -> bool:
        """Whether what is there is what the index says, as far as can be told; what it does not name always is."""
        if entry is None:
            return True
        found = self._with_target(path, _found(row))
        if found.kind != entry.kind or not same_time(found.mtime_ns, entry.mtime_ns):
            return False
        if found.kind == "link":
            return found.target == entry.target
        return found.size == entry.size and found.mode == entry.mode


def _is_alone() -> bool:
    """Say whether this process has one thread, and runs where a child can answer through memory."""
    try:
        return hasattr(os, "memfd_create") and len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208 -- names are enough
    except OSError:
        return False


def _found(row: Row) -> Found:
    mode = row.mode & MODE_BITS
    if stat.S_ISREG(row.mode):
        return Found("file", row.size, mode, row.mtime_ns)
    if stat.S_ISDIR(row.mode):
        return Found("folder", 0, mode, row.mtime_ns)
    return Found("link" if stat.S_ISLNK(row.mode) else "other", 0, mode, row.mtime_ns)
