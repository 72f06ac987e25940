"""Who asked for what and when, as far as we gave it: reads that a recall, a staging or a restore recorded.

    reads/XX/DIGEST     the last read of one path of a storage; DIGEST is that of the path, XX its first two digits

File systems are mounted without access times, and a backup or a virus scanner touches everything; so rules with
`not_read_for` go by these records alone. A recall calls `record_read` after it has brought something; `plan` asks
`last_reads`. A record of a folder counts for all that lies below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from toolkit.errors import IntegrityError, MissingObjectError
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.merge import parents_of
from toolkit.wire.digest import digest_of
from toolkit.wire.document import MAX_DOCUMENT_BYTES, Document, decode_json, encode_json
from toolkit.wire.paths import check_path, shown

_ROOT = "reads/"


class LastRead(Document, frozen=True, kw_only=True):
    """The last read of a path that we know of."""

    FORMAT: ClassVar[int] = 1
    path: bytes
    """Relative to the storage; empty is all of it. Base64 in the JSON, because names need not be text."""
    at_ms: int
    """Milliseconds since 1970, by the clock of who read."""


def record_read(documents: Documents, path: str | bytes, when_ms: int) -> bool:
    """Remember that somebody read what lies at a path and below it.

    Args:
        documents: of the storage that it was read from or brought to; any storage of the site will do.
        path: relative to the storage; empty for all of it.
        when_ms: when, in milliseconds since 1970. An older time than the one recorded changes nothing.

    Returns:
        Whether the record changed.

    Raises:
        UnsafePathError: the path would leave the storage.
        RemoteUnavailableError: the storage does not answer.
    """
    raw = path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path
    if raw:
        check_path(raw)
    key = _key(raw)
    before = _read(documents, key)
    if before is not None and before.at_ms >= when_ms:
        return False
    documents.remote.write(key, encode_json(LastRead(path=raw, at_ms=when_ms)))
    return True


def last_reads(documents: Documents) -> dict[bytes, int]:
    """Give every recorded path with the time of its last read, in milliseconds since 1970.

    A record that was damaged counts as none: at worst something leaves too early, for the trash or a colder tier.

    Raises:
        RemoteUnavailableError: the storage does not answer.
    """
    reads: dict[bytes, int] = {}
    for found in documents.remote.list(_ROOT):
        record = _read(documents, found.key)
        if record is not None and _key(record.path) == found.key:
            reads[record.path] = record.at_ms
    return reads


def last_read(reads: Mapping[bytes, int], path: bytes) -> int:
    """Give when a path, or a folder above it, was read last; 0 when nobody has.

    Args:
        reads: from `last_reads`, perhaps of several storages together.
        path: relative to the storage.
    """
    return max(reads.get(way, 0) for way in (path, *parents_of(path), b""))


def together(*parts: Mapping[bytes, int]) -> dict[bytes, int]:
    """Put the reads of several storages together; the latest time counts."""
    reads: dict[bytes, int] = {}
    for part in parts:
        for path, at_ms in part.items():
            reads[path] = max(at_ms, reads.get(path, 0))
    return reads


def _key(path: bytes) -> str:
    digest = digest_of(path)
    return f"{_ROOT}{digest[:2]}/{digest}"


def _read(documents: Documents, key: str) -> LastRead | None:
    try:
        data = documents.remote.read(key, limit=MAX_DOCUMENT_BYTES)
        return decode_json(data, LastRead, what=f"{shown(key.encode())} in {documents.remote.url}")
    except (MissingObjectError, IntegrityError):
        return None
