"""What a device remembers across restarts: installations, bitmaps, the last desired document and counters, in SQLite.

The only door to sqlite3 besides the outbox. `install` saves each arrow here before it acts, `disk` writes a bitmap here
after the data it speaks of is durable. Files lie beside it, see `folders`. Any thread may call; calls take turns.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

from edge_runtime.drill import NO_DRILL, Drill, Write
from toolkit.errors import StoreError
from toolkit.protocol.bitmap import Bitmap
from toolkit.protocol.installation import Installation
from toolkit.wire.document import decode_json, encode_json

LAYOUT: Final = 1
Counter = Literal["starts", "report_seq", "desired_seq", "desired_fence", "client_mark"]


@dataclass(frozen=True)
class Tally:
    """What has come for an artifact: chunks taken from this device, bytes over the link, damaged chunks."""

    seeded: int = 0
    received: int = 0
    resent: int = 0
    bad: int = 0
    patched: int = 0
    """Chunks that a patch made."""


class Store:
    """The database of a state folder."""

    def __init__(self, file: Path, drill: Drill = NO_DRILL) -> None:
        """Open the database, making it if need be.

        Raises:
            StoreError: it cannot be opened, or is of a newer layout.
        """
        self._lock = threading.Lock()
        self._drill = drill
        self._file = file
        try:
            try:
                self._open("NORMAL")
            except sqlite3.OperationalError as error:
                if "locked" in str(error) or not file.exists() or not file.stat().st_size:
                    raise
                # A full disk has no room for the file that readers share (-shm): alone it goes without, and what is
                # there can be read, and written too as soon as there is room.
                self._open("EXCLUSIVE")
        except (sqlite3.Error, OSError) as error:
            hint = f"look at the disk; to begin anew: tiers-edge wipe --state {file.parent}"
            raise StoreError(f"{file} cannot be used: {error}", hint=hint) from error

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    # ------------------------------------------------------------ counters and the desired document
    def count(self, name: Counter) -> int:
        """Give a counter's value; 0 before it was ever set."""
        with self._transaction() as db:
            return self._count(db, name)

    def next(self, name: Counter) -> int:
        """Add one to a counter and give its new value."""
        with self._writing("counter") as db:
            return self._next(db, name)

    def client_mark(self) -> str:
        """Give what makes this device's client id one that nobody can guess; chosen once, then kept.

        A kill in between costs nothing: another one is chosen.
        """
        with self._transaction() as db:
            if not self._count(db, "client_mark"):
                self._set(db, "client_mark", 1 + secrets.randbits(62))
            return f"{self._count(db, 'client_mark'):016x}"

    def desired(self) -> bytes | None:
        """Give the last desired document that was obeyed, or None."""
        with self._transaction() as db:
            row = db.execute("SELECT payload FROM desired").fetchone()
            return bytes(row[0]) if row else None

    def save_desired(self, payload: bytes, seq: int, fence: int) -> None:
        """Keep a desired document together with its high-water marks, before it is obeyed."""
        with self._writing("desired") as db:
            db.execute("INSERT OR REPLACE INTO desired VALUES (1, ?)", (payload,))
            self._set(db, "desired_seq", seq)
            self._set(db, "desired_fence", fence)

    # ------------------------------------------------------------ installations
    def installations(self) -> dict[str, Installation]:
        """Give all installations by model.

        Raises:
            StoreError: one cannot be read.
        """
        with self._transaction() as db:
            rows = db.execute("SELECT model, document FROM installation ORDER BY model").fetchall()
        try:
            return {
                model: decode_json(bytes(document), Installation, what=f"installation of {model}")
                for model, document in rows
            }
        except Exception as error:
            raise StoreError(f"{self._file}: {error}") from error

    def save_installation(self, installation: Installation) -> int:
        """Keep an installation as it is after an arrow; give the number of the report that tells of it."""
        with self._writing("installation") as db:
            row = (installation.model, encode_json(installation))
            db.execute("INSERT OR REPLACE INTO installation VALUES (?, ?)", row)
            return self._next(db, "report_seq")

    # ------------------------------------------------------------ artifacts
    def artifacts(self) -> dict[str, str]:
        """Give all artifacts that are known, and the model of each."""
        with self._transaction() as db:
            return dict(db.execute("SELECT artifact, model FROM artifact").fetchall())

    def sealed_manifest(self, artifact: str) -> bytes | None:
        """Give an artifact's manifest as it came, or None."""
        with self._transaction() as db:
            row = db.execute("SELECT sealed FROM artifact WHERE artifact = ?", (artifact,)).fetchone()
            return bytes(row[0]) if row else None

    def save_manifest(self, artifact: str, model: str, sealed: bytes) -> None:
        """Keep an artifact's manifest; its bitmap and counts stay if they are there."""
        with self._writing("manifest") as db:
            db.execute(
                "INSERT INTO artifact (artifact, model, sealed) VALUES (?, ?, ?)"
                " ON CONFLICT (artifact) DO UPDATE SET sealed = excluded.sealed",
                (artifact, model, sealed),
            )

    def bitmap(self, artifact: str, chunks: int) -> Bitmap:
        """Give the bitmap of an artifact's part file; empty when there is none of this size."""
        with self._transaction() as db:
            row = db.execute("SELECT chunks, bitmap FROM artifact WHERE artifact = ?", (artifact,)).fetchone()
        if row is None or row[0] != chunks or not row[1]:
            return Bitmap.empty(chunks)
        return Bitmap.load(chunks, bytes(row[1]))

    def save_bitmap(self, artifact: str, bitmap: Bitmap) -> None:
        """Keep a bitmap. The data that it speaks of must be durable already."""
        with self._writing("bitmap") as db:
            db.execute(
                "UPDATE artifact SET chunks = ?, bitmap = ? WHERE artifact = ?",
                (bitmap.size, bitmap.raw, artifact),
            )

    def tally(self, artifact: str) -> Tally:
        """Give what has come for an artifact, as last saved."""
        with self._transaction() as db:
            query = "SELECT seeded, received, resent, bad, patched FROM artifact WHERE artifact = ?"
            row = db.execute(query, (artifact,)).fetchone()
        return Tally(*row) if row else Tally()

    def save_tally(self, artifact: str, tally: Tally) -> None:
        """Keep what has come for an artifact."""
        with self._writing("tally") as db:
            db.execute(
                "UPDATE artifact SET seeded = ?, received = ?, resent = ?, bad = ?, patched = ? WHERE artifact = ?",
                (*astuple(tally), artifact),
            )

    def move_tally(self, patch: str, target: str) -> None:
        """Count what came for a patch as come for its target, once: both in one step."""
        with self._writing("tally") as db:
            db.execute(
                "UPDATE artifact SET (received, resent, bad) = (SELECT artifact.received + patch.received,"
                " artifact.resent + patch.resent, artifact.bad + patch.bad FROM artifact AS patch"
                " WHERE patch.artifact = ?1) WHERE artifact = ?2"
                " AND EXISTS (SELECT 1 FROM artifact WHERE artifact = ?1)",
                (patch, target),
            )
            db.execute("UPDATE artifact SET received = 0, resent = 0, bad = 0 WHERE artifact = ?", (patch,))

    def save_progress(self, artifact: str, bitmap: Bitmap, tally: Tally) -> None:
        """Keep a bitmap, whose data must be durable already, and the counts that belong to it, at one flush."""
        with self._writing("bitmap") as db:
            db.execute(
                "UPDATE artifact SET chunks = ?, bitmap = ?, seeded = ?, received = ?, resent = ?, bad = ?, patched = ?"
                " WHERE artifact = ?",
                (bitmap.size, bitmap.raw, *astuple(tally), artifact),
            )

    def forget(self, artifact: str) -> None:
        """Forget an artifact."""
        with self._writing("forget") as db:
            db.execute("DELETE FROM artifact WHERE artifact = ?", (artifact,))

    # ------------------------------------------------------------ inside
    def _open(self, locking: Literal["NORMAL", "EXCLUSIVE"]) -> None:
        self._db = sqlite3.connect(self._file, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            self._db.execute(f"PRAGMA locking_mode = {locking}")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    @contextmanager
    def _writing(self, what: Write) -> Iterator[sqlite3.Connection]:
        with self._drill.write(what), self._transaction() as db:
            yield db

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                hint = "look at the disk: is it full, or read-only?"
                raise StoreError(f"{self._file} cannot be written: {error}", hint=hint) from error

    def _prepare(self) -> None:
        (layout,) = self._db.execute("PRAGMA user_version").fetchone()
        if layout > LAYOUT:
            message = f"{self._file} has layout {layout}; this version reads {LAYOUT}"
            raise StoreError(message, hint="update tiers on this device, or begin anew: tiers-edge wipe")
        if layout == 0:
            schema = (files("edge_runtime") / "schema.sql").read_text(encoding="utf-8")
            self._db.executescript(f"BEGIN; {schema}; PRAGMA user_version = {LAYOUT}; COMMIT;")
        columns = {row[1] for row in self._db.execute("PRAGMA table_info(artifact)")}
        if "patched" not in columns:
            # Of a version before patches; it goes on working with the column, should it come back.
            self._db.execute("ALTER TABLE artifact ADD COLUMN patched INTEGER NOT NULL DEFAULT 0")

    @staticmethod
    def _count(db: sqlite3.Connection, name: Counter) -> int:
        row = db.execute("SELECT value FROM counter WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    @staticmethod
    def _set(db: sqlite3.Connection, name: Counter, value: int) -> None:
        db.execute("INSERT OR REPLACE INTO counter VALUES (?, ?)", (name, value))

    def _next(self, db: sqlite3.Connection, name: Counter) -> int:
        value = self._count(db, name) + 1
        self._set(db, name, value)
        return value
