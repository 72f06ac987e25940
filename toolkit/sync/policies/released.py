"""What has left a mirror on purpose: a note for the routes that begin or end there.

    refs/released → an index of the files that rules took away, as they were

Without it a route would delete in its target what its source gave away, and bring back what its target let go. A file
that is there again is no longer released, whatever the note says. `taking` writes it, `standing` reads it for `run`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress

from toolkit.errors import MissingObjectError
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.merge import parents_of
from toolkit.sync.ref import Ref
from toolkit.wire.digest import Digest
from toolkit.wire.index import Entry, Index

_NAME = "released"


def released_in(documents: Documents) -> dict[bytes, Entry]:
    """Give what has left, by path.

    Raises:
        IntegrityError: the note was damaged: a route would do the wrong thing without it.
        RemoteUnavailableError: the storage does not answer.
    """
    ref = documents.read_ref(_NAME)
    return {entry.path: entry for entry in documents.entries(ref.digest)} if ref is not None else {}


def note_released(documents: Documents, entries: Iterable[Entry], *, back: Collection[bytes] = ()) -> None:
    """Add files that are about to leave, and strike out those that are there again.

    Raises:
        IntegrityError, RemoteUnavailableError: as `released_in`.
    """
    old = documents.read_ref(_NAME)
    before = released_in(documents)
    new = {entry.path: entry for entry in entries}
    ways = {way for path in new for way in parents_of(path)}
    after = {
        path: entry
        for path, entry in before.items()
        # What was a file once and is a folder now, or the other way round, cannot stand in one index.
        if path not in back and path not in ways and not any(way in new for way in parents_of(path))
    } | new
    if after == before:
        return
    index = Index(entries=tuple(after[path] for path in sorted(after)))
    digest = documents.put_index(index)
    documents.write_ref(_NAME, Ref(kind="index", digest=digest, sequence=old.sequence + 1 if old else 1))
    if old is not None and old.digest != digest:
        forget_index(documents, old.digest)


def forget_index(documents: Documents, digest: Digest) -> None:
    """Delete an index of a mirror that no Ref names any more; its files are not touched."""
    with suppress(MissingObjectError):
        refs = (documents.read_ref(name) for name in documents.list_refs())
        if all(ref is None or ref.digest != digest for ref in refs):
            documents.remote.delete(f"indexes/{digest}")
