"""Some files of a folder, named one by one, as the source of a run: for who has decided about each of them.

`scan` walks a folder and takes what fits; `policies.carry_out` knows the paths, so nothing else is looked at or read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

from toolkit.sync.cache import Facts, facts_of
from toolkit.sync.chunk_source import ChunkSource, FolderSource
from toolkit.sync.events import FileProblem, file_problem
from toolkit.sync.folder import Cursor, Folder
from toolkit.sync.layouts.disk import MODE_BITS
from toolkit.sync.read import FileReader, GridKind, Tap, Wanted, join
from toolkit.sync.scan import Scan
from toolkit.sync.task import SyncTask
from toolkit.wire.index import Entry, Index
from toolkit.wire.paths import check_path

_BATCH = 64


def scan_listed(folder: Folder, root: bytes, paths: Iterable[bytes], *, grid: GridKind = "data") -> Scan:
    """Make an Index of some files; what is not there, or is no plain file, is left out without a word.

    Args:
        folder: the storage.
        root: folder below it that the paths are relative to; empty is the storage itself.
        paths: which files.
        grid: how finely they are cut.

    Raises:
        UnsafePathError: a path would leave the storage.
    """
    wanted: list[Wanted] = []
    problems: list[FileProblem] = []
    with Cursor(folder) as cursor:
        for path in sorted(set(paths)):
            try:
                way, name = cursor.at(join(root, check_path(path)))
                status = os.stat(name, dir_fd=way, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                problems.append(file_problem(path, "unreadable", error.strerror or str(error)))
                continue
            if stat.S_ISREG(status.st_mode):
                wanted.append(Wanted(path, facts_of(status), status.st_mode & MODE_BITS))
    entries: list[Entry] = []
    facts: dict[bytes, Facts] = {}
    total = 0
    with ThreadPoolExecutor(2, "listed") as pool, ThreadPoolExecutor(2, "hash") as hashers:
        reader = FileReader(folder, root, grid, hashers)
        batches = [wanted[at : at + _BATCH] for at in range(0, len(wanted), _BATCH)]
        for read in (read for batch in pool.map(reader.read_batch, batches) for read in batch):
            total += read.bytes_read
            if read.problem is not None:
                problems.append(read.problem)
            if read.known is None:
                continue
            known, seen = read.known, read.wanted
            facts[seen.path] = known.facts
            entries.append(
                Entry(
                    seen.path,
                    "file",
                    known.facts.size,
                    seen.mode,
                    known.facts.mtime_ns,
                    known.chunks,
                    extras=known.extras,
                )
            )
    return Scan(
        Index(entries=tuple(entries)),
        frozenset(wanted_path for wanted_path in (each.path for each in wanted) if wanted_path not in facts),
        facts,
        tuple(problems),
        files_read=len(entries),
        bytes_read=total,
    )


class ListedTree:
    """Some files of a folder as a source; see `source.Source`."""

    def __init__(self, path: str, task: SyncTask, paths: Collection[bytes]) -> None:
        """Open a storage.

        Args:
            path: root of the storage.
            task: says which folder of it, and how finely it is cut.
            paths: the files, relative to that folder.
        """
        self._folder = Folder(path)
        self._root = task.path.encode()
        self._grid: GridKind = task.grid
        self._paths = frozenset(paths)
        self._chunks = FolderSource(self._folder, self._root, Index())

    def look(self, tap: Tap | None = None) -> Scan:
        """Read the files; see `Source.look`. Nobody takes their bytes on the way."""
        del tap
        found = scan_listed(self._folder, self._root, self._paths, grid=self._grid)
        self._chunks.close()
        self._chunks = FolderSource(self._folder, self._root, found.index)
        return found

    @property
    def chunks(self) -> ChunkSource:
        """The chunks of the files."""
        return self._chunks

    def remove(self, paths: Collection[bytes]) -> int:
        """Nothing is deleted: who lists files decides by himself what becomes of them."""
        del paths
        return 0

    def close(self) -> None:
        """Close the files."""
        self._chunks.close()
        self._folder.close()
