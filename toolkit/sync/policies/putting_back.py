"""Put things from the trash of one storage back where they were. The reverse of `taking`; `trash_can` says which.

In a mirror the file gets its old name beside the one in the trash, then loses that one, and `released` forgets that it
has left. In packs a new state of the rules' own route names the objects again, because what the route that brought
them has in its source is not ours to say; then the trash lets go. Killed in between, a second call finishes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress

from toolkit.errors import UnsafePathError
from toolkit.sync.folder import Folder, unavailable
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.merge import merged, parents_of, without
from toolkit.sync.policies.carry_out import ROUTE
from toolkit.sync.policies.holds import documents_for_writing
from toolkit.sync.policies.released import note_released
from toolkit.sync.policies.shelf import FolderShelf, PackShelf, Shelf, heads, is_at_or_below
from toolkit.sync.policies.taking import locked
from toolkit.sync.policies.trash import TRASH_REFS, Binned, prune_trash
from toolkit.sync.promise import promised
from toolkit.sync.ref import Ref
from toolkit.sync.route_refs import write_state
from toolkit.wire.digest import digest_of
from toolkit.wire.index import Entry, Index

TAKEN = "something else has its name now"
COLLECTED = "its data has been collected already"
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS}


def put_back(shelf: Shelf, wanted: Sequence[Binned], *, dry_run: bool = False) -> dict[bytes, str]:
    """Put things back.

    Args:
        shelf: the storage in whose trash they are.
        wanted: what; one of each path.
        dry_run: only say what would come of it.

    Returns:
        For each path an empty text, or why it stays in the trash.

    Raises:
        SyncError: a route, or another run of the rules, is at work there.
        RemoteUnavailableError: the storage does not answer, or cannot be written.
        IntegrityError: what it says of itself was damaged.
    """
    if isinstance(shelf, FolderShelf):
        return _files_back(shelf, wanted, dry_run=dry_run)
    if isinstance(shelf, PackShelf):
        return _objects_back(shelf, wanted, dry_run=dry_run)
    raise ValueError(f"no way to put something back into {shelf.place.url}")


def _files_back(shelf: FolderShelf, wanted: Sequence[Binned], *, dry_run: bool) -> dict[bytes, str]:
    documents = documents_for_writing(shelf.place)
    roots = [
        head.root
        for head in heads(documents)
        if any(is_at_or_below(each.path, head.folder) for each in wanted)
    ]
    result: dict[bytes, str] = {}
    with locked(shelf.folder, [f"{ROUTE}.rules", *roots]):
        try:
            for each in wanted:
                result[each.path] = _file_back(shelf.folder, each, dry_run=dry_run)
            if not dry_run:
                back = {path for path, problem in result.items() if not problem}
                note_released(documents, (), back=back)
                prune_trash(shelf.folder, {each.lies_at.removesuffix(b"/" + each.path) for each in wanted})
        except OSError as error:
            raise unavailable(error, shelf.folder.path) from error
    return result


def _file_back(folder: Folder, each: Binned, *, dry_run: bool) -> str:
    try:
        with folder.parent(each.lies_at) as (there, last):
            if dry_run:
                return TAKEN if _is_taken(folder, each, there, last) else ""
            with folder.parent(each.path, create=True) as (here, name):
                try:
                    os.link(last, name, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)
                except FileExistsError:
                    if _is_taken(folder, each, there, last):
                        return TAKEN
                except OSError as error:
                    if error.errno not in _NO_LINKS:
                        raise
                    # A file system without hard links: nothing better than to look before.
                    if _is_taken(folder, each, there, last):
                        return TAKEN
                    os.rename(last, name, src_dir_fd=there, dst_dir_fd=here)
                os.fsync(here)
                with suppress(FileNotFoundError):
                    os.unlink(last, dir_fd=there)
                os.fsync(there)
    except FileNotFoundError:
        return "it is not in the trash any more"
    except UnsafePathError as error:
        return error.message
    return ""


def _is_taken(folder: Folder, each: Binned, there: int, last: bytes) -> bool:
    """Say whether another file than the one in the trash has the name."""
    mine = os.stat(last, dir_fd=there, follow_symlinks=False)
    with suppress(FileNotFoundError), folder.parent(each.path) as (here, name):
        found = os.stat(name, dir_fd=here, follow_symlinks=False)
        return (found.st_dev, found.st_ino) != (mine.st_dev, mine.st_ino)
    return False


def _objects_back(shelf: PackShelf, wanted: Sequence[Binned], *, dry_run: bool) -> dict[bytes, str]:
    store = shelf.store
    chosen = _entries_in(store, wanted)
    result = {each.path: "" if each.path in chosen else "it is not in the trash any more" for each in wanted}
    there = {item.path: (item.size, item.version) for item in shelf.items()}
    ways = {way for path in there for way in parents_of(path)}
    lost = set(store.missing({ref.digest for entry in chosen.values() for ref in entry.refs()}))
    coming: list[Entry] = []
    for path, entry in sorted(chosen.items()):
        if there.get(path) == (entry.size, digest_of(entry.chunks)):
            continue  # it was put back, and the trash has not let go yet
        if path in there or path in ways or any(way in there for way in parents_of(path)):
            result[path] = TAKEN
        elif gone := len({ref.digest for ref in entry.refs()} & lost):
            result[path] = f"{COLLECTED}: {gone} of {len(list(entry.refs()))} chunks are gone"
        else:
            coming.append(entry)
    if dry_run:
        return result
    if coming:
        root = f"routes/{ROUTE}"
        before = store.read_ref(f"{root}/head")
        old = store.get_index(before.digest) if before else Index()
        new = merged(Index(entries=tuple(coming)), old, left_out=(), keep_all=True)
        write_state(store, root, before, store.put_index(new), before.path if before else "")
    for name in {each.ref: None for each in wanted}:
        back = {each.path for each in wanted if each.ref == name and not result[each.path]}
        _let_go(store, name, back)
    shelf.refresh()
    return result


def _entries_in(store: PackStore, wanted: Sequence[Binned]) -> dict[bytes, Entry]:
    found: dict[bytes, Entry] = {}
    for name in {each.ref: None for each in wanted}:
        ref = store.read_ref(name)
        mine = {each.path for each in wanted if each.ref == name}
        for entry in store.entries(ref.digest) if ref is not None else ():
            if entry.path in mine:
                found[entry.path] = entry
    return found


def _let_go(store: PackStore, name: str, back: set[bytes]) -> None:
    """Leave out of the trash what was put back; the rest of what went in together stays there, as old as it is."""
    ref = store.read_ref(name) if back else None
    if ref is None:
        return
    rest = without(store.get_index(ref.digest), back)
    if rest.entries:
        digest = store.put_index(rest)
        day = name.removeprefix(TRASH_REFS).partition("/")[0]
        other = f"{TRASH_REFS}{day}/{digest[:16]}"
        new = Ref(kind="index", digest=digest, written_ms=ref.written_ms)
        with promised(store, new, lambda: store.delete_ref(other)):
            store.write_new_ref(other, new)
    store.delete_ref(name)
