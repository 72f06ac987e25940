"""What each storage had when it was last looked at: so that somebody knows when a storage does not answer.

    catalogue/STORAGE/DIGEST    some thousands of objects, MessagePack compressed with zstd; named by its bytes
    catalogue/STORAGE/head      which of them, when, and whose they are (`Snapshot`); written last

STORAGE is made from the storage's address. The catalogue lies with the documents of the hot and the warm tier; a run of
the rules writes it, `where` and the next run read it. It is a note: damaged, it counts as none and is written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import ClassVar

import msgspec
import zstandard

from toolkit.errors import IntegrityError, SyncError
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.policies.shelf import Item
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.document import MAX_DOCUMENT_BYTES, Document, decode_json, encode_json

_PART_ITEMS = 20_000
_MAX_PART_BYTES = 256 * 1024 * 1024
"""20,000 objects with the longest paths there are, when open."""
_ROWS = msgspec.msgpack.Decoder(list[tuple[bytes, int, int, int, str, int]])


class Snapshot(Document, frozen=True, kw_only=True):
    """One look at one storage."""

    FORMAT: ClassVar[int] = 1
    tier: str
    url: str
    looked_ms: int
    """When, in milliseconds since 1970."""
    parts: tuple[Digest, ...]
    objects: int
    total_bytes: int


def root_of(url: str) -> str:
    """Give where the catalogue of a storage lies, with a slash at the end."""
    return f"catalogue/{digest_of(url.encode())[:32]}/"


def write_snapshot(
    documents: Documents, tier: str, url: str, items: Iterable[Item], looked_ms: int
) -> Snapshot:
    """Remember what a storage has, in the documents of another one or its own.

    Raises:
        RemoteUnavailableError: the documents cannot be written.
    """
    root, parts, objects, total = root_of(url), list[Digest](), 0, 0
    ordered = iter(sorted(items))
    while rows := list(islice(ordered, _PART_ITEMS)):
        data = zstandard.ZstdCompressor(level=3).compress(msgspec.msgpack.encode(rows))
        digest = digest_of(data)
        documents.remote.write_new(root + digest, data)
        parts.append(digest)
        objects += len(rows)
        total += sum(item.size for item in rows)
    snapshot = Snapshot(
        tier=tier, url=url, looked_ms=looked_ms, parts=tuple(parts), objects=objects, total_bytes=total
    )
    documents.remote.write(root + "head", encode_json(snapshot))
    for found in list(documents.remote.list(root)):
        if found.key.removeprefix(root) not in {*parts, "head"}:
            documents.remote.delete(found.key)
    return snapshot


def read_snapshot(documents: Sequence[Documents], url: str) -> tuple[Snapshot, list[Item]] | None:
    """Give the last look at a storage that one of several documents has, or None.

    Documents that do not answer are passed over; the youngest look that is whole counts.
    """
    looks: list[tuple[Snapshot, Documents]] = []
    for each in documents:
        with suppress(IntegrityError, SyncError):
            data = each.remote.read(root_of(url) + "head", limit=4 * MAX_DOCUMENT_BYTES)
            snapshot = decode_json(data, Snapshot, what=f"catalogue of {url}", limit=4 * MAX_DOCUMENT_BYTES)
            if snapshot.url == url:
                looks.append((snapshot, each))
    for snapshot, each in sorted(looks, key=lambda look: -look[0].looked_ms):
        with suppress(IntegrityError, SyncError):
            return snapshot, list(_items(each, snapshot))
    return None


def _items(documents: Documents, snapshot: Snapshot) -> Iterator[Item]:
    for digest in snapshot.parts:
        data = documents.remote.read(root_of(snapshot.url) + digest)
        if digest_of(data) != digest:
            raise IntegrityError(f"catalogue of {snapshot.url} does not hold the bytes it is named after")
        try:
            opened = zstandard.ZstdDecompressor().decompress(data, max_output_size=_MAX_PART_BYTES)
            rows = _ROWS.decode(opened)
        except (zstandard.ZstdError, msgspec.DecodeError) as error:
            raise IntegrityError(f"catalogue of {snapshot.url} cannot be read: {error}") from error
        yield from (Item(*row) for row in rows)
