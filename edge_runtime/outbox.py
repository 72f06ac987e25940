"""The outbox' file: records that wait for the cloud, in SQLite, inside a byte budget that holds at every moment.

`posting` gathers what the daemon and local programs put down and is the only one that calls this, from one thread;
`drain` reads it in order and has deleted what is stored elsewhere. The second door to sqlite3, beside `store`.

How the budget holds. The file has at most `cap` pages in use after each transaction: what is beyond is dropped inside
the transaction that brought it, lowest priority first and oldest first, and counted there too, so that a count is as
durable as the drop. One transaction brings at most `step` bytes, so the file never has more than cap + 2 steps, which
SQLite enforces (max_page_count); the log (WAL) is emptied when a transaction has left more than 2 steps in it, so it
never has more than 4. Budget = cap + 6 steps. Room once taken stays taken: a disk that fills up later cannot have it.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

from edge_runtime.drill import NO_DRILL, Drill, RecordWrite
from edge_runtime.sealing import Plain, Seal
from toolkit.errors import IntegrityError, StoreError
from toolkit.wire.records import MAX_BATCH_RECORDS, PRIORITIES, RECORD_OVERHEAD, Marks, Record

LAYOUT: Final = 1
PAGE: Final = 4096
MIN_BYTES: Final = 2 * 1024 * 1024
"""Smallest budget."""
STEP_BYTES: Final = (128 * 1024, 1024 * 1024)
"""Least and most that one transaction brings."""
ROW_OVERHEAD: Final = 48
"""Bytes of a row beside its payload, about; at-rest seals come on top."""
OTHER: Final = "other"
KINDS: Final = 64
"""Kinds whose drops are counted apart; further ones count as OTHER, so that nobody fills the disk with words."""
_SPARE_PAGES: Final = 24
_LOOK_ROWS: Final = 4096


class _Statements(NamedTuple):
    """What is asked of one priority's table; @ stands for its number."""

    insert: str = "INSERT INTO record_@ VALUES (?, ?, ?, ?, ?, ?)"
    read: str = "SELECT * FROM record_@ WHERE seq > ? ORDER BY seq LIMIT ?"
    seqs: str = "SELECT seq FROM record_@ WHERE seq <= ? ORDER BY seq LIMIT ?"
    oldest: str = "SELECT seq, kind, length(payload) FROM record_@ ORDER BY seq LIMIT ?"
    first: str = "SELECT at_ms FROM record_@ ORDER BY seq LIMIT 1"
    delete: str = "DELETE FROM record_@ WHERE seq <= ?"
    delete_one: str = "DELETE FROM record_@ WHERE seq = ?"
    length: str = "SELECT count(*) FROM record_@"


_SQL: Final = {
    each: _Statements(*(text.replace("@", str(each)) for text in _Statements())) for each in PRIORITIES
}


class Entry(NamedTuple):
    """A record that has no number yet."""

    kind: str
    priority: int
    at_ms: int
    up_ms: int
    trusted: bool
    payload: bytes

    @property
    def cost(self) -> int:
        """Bytes by which a transaction is measured."""
        return len(self.payload) + ROW_OVERHEAD


