"""What the last scan saw, so that a file whose facts have not changed is not read again.

`scan` asks per folder and brings what it has read. A cache is only ever a hint that can be thrown away: when its
database is damaged, locked or cannot be written, files are read. It lies in the sidecar of the storage that it
describes (`.tiers/scan.sqlite`).
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    grid TEXT NOT NULL, folder BLOB NOT NULL, name BLOB NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
    chunks BLOB NOT NULL,
    PRIMARY KEY (grid, folder, name)
) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
_VERSION = 1
_FINE_SETTLE_NS = 50_000_000
_COARSE_SETTLE_NS = 2_000_000_000
"""A file that was changed so shortly before it was read may change again within the same tick of its clock, and look
the same; it is read again next time. File systems with whole seconds need longer (the "racy git" problem)."""


class Facts(NamedTuple):
    """What tells that a file is still the same one: size, times in nanoseconds, inode."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def facts_of(status: os.stat_result) -> Facts:
    """Take the facts out of what the operating system says."""
    return Facts(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def has_settled(facts: Facts, now_ns: int) -> bool:
    """Say whether a later change of the file is sure to show in its facts."""
    coarse = facts.mtime_ns % 1_000_000_000 == 0 and facts.ctime_ns % 1_000_000_000 == 0
    return now_ns - max(facts.mtime_ns, facts.ctime_ns) > (_COARSE_SETTLE_NS if coarse else _FINE_SETTLE_NS)


class Known(NamedTuple):
    """A file as the cache knows it: its facts and its packed chunk list (`wire.index.pack_refs`)."""

    facts: Facts
    chunks: bytes


class ScanCache:
    """The cache of one storage. For one thread; `close` writes it."""

    def __init__(self, file: str | None, *, patience_seconds: float = 2.0) -> None:
        """Open or make it.

        Args:
            file: where it lies; None remembers nothing.
            patience_seconds: how long to wait for another run that holds it.
        """
        self._database: sqlite3.Connection | None = None
        if file is None:
            return
        try:
            self._database = _open(file, patience_seconds)
        except sqlite3.OperationalError as error:
            log.info(
                "scan cache %s is not used: %s", file, error
            )  # another run holds it, or it cannot be written
        except (sqlite3.Error, OSError) as error:
            log.info("scan cache %s is made anew: %s", file, error)
            with suppress(sqlite3.Error, OSError):
                Path(file).unlink()
                self._database = _open(file, patience_seconds)

    def known(self, grid: str, folder: bytes) -> Mapping[bytes, Known]:
        """Give what is known of the files in one folder, by name."""
        if self._database is None:
            return {}
        try:
            rows = self._database.execute(
                "SELECT name, size, mtime_ns, ctime_ns, inode, chunks FROM files WHERE grid = ? AND folder = ?",
                (grid, folder),
            ).fetchall()
        except sqlite3.Error as error:
            self._give_up(error)
            return {}
        return {
            name: Known(Facts(size, mtime, ctime, inode), chunks)
            for name, size, mtime, ctime, inode, chunks in rows
        }

    def learn(self, grid: str, files: Iterable[tuple[bytes, bytes, Known]], read_at_ns: int) -> None:
        """Remember files that were read: folder, name and what is known. Files that have not settled are left out."""
        rows = [
            (grid, folder, name, *known.facts, known.chunks)
            for folder, name, known in files
            if has_settled(known.facts, read_at_ns)
        ]
        if self._database is None or not rows:
            return
        try:
            self._database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def forget(self, grid: str, files: Iterable[tuple[bytes, bytes]]) -> None:
        """Forget files that are gone: folder and name."""
        rows = [(grid, folder, name) for folder, name in files]
        if self._database is None or not rows:
            return
        try:
            self._database.executemany("DELETE FROM files WHERE grid = ? AND folder = ? AND name = ?", rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def folders(self, grid: str, below: bytes) -> list[bytes]:
        """List the folders it knows at and below one (all for an empty path)."""
        if self._database is None:
            return []
        try:
            rows = self._database.execute(
                "SELECT DISTINCT folder FROM files WHERE grid = ?", (grid,)
            ).fetchall()
        except sqlite3.Error as error:
            self._give_up(error)
            return []
        return [
            folder for (folder,) in rows if not below or folder == below or folder.startswith(below + b"/")
        ]

    def close(self) -> None:
        """Write what was learned and let go of the file."""
        if self._database is None:
            return
        try:
            self._database.commit()
        except sqlite3.Error as error:
            log.info("scan cache was not written: %s", error)
        self._database.close()
        self._database = None

    def _give_up(self, error: sqlite3.Error) -> None:
        log.info("scan cache is not used: %s", error)
        if self._database is not None:
            self._database.close()
            self._database = None


def _open(file: str, patience_seconds: float) -> sqlite3.Connection:
    if Path(file).is_symlink():
        raise OSError(f"{file} is a link")
    database = sqlite3.connect(file, timeout=patience_seconds)
    try:
        # Losing the cache costs one reading, so it need not survive a loss of power.
        database.execute("PRAGMA synchronous = OFF")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError(f"version {version}")  # noqa: TRY301 -- closed like any other damage
        if version == 0:
            database.executescript(_SCHEMA)
        database.execute("SELECT count(*) FROM files WHERE grid = ''").fetchone()
    except BaseException:
        database.close()
        raise
    return database


def now_ns() -> int:
    """Give the time of the clock that files are stamped with, in nanoseconds since 1970."""
    return time.time_ns()
