"""Take objects away from a storage, so that nothing is half gone and no route undoes it. The last step of a rule.

`carry_out` has proven the copies by now. In a mirror: note what leaves (`released`), move it into the trash or delete
it, strike it out of the states of the routes that brought it. In packs: a Ref in the trash, then states without it.
Killed in between, the next run finishes: the note stands before the file goes, and `strike_out` goes by the note.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress

from toolkit.errors import MissingObjectError, SyncError, TiersError, UnsafePathError
from toolkit.sync.folder import Folder, unavailable
from toolkit.sync.layouts.disk import SIDECAR, same_time
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.merge import without
from toolkit.sync.policies.holds import documents_for_writing
from toolkit.sync.policies.released import forget_index, note_released, released_in
from toolkit.sync.policies.shelf import FolderShelf, Head, PackShelf, Shelf, heads
from toolkit.sync.policies.trash import TRASH_REFS, day_of, put_in_trash
from toolkit.sync.promise import promised
from toolkit.sync.read import join
from toolkit.sync.ref import Ref
from toolkit.sync.route_refs import write_state
from toolkit.wire.index import Entry, Index

CHANGED = "it was changed meanwhile"


def take_away(shelf: Shelf, entries: Sequence[Entry], now_ms: int, *, to_trash: bool) -> dict[bytes, str]:
    """Take objects away.

    Args:
        shelf: where they are.
        entries: as `Shelf.entries` gave them; what is not so any more stays.
        now_ms: the time, in milliseconds since 1970.
        to_trash: keep them in the trash; else a mirror deletes them at once. Packs always keep them.

    Returns:
        For each path an empty text, or why it stayed.

    Raises:
        RemoteUnavailableError: the storage does not answer, or cannot be written.
        IntegrityError: what it says of itself was damaged.
    """
    if not entries:
        return {}
    if isinstance(shelf, FolderShelf):
        return _take_files(shelf, entries, day_of(now_ms) if to_trash else "")
    if isinstance(shelf, PackShelf):
        return _take_from_states(shelf.store, entries, day_of(now_ms))
    raise ValueError(f"no way to take something away from {shelf.place.url}")


def strike_out(shelf: Shelf) -> None:
    """Let the routes of a mirror hold no more what has left it; finishes what an interrupted run began.

    A route that is at work is left alone: it strikes out by itself what it does not find, or the next run does.
    """
    documents = shelf.documents
    if not isinstance(shelf, FolderShelf) or documents is None:
        return
    gone = {path for path in released_in(documents) if not _is_there(shelf.folder, path)}
    for head in heads(documents) if gone else ():
        with suppress(SyncError), locked(shelf.folder, [head.root]):
            _strike(documents, head, gone)


@contextmanager
def locked(folder: Folder, names: Sequence[str]) -> Iterator[None]:
    """Keep runs of routes, or of rules, out of a mirror for the length of a `with`.

    Args:
        folder: the mirror.
        names: roots of Refs of routes, as `layouts.mirror` locks them, or another word.

    Raises:
        SyncError: one of them is at work.
        RemoteUnavailableError: the locks cannot be written.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with ExitStack() as stack:
        for name in names:
            try:
                with folder.folder(SIDECAR + b"/locks", create=True) as locks:
                    descriptor = os.open(name.replace("/", "+").encode(), flags, 0o644, dir_fd=locks)
            except OSError as error:
                raise unavailable(error, folder.path) from error
            stack.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                what = name.removeprefix("routes/")
                raise SyncError(
                    f"{what} is at work in {folder.path}", hint="wait for it, or end it"
                ) from error
        yield


def _take_files(shelf: FolderShelf, entries: Sequence[Entry], day: str) -> dict[bytes, str]:
    documents = documents_for_writing(shelf.place)
    wanted = {entry.path: entry for entry in entries}
    result: dict[bytes, str] = {}
    for busy in _busy_routes(shelf.folder, documents, wanted):
        for path, reason in busy.items():
            result[path] = reason
            wanted.pop(path, None)
    note_released(documents, wanted.values(), back=_back(shelf.folder, documents, wanted))
    for path, entry in wanted.items():
        try:
            result[path] = _take_file(shelf.folder, entry, day)
        except UnsafePathError as error:
            result[path] = error.message
        except OSError as error:
            raise unavailable(error, shelf.folder.path) from error
    strike_out(shelf)
    return result


def _take_file(folder: Folder, entry: Entry, day: str) -> str:
    try:
        with folder.parent(entry.path) as (way, name):
            status = os.stat(name, dir_fd=way, follow_symlinks=False)
            if status.st_size != entry.size or not same_time(status.st_mtime_ns, entry.mtime_ns):
                return CHANGED
            if not day:
                os.unlink(name, dir_fd=way)
                os.fsync(way)
                return ""
        put_in_trash(folder, entry.path, day)
    except FileNotFoundError:
        return ""  # gone already
    return ""


def _busy_routes(
    folder: Folder, documents: Documents, wanted: Mapping[bytes, Entry]
) -> Iterator[dict[bytes, str]]:
    """Yield for each route that is writing at the moment what of it must wait."""
    for head in heads(documents):
        with suppress(MissingObjectError):
            mine = [
                path
                for entry in documents.entries(head.ref.digest)
                if (path := join(head.folder, entry.path)) in wanted
            ]
            if not mine:
                continue
            try:
                with locked(folder, [head.root]):
                    pass
            except SyncError as error:
                yield dict.fromkeys(mine, error.message)


def _back(folder: Folder, documents: Documents, leaving: Mapping[bytes, Entry]) -> frozenset[bytes]:
    """Give what had left once and is there again."""
    return frozenset(
        path for path in released_in(documents) if path not in leaving and _is_there(folder, path)
    )


def _is_there(folder: Folder, path: bytes) -> bool:
    with suppress(OSError, TiersError), folder.parent(path) as (way, name):
        os.stat(name, dir_fd=way, follow_symlinks=False)
        return True
    return False


def _strike(documents: Documents, head: Head, gone: set[bytes]) -> None:
    with suppress(MissingObjectError):
        index = documents.get_index(head.ref.digest)
        out = {entry.path for entry in index.entries if join(head.folder, entry.path) in gone}
        if not out or documents.read_ref(f"{head.root}/head") != head.ref:
            return
        digest = documents.put_index(without(index, out))
        ref = Ref(kind="index", digest=digest, path=head.ref.path, sequence=head.ref.sequence + 1)
        documents.write_ref(f"{head.root}/head", ref)
        forget_index(documents, head.ref.digest)


def _take_from_states(store: PackStore, entries: Sequence[Entry], day: str) -> dict[bytes, str]:
    wanted = {entry.path for entry in entries}
    digest = store.put_index(Index(entries=tuple(sorted(entries, key=lambda entry: entry.path))))
    name = f"{TRASH_REFS}{day}/{digest[:16]}"
    ref = Ref(kind="index", digest=digest)
    with promised(store, ref, lambda: store.delete_ref(name)):
        store.write_new_ref(name, ref)
    result = dict.fromkeys(wanted, "")
    for head in heads(store):
        index = store.get_index(head.ref.digest)
        out = {entry.path for entry in index.entries if join(head.folder, entry.path) in wanted}
        if not out:
            continue
        try:
            write_state(store, head.root, head.ref, store.put_index(without(index, out)), head.ref.path)
        except SyncError as error:
            result.update((join(head.folder, path), error.message) for path in out)
    return result
