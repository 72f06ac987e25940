"""What lies in one storage, whatever its layout: for rules, for the catalogue and for proving copies.

A mirror is what its folder shows; packs are what the heads of their routes name. `plan` and `catalogue` list objects,
`copies` asks whether one is really there, `taking` takes some away. A shelf only looks; it is for one thread.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from typing import NamedTuple, Protocol

from toolkit.errors import IntegrityError, MissingObjectError, UnsafePathError
from toolkit.sync.folder import READ_FLAGS, Folder, unavailable
from toolkit.sync.hard_links import moved_below
from toolkit.sync.layouts.disk import SIDECAR, same_time
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.listed import scan_listed
from toolkit.sync.pins import documents_of
from toolkit.sync.read import join
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.choose import folder_of, open_storage
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.route_refs import heads_of_routes
from toolkit.sync.task import Storage
from toolkit.sync.verified import RouteVerified, read_store_verified
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.document import MAX_DOCUMENT_BYTES, decode_json
from toolkit.wire.index import Entry

Remotes = Callable[[Storage], Remote]
MAX_SMALL_BYTES = 64 * 1024
"""A file with metrics is no larger."""
_PIECE_BYTES = 1024 * 1024


class Item(NamedTuple):
    """An object as a storage has it."""

    path: bytes
    """Relative to the storage."""
    size: int
    mtime_ns: int
    since_ms: int
    """When it came, as far as the storage can tell, in milliseconds since 1970."""
    version: str = ""
    """Digest of its chunk list; empty for a file that no route has brought, which nobody has read."""
    verified_ms: int = 0
    """When it was last read back and was whole; 0 is never."""


class Head(NamedTuple):
    """The state that a route has brought."""

    root: str
    """What the names of its Refs begin with, such as `routes/frames`."""
    ref: Ref
    folder: bytes
    """Where its entries lie below the storage."""


class Shelf(Protocol):
    """One storage, open. Every method raises RemoteUnavailableError when it does not answer."""

    place: Storage

    @property
    def documents(self) -> Documents | None:
        """Its documents; None for a mirror that has none yet."""
        ...

    def items(self, below: bytes = b"") -> Iterator[Item]:
        """Yield its files at a path and below it, each once."""
        ...

    def entries(self, paths: Collection[bytes]) -> list[Entry]:
        """Give what these files consist of; a mirror is read for it. What is not there is left out."""
        ...

    def holds(self, entry: Entry) -> bool:
        """Read an object back and say whether it is what the entry says, byte for byte."""
        ...

    def small(self, path: bytes) -> bytes | None:
        """Give a small file, or None when it is not there or is large."""
        ...

    def refresh(self) -> None:
        """Forget what was looked up before: routes may have brought something since."""
        ...

    def used_bytes(self, listed: int) -> int:
        """Give what the storage keeps altogether, trash included; `listed` are the bytes of all its items."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def open_shelf(place: Storage, remotes: Remotes = open_storage) -> Shelf:
    """Open a storage to look at it.

    Raises:
        RemoteUnavailableError: it is not there or does not answer.
        UsageError: no transport of ours goes there.
    """
    return FolderShelf(place) if place.layout == "mirror" else PackShelf(place, remotes)


def heads(documents: Documents) -> list[Head]:
    """List what every route has brought to a storage, the one written last at the end. Raises IntegrityError."""
    return [
        Head(root, ref, join(ref.path.encode(), root.partition("/from/")[2].encode()))
        for root, ref in heads_of_routes(documents)
    ]


def is_at_or_below(path: bytes, way: bytes) -> bool:
    """Say whether a path is another one or lies below it; everything lies below the empty one."""
    return not way or path == way or path.startswith(way + b"/")


