"""What the blocks of chunks were that have been sent: so that a chunk that changed is told from its old one unread.

`overlaying` asks and tells. Of each chunk of a large file that went to packs the names of its blocks of 4 KiB are kept
(16 bytes of BLAKE3 each: 4 MB for a GiB), or, when it went as an overlay, what it lies upon. It is a memory beside the
scan cache, `.tiers/blocks.sqlite` in the storage that was sent; lost, damaged, locked or full, it costs bytes: chunks
go whole. The oldest chunks are forgotten first.

Two blocks with one name would make an overlay that gives the wrong bytes, which every reader refuses: too late. With
128 bits this happens to one store in 10^18 after 10^10 blocks (38 TiB) were compared with as many; who wants it to must
find two blocks of one name first, 2^64 tries, and spoils only a file of his own. A row that the disk has changed is not
believed: each ends with a check over itself and the name of its chunk.
"""

from __future__ import annotations

import logging
import sqlite3
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from toolkit.wire.digest import RAW_BYTES

log = logging.getLogger(__name__)

BLOCK_BYTES = 4096
"""What databases and file systems write at a time. Blocks begin where those of the file do."""
NAME_BYTES = 16
MAX_MEMORY_BYTES = 256 * 1024 * 1024
"""Above this the file loses its older half: enough for 50 GiB of large files."""
_HELD_BACK = 4096
"""So many chunks are kept in memory before they are written down."""
_CHECK_BYTES = 8
_WHOLE = struct.Struct(">BHI")
_LAID = struct.Struct(f">{RAW_BYTES}sq")
_VERSION = 1
_SCHEMA = f"""
CREATE TABLE blocks (chunk BLOB PRIMARY KEY, made INTEGER NOT NULL, said BLOB NOT NULL) WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
"""


class Whole(NamedTuple):
    """A chunk that was sent whole."""

    phase: int
    """Where it began in a block of its file, 0 to 4095."""
    size: int
    names: bytes
    """Of its blocks, the first and the last of which may be cut by its edges."""


class Laid(NamedTuple):
    """A chunk that was sent as an overlay."""

    bases: tuple[tuple[bytes, int], ...]
    """What it lies upon: raw digests, and where each began in the file, seen from where the chunk began."""


def block_edges(offset: int, size: int) -> list[int]:
    """Give where the blocks of a chunk begin and the last one ends, from its own beginning; `offset` is in its file."""
    first = BLOCK_BYTES - offset % BLOCK_BYTES
    return [0, *range(first, size, BLOCK_BYTES), size]


def block_names(data: memoryview, edges: list[int]) -> bytes:
    """Name the blocks between the edges."""
    ends = iter(edges)
    start = next(ends)
    names: list[bytes] = []
    for end in ends:
        names.append(blake3(data[start:end]).digest(NAME_BYTES))
        start = end
    return b"".join(names)


