"""The source of a run, whatever its layout: what it holds, where its chunks are, how it is emptied.

`run` looks, hands the chunks to the targets, looks again when a file was torn, and empties it at the end if it is to.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from typing import Protocol

from toolkit.errors import SyncError, UnsafePathError
from toolkit.sync.blocks import BlockMemory
from toolkit.sync.cache import Facts, ScanCache, facts_of
from toolkit.sync.chunk_source import ChunkSource, FolderSource, PackSource
from toolkit.sync.folder import Cursor, Folder, unavailable
from toolkit.sync.layouts.disk import SIDECAR
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.pull import Held, held_under, pulled, take_out
from toolkit.sync.read import Tap, join
from toolkit.sync.scan import Scan, scan
from toolkit.sync.selection import Selection
from toolkit.sync.task import SyncTask
from toolkit.wire.index import Index


class Source(Protocol):
    """A source at work. For one thread; its chunks may be asked for by several."""

    def look(self, tap: Tap | None = None) -> Scan:
        """Find out what it holds now; `tap` may take the bytes of large files on the way.

        Raises:
            SyncError: it does not have the path.
            RemoteUnavailableError: it does not answer.
        """
        ...

    @property
    def chunks(self) -> ChunkSource:
        """The chunks of what was found last."""
        ...

    def remove(self, paths: Collection[bytes]) -> int:
        """Delete files that have not changed since they were looked at; give their number."""
        ...

    def close(self) -> None:
        """Let go of files."""
        ...


class FolderTree:
    """A folder with files as a source."""

    def __init__(self, path: str, task: SyncTask, selection: Selection, *, remember: bool) -> None:
        """Open a storage.

        Args:
            path: root of the storage.
            task: says which folder of it, and how finely it is cut.
            selection: which files are taken.
            remember: keep a scan cache in the storage's sidecar, if it can be written.
        """
        self._folder = Folder(path)
        self._root = task.path.encode()
        self._grid = task.grid
        self._selection = selection
        sidecar = self._find_sidecar() if remember else None
        self._cache_file = f"{sidecar}/scan.sqlite" if sidecar else None
        self._blocks = BlockMemory(f"{sidecar}/blocks.sqlite") if sidecar else None
        self._scan = Scan(Index())
        self._cache = ScanCache(None)
        """Open as long as the source is: parts of a large index are read from it."""
        self._empties = task.then == "remove_source"
        self._chunks = FolderSource(self._folder, self._root, self._scan.index, self._blocks)

    def look(self, tap: Tap | None = None) -> Scan:
        """Scan the folder; see `Source.look`."""
        self._cache.close()
        self._cache = cache = ScanCache(self._cache_file)
        try:
            self._scan = scan(
                self._folder,
                self._root,
                grid=self._grid,
                selection=self._selection,
                cache=cache,
                tap=tap,
                keep_facts=self._empties,
            )
        except FileNotFoundError as error:
            raise SyncError(
                f"{self._folder.path} has no folder {os.fsdecode(self._root)!r}",
                hint="make it, or look at `path` of the route",
            ) from error
        except OSError as error:
            raise unavailable(error, self._folder.path) from error
        self._chunks.close()
        self._chunks = FolderSource(self._folder, self._root, self._scan.index, self._blocks)
        return self._scan

    @property
    def chunks(self) -> ChunkSource:
        """The chunks of the files."""
        return self._chunks

    def remove(self, paths: Collection[bytes]) -> int:
        """Delete files; see `Source.remove`."""
        removed = 0
        ours: dict[int, Facts] = {}
        with Cursor(self._folder) as cursor:
            for path in sorted(paths):
                with suppress(OSError, UnsafePathError):
                    way, name = cursor.at(join(self._root, path))
                    status = os.stat(name, dir_fd=way, follow_symlinks=False)
                    if facts_of(status) not in (self._scan.facts[path], ours.get(status.st_ino)):
                        continue
                    if status.st_nlink > 1:
                        ours[status.st_ino] = _unlink_one_of(way, name)
                    else:
                        os.unlink(name, dir_fd=way)
                    removed += 1
        return removed

    def close(self) -> None:
        """Close the files."""
        self._chunks.close()
        self._cache.close()
        if self._blocks is not None:
            self._blocks.close()

    def _find_sidecar(self) -> str | None:
        try:
            with self._folder.folder(SIDECAR, create=True):
                return f"{self._folder.path}/{os.fsdecode(SIDECAR)}"
        except (OSError, UnsafePathError):
            return None  # a source that is read-only is read in full each time


def _unlink_one_of(way: int, name: bytes) -> Facts:
    """Take away one of several names, which is a change of the file; give the facts that the others have now."""
    descriptor = os.open(name, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=way)
    try:
        os.unlink(name, dir_fd=way)
        return facts_of(os.fstat(descriptor))
    finally:
        os.close(descriptor)


class StoreTree:
    """A store of packs as a source."""

    def __init__(self, store: PackStore, task: SyncTask, selection: Selection) -> None:
        """Read from a store."""
        self._store = store
        self._path = task.path
        self._selection = selection
        self._chunks = PackSource(store)
        self._held: list[Held] = []

    def look(self, tap: Tap | None = None) -> Scan:
        """Read the Refs and indexes of the path; see `Source.look`."""
        del tap  # files are not read here
        self._store.refresh()
        self._held = held_under(self._store, self._path)
        return Scan(pulled(self._held, self._selection))

    @property
    def chunks(self) -> ChunkSource:
        """The chunks of the packs."""
        return self._chunks

    def remove(self, paths: Collection[bytes]) -> int:
        """Write states without them; `sync.gc` frees their chunks once no state of the history names them."""
        return take_out(self._store, self._held, paths)

    def close(self) -> None:
        """Read no more."""
        self._chunks.close()
