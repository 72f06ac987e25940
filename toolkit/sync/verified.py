"""When something was last read back, kept beside it: the documents that `verify` writes and the catalogue reads.

    verified/store                  how far a store of packs has been read, and when all of it was (`StoreVerified`)
    verified/routes/ROUTE           what a route had brought when its files were last read (`RouteVerified`)
    verified/routes/ROUTE/from/M    the same for each machine that runs the route

They lie at the root of packs and in the sidecar of a mirror. They are notes, not promises: one that is damaged or lost
counts as "never verified", and the next `verify` writes it anew.
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

from toolkit.errors import IntegrityError, MissingObjectError
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.route_refs import ref_root
from toolkit.sync.task import SyncTask
from toolkit.wire.digest import Digest
from toolkit.wire.document import MAX_DOCUMENT_BYTES, Document, decode_json, encode_json

STORE_KEY = "verified/store"


class RouteVerified(Document, frozen=True, kw_only=True):
    """The last reading of all files that a route has brought to a storage."""

    FORMAT: ClassVar[int] = 1
    digest: Digest
    """Of the index that was read; a head that points to another one has not been verified since it changed."""
    sequence: int
    verified_ms: int
    """When the reading began, in milliseconds since 1970."""
    files: int
    total_bytes: int
    damaged: int = 0
    """Files that were not what the index says; 0 means that all of them were whole."""


class StoreVerified(Document, frozen=True, kw_only=True):
    """How far the packs of a store have been read, in the order of their keys, round after round."""

    FORMAT: ClassVar[int] = 1
    after: str = ""
    """Last pack that was read in this round; the next reading begins behind it."""
    round_began_ms: int = 0
    """When this round began; 0 when none is under way."""
    round_damaged: int = 0
    """Packs found damaged in this round."""
    full_ms: int = 0
    """When the last finished round began: every pack that is older has been read since. 0: never."""
    full_damaged: int = 0
    """Packs that the last finished round found damaged."""


_Kind = TypeVar("_Kind", RouteVerified, StoreVerified)


def route_key(task: SyncTask) -> str:
    """Give the key of a route's note."""
    return f"verified/{ref_root(task)}"


def read_route_verified(documents: Documents, task: SyncTask) -> RouteVerified | None:
    """Give when a route's files were last read, or None. Raises RemoteUnavailableError."""
    return _read(documents, route_key(task), RouteVerified)


def read_store_verified(documents: Documents) -> StoreVerified | None:
    """Give how far the packs have been read, or None. Raises RemoteUnavailableError."""
    return _read(documents, STORE_KEY, StoreVerified)


def write_verified(documents: Documents, key: str, note: RouteVerified | StoreVerified) -> None:
    """Keep a note. Raises RemoteUnavailableError."""
    documents.remote.write(key, encode_json(note))


def _read(documents: Documents, key: str, kind: type[_Kind]) -> _Kind | None:
    try:
        data = documents.remote.read(key, limit=MAX_DOCUMENT_BYTES)
        return decode_json(data, kind, what=f"{documents.remote.url}/{key}")
    except (MissingObjectError, IntegrityError):
        return None