@dataclass(frozen=True)
class Fill:
    """How full an outbox is, and what it has dropped since it began."""

    records: Marks = (0, 0, 0)
    """That wait, of each priority."""
    used_bytes: int = 0
    """Of the file; what is above `cap_bytes` is dropped."""
    cap_bytes: int = 0
    dropped: Mapping[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    """Kind and priority -> records and bytes of payload that were dropped."""
    oldest_ms: int = 0
    """When the oldest record that waits was put down, by the device's clock; 0 when none waits."""


class OutboxFile:
    """The database. For one thread."""

    def __init__(
        self, file: Path, max_bytes: int, *, seal: Seal | None = None, drill: Drill = NO_DRILL
    ) -> None:
        """Open the file, making it if need be; a budget that became smaller is obeyed at once.

        Args:
            file: where it lies; nobody else may have it open.
            max_bytes: budget for the file and its log together, at least MIN_BYTES.
            seal: how payloads rest.
            drill: moments at which to stop.

        Raises:
            StoreError: it cannot be opened, is of a newer layout, or its payloads are sealed by another key.
        """
        self._file, self._seal, self._drill = file, seal or Plain(), drill
        self.step_bytes = min(max(max_bytes // 32, STEP_BYTES[0]), STEP_BYTES[1])
        step = self.step_bytes // PAGE
        self._cap = max(max_bytes, MIN_BYTES) // PAGE - 6 * step - _SPARE_PAGES
        self._wal = file.with_name(file.name + "-wal")
        self._dropped: dict[tuple[str, int], tuple[int, int]] = {}
        self._waiting: dict[int, int] = {}
        self.epoch = ""
        """What tells this file's records from those of files before it."""
        self.last_seq = 0
        """The last number that was given to a record."""
        try:
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=10)
            try:
                self._prepare(self._cap + 2 * step)
            except BaseException:
                self._db.close()
                raise
        except (sqlite3.Error, OSError) as error:
            hint = "look at the disk; to begin anew: delete the file, and what it holds is lost"
            raise StoreError(f"outbox {file} cannot be used: {error}", hint=hint) from error

    def close(self) -> None:
        """Close the file; its log is taken into it."""
        self._db.close()

    @property
    def dropped_marks(self) -> Marks:
        """How many records of each priority were dropped."""
        sums = Counter[int]()
        for (_, priority), (count, _) in self._dropped.items():
            sums[priority] += count
        return (sums[1], sums[2], sums[3])

    # ------------------------------------------------------------ in
    def append(self, entries: Sequence[Entry]) -> int:
        """Put records down, together or not at all; give the seq of the first. Durable when it comes back.

        Args:
            entries: of at most `step_bytes` cost together.

        Raises:
            StoreError: the disk did not take them.
        """
        sealed = bool(self._seal.name)
        with self._writing() as db:
            first = seq = self.last_seq + 1
            rows: dict[int, list[tuple[int, str, int, int, bool, bytes]]] = {1: [], 2: [], 3: []}
            for kind, priority, at_ms, up_ms, trusted, payload in entries:
                stored = self._seal.close(payload, self._bound(priority, seq)) if sealed else payload
                rows[priority].append((seq, kind, at_ms, up_ms, trusted, stored))
                seq += 1
            for priority, some in rows.items():
                if some:
                    db.executemany(_SQL[priority].insert, some)
            db.execute("UPDATE about SET last_seq = ?", (seq - 1,))
            waiting = {each: self._waiting[each] + len(some) for each, some in rows.items()}
            dropped = dict(self._dropped)
            self._make_room(db, waiting, dropped)
        self.last_seq, self._waiting, self._dropped = seq - 1, waiting, dropped
        return first

    # ------------------------------------------------------------ out
    def read(self, priority: int, after: int, max_bytes: int) -> list[Record]:
        """Give records of a priority in order, from the first above `after`; as many as fit, at least one if any.

        One whose payload is damaged is dropped and counted: it must not stop all that come behind it.

        Raises:
            StoreError: the disk failed.
        """
        found: list[Record] = []
        room = max_bytes
        with self._explained():
            for seq, kind, at_ms, up_ms, trusted, stored in self._db.execute(
                _SQL[priority].read, (after, MAX_BATCH_RECORDS)
            ):
                try:
                    payload = self._seal.open(stored, self._bound(priority, seq))
                except IntegrityError:
                    self._lose(priority, seq, kind, len(stored))
                    return found or self.read(priority, seq, max_bytes)
                room -= len(payload) + RECORD_OVERHEAD
                if room < 0 and found:
                    break
                found.append(Record(seq, kind, at_ms, up_ms, bool(trusted), payload))
        return found

    def forget(self, stored: Marks) -> None:
        """Delete what is stored elsewhere: of each priority, the records up to this seq.

        Raises:
            StoreError: the disk failed; they are there still.
        """
        # A step at a time, for a long row of deletions would swell the log.
        for priority, mark in zip(PRIORITIES, stored, strict=True):
            while self._waiting[priority]:
                seqs = [row[0] for row in self._db.execute(_SQL[priority].seqs, (mark, _LOOK_ROWS))]
                if not seqs:
                    break
                with self._writing("outbox-delete") as db:
                    db.execute(_SQL[priority].delete, (seqs[-1],))
                self._waiting[priority] -= len(seqs)

    def begin_epoch(self) -> None:
        """Take a new epoch: the receiver knows the present one further than this file, which is an old copy."""
        epoch = secrets.token_hex(8)
        if self._seal.name:
            raise StoreError(
                "an outbox with a key was put back from a copy; its records are bound to where they were",
                hint="begin anew: tiers-edge wipe",
            )
        with self._writing() as db:
            db.execute("UPDATE about SET epoch = ?", (epoch,))
        self.epoch = epoch

    def fill(self) -> Fill:
        """Say how full it is.

        Raises:
            StoreError: the disk failed.
        """
        with self._explained():
            oldest = [row[0] for priority in PRIORITIES for row in self._db.execute(_SQL[priority].first)]
            used = self._used()
        waiting = (self._waiting[1], self._waiting[2], self._waiting[3])
        return Fill(waiting, used * PAGE, self._cap * PAGE, dict(self._dropped), min(oldest, default=0))

    # ------------------------------------------------------------ inside
    def _make_room(
        self,
        db: sqlite3.Connection,
        waiting: dict[int, int],
        dropped: dict[tuple[str, int], tuple[int, int]],
    ) -> None:
        """Drop until no more than the cap is in use: lowest priority first, oldest first."""
        while (over := self._used() - self._cap) > 0:
            priority = next((each for each in reversed(PRIORITIES) if waiting[each]), 0)
            if not priority:
                return
            room, last, count = over * PAGE, 0, 0
            lost: Counter[str] = Counter()
            lost_bytes: Counter[str] = Counter()
            for seq, kind, size in db.execute(_SQL[priority].oldest, (_LOOK_ROWS,)):
                last, count = seq, count + 1
                lost[kind] += 1
                lost_bytes[kind] += size
                room -= size + ROW_OVERHEAD
                if room <= 0:
                    break
            db.execute(_SQL[priority].delete, (last,))
            waiting[priority] -= count
            for kind, number in lost.items():
                self._count(db, dropped, (kind, priority), number, lost_bytes[kind])

    @staticmethod
    def _count(
        db: sqlite3.Connection,
        dropped: dict[tuple[str, int], tuple[int, int]],
        key: tuple[str, int],
        number: int,
        size: int,
    ) -> None:
        if key not in dropped and len(dropped) >= KINDS:
            key = (OTHER, key[1])
        records, held = dropped.get(key, (0, 0))
        dropped[key] = (records + number, held + size)
        db.execute("INSERT OR REPLACE INTO dropped VALUES (?, ?, ?, ?)", (*key, *dropped[key]))

    def _lose(self, priority: int, seq: int, kind: str, size: int) -> None:
        dropped = dict(self._dropped)
        with self._writing() as db:
            db.execute(_SQL[priority].delete_one, (seq,))
            self._count(db, dropped, (kind, priority), 1, size)
        self._dropped = dropped
        self._waiting[priority] -= 1

    def _used(self) -> int:
        """Pages that hold something, in the middle of a transaction too."""
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        return int(pages) - int(free)

    def _bound(self, priority: int, seq: int) -> bytes:
        return f"{self.epoch}/{priority}/{seq}".encode()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            hint = "look at the disk: is it full, or read-only?"
            raise StoreError(f"outbox {self._file}: {error}", hint=hint) from error

    @contextmanager
    def _writing(self, what: RecordWrite = "outbox") -> Iterator[sqlite3.Connection]:
        with self._explained(), self._drill.write(what):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            try:
                self._db.execute("COMMIT")
            except sqlite3.Error:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            self._empty_log()

    def _empty_log(self) -> None:
        """Take the log into the file before it outgrows its share; where the disk fails, the next try comes."""
        try:
            size = self._wal.stat().st_size
        except OSError:
            return
        if size > 2 * self.step_bytes:
            with suppress(sqlite3.Error):
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _prepare(self, max_pages: int) -> None:
        db = self._db
        # Alone with the file: no third file (-shm), and no reader who keeps the log from being emptied.
        for pragma in (
            "locking_mode = EXCLUSIVE",
            f"page_size = {PAGE}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "wal_autocheckpoint = 0",
            f"max_page_count = {max_pages}",
        ):
            db.execute(f"PRAGMA {pragma}")
        (layout,) = db.execute("PRAGMA user_version").fetchone()
        if layout > LAYOUT:
            message = f"{self._file} has layout {layout}; this version reads {LAYOUT}"
            raise StoreError(message, hint="update tiers on this device, or begin anew: tiers-edge wipe")
        if layout == 0:
            schema = (files("edge_runtime") / "outbox.sql").read_text(encoding="utf-8")
            db.executescript(f"BEGIN; {schema}")
            db.execute("INSERT INTO about VALUES (1, ?, 0, ?)", (secrets.token_hex(8), self._seal.name))
            db.execute(f"PRAGMA user_version = {LAYOUT}")
            db.execute("COMMIT")
        self.epoch, self.last_seq, sealed_by = db.execute(
            "SELECT epoch, last_seq, seal FROM about"
        ).fetchone()
        if sealed_by != self._seal.name:
            message = f"{self._file} was sealed by {'another key' if sealed_by else 'no key'}"
            raise StoreError(message, hint="put the key back, or begin anew: tiers-edge wipe")
        rows = db.execute("SELECT kind, priority, records, bytes FROM dropped")
        self._dropped = {(kind, priority): (count, size) for kind, priority, count, size in rows}
        self._waiting = {each: int(db.execute(_SQL[each].length).fetchone()[0]) for each in PRIORITIES}
        self._obey_budget(max_pages)

    def _obey_budget(self, max_pages: int) -> None:
        """Shrink a file that was made under a larger budget; while it is written anew it takes its new size twice."""
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        if pages <= max_pages:
            self._empty_log()
            return
        self.append(())
        self._db.execute("VACUUM")
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.execute(f"PRAGMA max_page_count = {max_pages}")


def peek(file: Path) -> Fill | None:
    """Look into an outbox that nobody has open; None when there is none, or it cannot be read. `cap_bytes` stays 0."""
    if not file.exists():
        return None
    try:
        db = sqlite3.connect(file, isolation_level=None, timeout=0.5)
        try:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            (pages,) = db.execute("PRAGMA page_count").fetchone()
            (free,) = db.execute("PRAGMA freelist_count").fetchone()
            counts = [int(db.execute(_SQL[each].length).fetchone()[0]) for each in PRIORITIES]
            oldest = [row[0] for each in PRIORITIES for row in db.execute(_SQL[each].first)]
            rows = db.execute("SELECT kind, priority, records, bytes FROM dropped").fetchall()
        finally:
            db.close()
    except sqlite3.Error:
        return None
    dropped = {(kind, priority): (records, size) for kind, priority, records, size in rows}
    waiting = (counts[0], counts[1], counts[2])
    return Fill(waiting, (pages - free) * PAGE, 0, dropped, min(oldest, default=0))
