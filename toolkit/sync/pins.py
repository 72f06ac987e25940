"""Pins: Refs that say who needs what a route has brought, so that nobody takes it away meanwhile.

    refs/pins/ROUTE/HOLDER → the index that the route had brought when it was pinned

Written by `cloud_jobs.pin` after a staging and taken away after the job that needed the data, and by a recall for as
long as somebody asked for; whatever frees room in a storage asks `holders` or `pinned_paths` first. Pinning twice moves
the pin to what is there now; releasing twice is harmless; a pin whose time is over holds nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from toolkit.errors import SyncError
from toolkit.sync.layouts.disk import SIDECAR
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.promise import promised
from toolkit.sync.read import join
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.choose import folder_of, open_storage
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.route_refs import ref_root
from toolkit.sync.task import Storage, SyncTask
from toolkit.wire.digest import digest_of
from toolkit.wire.index import Index


def pin(task: SyncTask, place: Storage, holder: str, *, until_ms: int = 0, note: str = "") -> Ref:
    """Keep what a route has brought to one of its targets.

    Args:
        task: the route; of one with `below`, all that it has brought there is kept.
        place: the target.
        holder: who needs it, as a part of a Ref's name.
        until_ms: when the pin ends by itself, in milliseconds since 1970; 0 is never.
        note: why, for people.

    Raises:
        SyncError: the route has brought nothing there yet.
        RemoteUnavailableError: the target does not answer.
        IntegrityError: its head was damaged, or `holder` is no name.
    """
    documents = documents_of(place)
    head = documents.read_ref(f"{ref_root(task)}/head") if documents else None
    if documents is None or head is None:
        message = f"route {task.route} has brought nothing to {place.url} yet, so there is nothing to pin"
        raise SyncError(message, hint=f"tiers sync run {task.route}")
    pinned = Ref(kind=head.kind, digest=head.digest, path=head.path, until_ms=until_ms, note=note)
    name = _name(task, holder)
    with promised(documents, pinned, lambda: documents.delete_ref(name)):
        documents.write_ref(name, pinned)
    return head


def pin_part(
    task: SyncTask,
    place: Storage,
    *,
    until_ms: int,
    note: str = "",
    remotes: Callable[[Storage], Remote] = open_storage,
) -> Ref:
    """Keep the part of a path that a task with `below` has brought to one of its targets, and nothing else of it.

    A second pin of the same part takes the place of the first unless that one lasts longer.

    Raises:
        SyncError: nothing of the part is there.
        RemoteUnavailableError: the target does not answer.
        IntegrityError: its head was damaged.
    """
    documents = documents_of(place, remotes)
    head = documents.read_ref(f"{ref_root(task)}/head") if documents else None
    below = task.below.encode()
    entries = documents.entries(head.digest) if documents and head else ()
    part = tuple(
        each for each in entries if not below or each.path == below or each.path.startswith(below + b"/")
    )
    if documents is None or not part:
        message = f"route {task.route} has brought nothing of {task.below!r} to {place.url}"
        raise SyncError(message, hint=f"tiers sync recall {task.path}/{task.below}")
    name = _name(task, f"part-{digest_of(below)[:16]}")
    before = documents.read_ref(name)
    until = max(until_ms, before.until_ms if before else 0)
    digest = documents.put_index(Index(entries=part))
    pinned = Ref(kind="index", digest=digest, path=task.path, until_ms=until, note=note)
    with promised(documents, pinned, lambda: documents.delete_ref(name)):
        documents.write_ref(name, pinned)
    return pinned


def release(task: SyncTask, place: Storage, holder: str) -> bool:
    """Take a pin away; say whether it was there.

    Raises:
        RemoteUnavailableError: the target does not answer.
    """
    documents = documents_of(place)
    return documents is not None and documents.delete_ref(_name(task, holder))


def holders(task: SyncTask, place: Storage) -> tuple[str, ...]:
    """Name who needs what a route has brought to a target. Raises RemoteUnavailableError."""
    root, documents = f"pins/{task.route}/", documents_of(place)
    return tuple(name.removeprefix(root) for name in documents.list_refs(root)) if documents else ()


def pinned_paths(
    place: Storage,
    path: str,
    *,
    now_ms: int | None = None,
    remotes: Callable[[Storage], Remote] = open_storage,
) -> frozenset[bytes]:
    """Give the files below a path of a storage, relative to it, that somebody has pinned there.

    Raises:
        RemoteUnavailableError: the storage does not answer.
        IntegrityError: a pin or its index was damaged, so that nobody knows what it holds.
    """
    documents = documents_of(place, remotes)
    if documents is None:
        return frozenset()
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    wanted = path.encode()
    held: set[bytes] = set()
    for name in documents.list_refs("pins/"):
        ref = documents.read_ref(name)
        if ref is None or ref.kind != "index" or 0 < ref.until_ms <= now:
            continue
        root = ref.path.encode()
        for entry in documents.entries(ref.digest):
            whole = join(root, entry.path)
            if not wanted:
                held.add(whole)
            elif whole.startswith(wanted + b"/"):
                held.add(whole[len(wanted) + 1 :])
    return frozenset(held)


def _name(task: SyncTask, holder: str) -> str:
    return f"pins/{task.route}/{holder}"


def documents_of(place: Storage, remotes: Callable[[Storage], Remote] = open_storage) -> Documents | None:
    """Open the documents of a storage: of packs at its root, of a mirror in its sidecar; None when it has none yet."""
    if place.layout != "mirror":
        return PackStore(remotes(place))
    root = Path(folder_of(place.url))
    DirectoryRemote(str(root))  # an empty mount point is no storage: it says so, and nothing is made in it
    sidecar = root / os.fsdecode(SIDECAR)
    return Documents(DirectoryRemote(str(sidecar))) if sidecar.is_dir() else None
