"""What the last run saw, so that what has not changed is not looked at again: rows of folders, parts of an index.

`scan` asks per folder and brings what it has read; `layouts.sight` does the same for a mirror. A cache is only ever a
hint that can be thrown away: when its database is damaged, locked or cannot be written, files are read. It lies in the
sidecar of the storage that it describes (`.tiers/scan.sqlite`, `.tiers/seen.sqlite`). What is to be remembered is held
back and written at the end, all of it or nothing, so that another run does not wait.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from toolkit.wire.extras import Extras

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE rows (
    key BLOB NOT NULL, folder BLOB NOT NULL, packed BLOB NOT NULL, PRIMARY KEY (key, folder)
) WITHOUT ROWID;
CREATE TABLE parts (
    key BLOB NOT NULL, digest BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY (key, digest)
) WITHOUT ROWID;
CREATE TABLE states (key BLOB PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 3;
"""
_VERSION = 3
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
    """A file as the cache knows it: facts, packed chunk list (`wire.index.pack_refs`), holes and extended attributes.

    A change of the attributes shows in the facts too: it moves the ctime.
    """

    facts: Facts
    chunks: bytes
    extras: Extras | None = None


class ScanCache:
    """The cache of one storage. For one thread; `close` writes it.

    A key says what is remembered of (a folder and a grid, or a route); each key has one state, the rows of folders,
    and parts of an index.
    """

    def __init__(self, file: str | None, *, patience_seconds: float = 2.0) -> None:
        """Open or make it.

        Args:
            file: where it lies; None remembers nothing.
            patience_seconds: how long to wait for another run that holds it.
        """
        self._database: sqlite3.Connection | None = None
        self._held_back: list[tuple[str, list[tuple[bytes, ...]]]] = []
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

    @property
    def remembers(self) -> bool:
        """Whether what it is told will be there the next time."""
        return self._database is not None

    def state(self, key: bytes) -> bytes | None:
        """Give the state of a key."""
        return self._one("SELECT state FROM states WHERE key = ?", (key,))

    def rows(self, key: bytes, folder: bytes) -> bytes | None:
        """Give the packed rows of a folder."""
        return self._one("SELECT packed FROM rows WHERE key = ? AND folder = ?", (key, folder))

    def folders(self, key: bytes) -> list[bytes]:
        """List the folders that have rows, in order."""
        found = self._all("SELECT folder FROM rows WHERE key = ? ORDER BY folder", (key,))
        return [folder for (folder,) in found]

    def part(self, key: bytes, digest: bytes) -> bytes | None:
        """Give a part of an index."""
        return self._one("SELECT data FROM parts WHERE key = ? AND digest = ?", (key, digest))

    def remember(
        self,
        key: bytes,
        state: bytes,
        *,
        rows: Iterable[tuple[bytes, bytes]] = (),
        gone: Iterable[bytes] = (),
        parts: Iterable[tuple[bytes, bytes]] = (),
        old_parts: Iterable[bytes] = (),
    ) -> None:
        """Hold back what is to be written when it is closed.

        Args:
            key: what it is about.
            state: takes the place of the old one.
            rows: folders with their packed rows.
            gone: folders whose rows are forgotten.
            parts: digests and bytes of parts that are new.
            old_parts: digests of parts that are forgotten.
        """
        if self._database is None:
            return
        self._held_back += [
            ("DELETE FROM rows WHERE key = ? AND folder = ?", [(key, folder) for folder in gone]),
            ("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", [(key, *row) for row in rows]),
            ("DELETE FROM parts WHERE key = ? AND digest = ?", [(key, digest) for digest in old_parts]),
            ("INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", [(key, *part) for part in parts]),
            ("INSERT OR REPLACE INTO states VALUES (?, ?)", [(key, state)]),
        ]

    def forget(self, key: bytes) -> None:
        """Forget all about a key, at the end."""
        self._held_back = [
            (f"DELETE FROM {table} WHERE key = ?", [(key,)])  # noqa: S608 -- names of ours
            for table in ("rows", "parts", "states")
        ]

    def write(self) -> None:
        """Write what was held back."""
        held_back, self._held_back = self._held_back, []
        if self._database is None or not held_back:
            return
        try:
            for statement, values in held_back:
                if values:
                    self._database.executemany(statement, values)
            self._database.commit()
        except sqlite3.Error as error:
            self._give_up(error)

    def close(self) -> None:
        """Write what was held back and let go of the file."""
        self.write()
        if self._database is not None:
            self._database.close()
            self._database = None

    def _one(self, question: str, values: tuple[bytes, ...]) -> bytes | None:
        found = self._all(question, values)
        return found[0][0] if found and isinstance(found[0][0], bytes) else None

    def _all(self, question: str, values: tuple[bytes, ...]) -> list[tuple[bytes, ...]]:
        if self._database is None:
            return []
        try:
            return self._database.execute(question, values).fetchall()
        except sqlite3.Error as error:
            self._give_up(error)
            return []

    def _give_up(self, error: Exception) -> None:
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
        database.execute("SELECT count(*) FROM states").fetchone()
    except BaseException:
        database.close()
        raise
    return database


def now_ns() -> int:
    """Give the time of the clock that files are stamped with, in nanoseconds since 1970."""
    return time.time_ns()
