"""The source of a run, whatever its layout: what it holds, where its chunks are, how it is emptied.

`run` looks, hands the chunks to the targets, looks again when a file was torn, and empties it at the end if it is to.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from typing import Protocol

from toolkit.errors import SyncError, UnsafePathError, UsageError
from toolkit.sync.cache import ScanCache, facts_of
from toolkit.sync.chunk_source import ChunkSource, FolderSource, PackSource
from toolkit.sync.folder import Cursor, Folder, unavailable
from toolkit.sync.layouts.disk import SIDECAR
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.pull import pull_index
from toolkit.sync.read import join
from toolkit.sync.scan import Scan, scan
from toolkit.sync.selection import Selection
from toolkit.sync.task import SyncTask
from toolkit.wire.index import Index


class Source(Protocol):
    """A source at work. For one thread; its chunks may be asked for by several."""

    def look(self) -> Scan:
        """Find out what it holds now.

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
        self._cache_file = self._find_cache() if remember else None
        self._scan = Scan(Index())
        self._chunks = FolderSource(self._folder, self._root, self._scan.index)

    def look(self) -> Scan:
        """Scan the folder; see `Source.look`."""
        cache = ScanCache(self._cache_file)
        try:
            self._scan = scan(
                self._folder, self._root, grid=self._grid, selection=self._selection, cache=cache
            )
        except FileNotFoundError as error:
            raise SyncError(
                f"{self._folder.path} has no folder {os.fsdecode(self._root)!r}",
                hint="make it, or look at `path` of the route",
            ) from error
        except OSError as error:
            raise unavailable(error, self._folder.path) from error
        finally:
            cache.close()
        self._chunks.close()
        self._chunks = FolderSource(self._folder, self._root, self._scan.index)
        return self._scan

    @property
    def chunks(self) -> ChunkSource:
        """The chunks of the files."""
        return self._chunks

    def remove(self, paths: Collection[bytes]) -> int:
        """Delete files; see `Source.remove`."""
        removed = 0
        with Cursor(self._folder) as cursor:
            for path in sorted(paths):
                with suppress(OSError, UnsafePathError):
                    way, name = cursor.at(join(self._root, path))
                    if facts_of(os.stat(name, dir_fd=way, follow_symlinks=False)) == self._scan.facts[path]:
                        os.unlink(name, dir_fd=way)
                        removed += 1
        return removed

    def close(self) -> None:
        """Close the files."""
        self._chunks.close()

    def _find_cache(self) -> str | None:
        try:
            with self._folder.folder(SIDECAR, create=True):
                return os.path.join(self._folder.path, os.fsdecode(SIDECAR), "scan.sqlite")  # noqa: PTH118 -- for SQLite
        except (OSError, UnsafePathError):
            return None  # a source that is read-only is read in full each time


class StoreTree:
    """A store of packs as a source."""

    def __init__(self, store: PackStore, task: SyncTask, selection: Selection) -> None:
        """Read from a store.

        Raises:
            UsageError: the task wants the source emptied, which packs cannot be.
        """
        if task.then == "remove_source":
            raise UsageError(
                f"route {task.route}: a source in packs cannot be emptied file by file",
                hint="write `then: keep_source`, or give the source tier the layout mirror",
            )
        self._store = store
        self._path = task.path
        self._selection = selection
        self._chunks = PackSource(store)

    def look(self) -> Scan:
        """Read the Refs and indexes of the path; see `Source.look`."""
        self._store.refresh()
        return Scan(pull_index(self._store, self._path, self._selection))

    @property
    def chunks(self) -> ChunkSource:
        """The chunks of the packs."""
        return self._chunks

    def remove(self, paths: Collection[bytes]) -> int:
        """Nothing is deleted from packs here; the constructor has refused it."""
        del paths
        return 0

    def close(self) -> None:
        """Nothing is open."""