class FolderShelf:
    """A mirror."""

    def __init__(self, place: Storage) -> None:
        """Open the folder; see `open_shelf`."""
        self.place = place
        self.folder = Folder(folder_of(place.url))

    @property
    def documents(self) -> Documents | None:
        """Those of its sidecar; see `Shelf.documents`."""
        return documents_of(self.place)

    def items(self, below: bytes = b"") -> Iterator[Item]:
        """Walk the folder; see `Shelf.items`. A file that was changed since a route brought it has no version."""
        known = self._known(below)
        for path, status in self._walk(below):
            entry, verified_ms = known.get(path, (None, 0))
            is_same = (
                entry is not None
                and entry.size == status.st_size
                and same_time(status.st_mtime_ns, entry.mtime_ns)
            )
            version = digest_of(entry.chunks) if entry is not None and is_same else ""
            since = status.st_ctime_ns // 1_000_000
            yield Item(
                path, status.st_size, status.st_mtime_ns, since, version, verified_ms if is_same else 0
            )

    def entries(self, paths: Collection[bytes]) -> list[Entry]:
        """Read the files; see `Shelf.entries`."""
        return list(scan_listed(self.folder, b"", paths).index.entries)

    def holds(self, entry: Entry) -> bool:
        """Read the file; see `Shelf.holds`."""
        with suppress(OSError, UnsafePathError), self.folder.parent(entry.path) as (way, name):
            descriptor = os.open(name, READ_FLAGS, dir_fd=way)
            try:
                status = os.fstat(descriptor)
                return (
                    stat.S_ISREG(status.st_mode)
                    and status.st_size == entry.size
                    and all(_pieces_are_right(descriptor, entry))
                )
            finally:
                os.close(descriptor)
        return False

    def small(self, path: bytes) -> bytes | None:
        """Read the file; see `Shelf.small`."""
        with suppress(OSError, UnsafePathError), self.folder.parent(path) as (way, name):
            descriptor = os.open(name, READ_FLAGS, dir_fd=way)
            try:
                data = os.pread(descriptor, MAX_SMALL_BYTES + 1, 0)
            finally:
                os.close(descriptor)
            return data if len(data) <= MAX_SMALL_BYTES else None
        return None

    def refresh(self) -> None:
        """Nothing is remembered: a folder shows what it has."""

    def used_bytes(self, listed: int) -> int:
        """Add the trash to the files; see `Shelf.used_bytes`."""
        return listed + sum(size for _, size in self.sizes_below(SIDECAR + b"/trash"))

    def sizes_below(self, way: bytes) -> Iterator[tuple[bytes, int]]:
        """Yield each plain file at a path and below it with its size; also of the sidecar, when asked for it."""
        return ((path, status.st_size) for path, status in self._walk(way))

    def close(self) -> None:
        """Close the folder."""
        self.folder.close()

    def _known(self, below: bytes) -> dict[bytes, tuple[Entry, int]]:
        documents = self.documents
        return _entries_of(documents, below) if documents is not None else {}

    def _walk(self, below: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
        """Yield the plain files at a path and below it; links are not followed."""
        if below:
            with suppress(FileNotFoundError, UnsafePathError), self.folder.parent(below) as (way, name):
                status = os.stat(name, dir_fd=way, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    yield below, status
                    return
        ways = [below]
        try:
            while ways:
                at = ways.pop()
                with suppress(FileNotFoundError, NotADirectoryError, UnsafePathError):
                    yield from self._visit(at, ways)
        except OSError as error:
            raise unavailable(error, self.folder.path) from error

    def _visit(self, at: bytes, ways: list[bytes]) -> Iterator[tuple[bytes, os.stat_result]]:
        with self.folder.folder(at) as descriptor, os.scandir(descriptor) as found:
            for item in found:
                name = os.fsencode(item.name)
                if not at and name == SIDECAR:
                    continue
                with suppress(FileNotFoundError):
                    status = item.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode):
                        ways.append(join(at, name))
                    elif stat.S_ISREG(status.st_mode):
                        yield join(at, name), status


class PackShelf:
    """Packs."""

    def __init__(self, place: Storage, remotes: Remotes) -> None:
        """Open the store; see `open_shelf`."""
        self.place = place
        self.store = PackStore(remotes(place))
        self._entries: dict[bytes, Entry] | None = None

    @property
    def documents(self) -> Documents:
        """The store itself."""
        return self.store

    def items(self, below: bytes = b"") -> Iterator[Item]:
        """List what the heads name; see `Shelf.items`. Of two states of a path the one written last counts."""
        found: dict[bytes, Item] = {}
        full = read_store_verified(self.store)
        for head in heads(self.store):
            verified_ms = _verified_ms(self.store, head)
            if full is not None and not full.full_damaged and full.full_ms > head.ref.written_ms:
                verified_ms = max(verified_ms, full.full_ms)
            for entry in _files_of(self.store, head, below):
                version = digest_of(entry.chunks)
                found[entry.path] = Item(
                    entry.path, entry.size, entry.mtime_ns, head.ref.written_ms, version, verified_ms
                )
        yield from found.values()

    def entries(self, paths: Collection[bytes]) -> list[Entry]:
        """Look into the heads; see `Shelf.entries`."""
        if self._entries is None:
            self._entries = {
                entry.path: entry for head in heads(self.store) for entry in _files_of(self.store, head)
            }
        return [self._entries[path] for path in sorted(paths) if path in self._entries]

    def refresh(self) -> None:
        """Read the heads again when they are needed; see `Shelf.refresh`."""
        self._entries = None

    def holds(self, entry: Entry) -> bool:
        """Read the chunks; see `Shelf.holds`. That a head names the object is for `entries` to say."""
        try:
            for ref in entry.refs():
                self.store.read_chunk(ref.digest)
        except (IntegrityError, MissingObjectError):
            return False
        return True

    def small(self, path: bytes) -> bytes | None:
        """Read the chunks; see `Shelf.small`."""
        for entry in self.entries([path]):
            if entry.size <= MAX_SMALL_BYTES:
                with suppress(IntegrityError, MissingObjectError):
                    return b"".join(self.store.read_chunk(ref.digest) for ref in entry.refs())
        return None

    def used_bytes(self, listed: int) -> int:
        """Add up the packs, those of the trash and the history too; see `Shelf.used_bytes`."""
        del listed  # what is compressed or in several states is kept once
        return sum(found.size for found in self.store.remote.list("packs/"))

    def close(self) -> None:
        """Nothing is open."""


def _entries_of(documents: Documents, below: bytes) -> dict[bytes, tuple[Entry, int]]:
    known: dict[bytes, tuple[Entry, int]] = {}
    for head in heads(documents):
        with suppress(MissingObjectError):  # the index was removed by hand: nothing is known then
            verified_ms = _verified_ms(documents, head)
            known.update((entry.path, (entry, verified_ms)) for entry in _files_of(documents, head, below))
    return known


def _files_of(documents: Documents, head: Head, below: bytes = b"") -> Iterator[Entry]:
    """Yield the files that a head names, with paths of the storage."""
    if not (is_at_or_below(head.folder, below) or is_at_or_below(below, head.folder)):
        return
    for entry in documents.entries(head.ref.digest):
        if entry.kind == "file":
            whole = moved_below(entry, head.folder) if head.folder else entry
            if is_at_or_below(whole.path, below):
                yield whole


def _verified_ms(documents: Documents, head: Head) -> int:
    """Give when a head's files were last read back and all of them were whole; 0 when that was another state."""
    try:
        data = documents.remote.read(f"verified/{head.root}", limit=MAX_DOCUMENT_BYTES)
        note = decode_json(data, RouteVerified, what=f"verified/{head.root}")
    except (MissingObjectError, IntegrityError):
        return 0
    return note.verified_ms if note.digest == head.ref.digest and not note.damaged else 0


def _pieces_are_right(descriptor: int, entry: Entry) -> Iterator[bool]:
    at = 0
    for ref in entry.refs():
        yield _digest_of_piece(descriptor, at, ref.size) == ref.digest
        at += ref.size


def _digest_of_piece(descriptor: int, at: int, size: int) -> Digest:
    data = bytearray()
    while len(data) < size:
        more = os.pread(descriptor, min(size - len(data), _PIECE_BYTES), at + len(data))
        if not more:
            break
        data += more
    return digest_of(data)