class BlockMemory:
    """The blocks of one storage. Usable by several threads; `close` it."""

    def __init__(self, file: str | None, *, most_bytes: int = MAX_MEMORY_BYTES) -> None:
        """Stand on a file, which is opened when it is first needed; None remembers nothing."""
        self._file = file
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._held_back: dict[bytes, bytes] = {}
        self._made = 0

    def recall(self, raw: bytes) -> Whole | Laid | None:
        """Give what is known of a chunk; `raw` is its raw digest."""
        with self._lock:
            said = self._held_back.get(raw) or self._read(raw)
        return _decode(raw, said) if said else None

    def remember(self, raw: bytes, what: Whole | Laid) -> None:
        """Keep what was sent of a chunk."""
        if self._file is None:
            return
        with self._lock:
            self._held_back[raw] = _encode(raw, what)
            if len(self._held_back) >= _HELD_BACK:
                self._write()

    def close(self) -> None:
        """Write down what was held back and let go of the file."""
        with self._lock:
            self._write()
            self._forget_old()
            self._let_go()

    def _read(self, raw: bytes) -> bytes | None:
        database = self._open(make=False)
        if database is None:
            return None
        try:
            found = database.execute("SELECT said FROM blocks WHERE chunk = ?", (raw,)).fetchone()
        except sqlite3.Error as error:
            self._give_up(error)
            return None
        return found[0] if found and isinstance(found[0], bytes) else None

    def _write(self) -> None:
        held_back, self._held_back = self._held_back, {}
        database = self._open(make=True) if held_back else None
        if database is None:
            return
        try:
            rows = ((raw, self._made, said) for raw, said in held_back.items())
            database.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?)", rows)
            database.commit()
        except sqlite3.Error as error:
            self._give_up(error)

    def _forget_old(self) -> None:
        """Make the file small again when it has become too large."""
        if self._database is None:
            return
        try:
            if _bytes_in(self._database) <= self._most_bytes:
                return
            runs = self._database.execute(
                "SELECT made, count(*) FROM blocks GROUP BY made ORDER BY made"
            ).fetchall()
            left = sum(count for _, count in runs)
            most = left // 2
            for made, count in runs:
                if left <= most:
                    break
                # Of one run that alone is too much, no half is better than the other.
                self._database.execute(
                    "DELETE FROM blocks WHERE chunk IN (SELECT chunk FROM blocks WHERE made = ? LIMIT ?)",
                    (made, left - most),
                )
                left -= min(count, left - most)
            self._database.commit()
            self._database.execute("VACUUM")
        except sqlite3.Error as error:
            self._give_up(error)

    def _open(self, *, make: bool) -> sqlite3.Connection | None:
        if self._database is not None or self._file is None:
            return self._database
        if not make and not Path(self._file).exists():
            return None
        try:
            self._database = _opened(self._file)
        except sqlite3.OperationalError as error:
            self._give_up(error)  # another run holds it, or it cannot be written
        except (sqlite3.Error, OSError) as error:
            log.info("%s is made anew: %s", self._file, error)
            try:
                Path(self._file).unlink()
                self._database = _opened(self._file)
            except (sqlite3.Error, OSError) as again:
                self._give_up(again)
        if self._database is not None:
            with suppress(sqlite3.Error):
                (last,) = self._database.execute("SELECT max(made) FROM blocks").fetchone()
                self._made = (last or 0) + 1
        return self._database

    def _give_up(self, error: Exception) -> None:
        log.info("%s is not used: %s", self._file, error)
        self._file = None
        self._let_go()

    def _let_go(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _opened(file: str) -> sqlite3.Connection:
    if Path(file).is_symlink():
        raise OSError(f"{file} is a link")
    database = sqlite3.connect(file, timeout=2.0, check_same_thread=False)
    try:
        database.execute("PRAGMA synchronous = OFF")  # losing it costs bytes
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise sqlite3.DatabaseError(f"version {version}")  # noqa: TRY301 -- closed like any other damage
        if version == 0:
            database.executescript(_SCHEMA)
        database.execute("SELECT made FROM blocks LIMIT 1").fetchone()
    except BaseException:
        database.close()
        raise
    return database


def _bytes_in(database: sqlite3.Connection) -> int:
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    (size,) = database.execute("PRAGMA page_size").fetchone()
    return int(pages) * int(size)


def _encode(raw: bytes, what: Whole | Laid) -> bytes:
    if isinstance(what, Whole):
        said = _WHOLE.pack(0, what.phase, what.size) + what.names
    else:
        said = b"\1" + b"".join(_LAID.pack(*base) for base in what.bases)
    return said + blake3(raw + said).digest(_CHECK_BYTES)


def _decode(raw: bytes, row: bytes) -> Whole | Laid | None:
    said, check = row[:-_CHECK_BYTES], row[-_CHECK_BYTES:]
    if not said or blake3(raw + said).digest(_CHECK_BYTES) != check:
        return None
    if said[0]:
        return Laid(tuple((base, shift) for base, shift in _LAID.iter_unpack(said[1:])))
    _, phase, size = _WHOLE.unpack_from(said)
    return Whole(phase, size, said[_WHOLE.size :])
