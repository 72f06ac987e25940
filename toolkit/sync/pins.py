"""Pins: Refs that say who needs what a route has brought, so that nobody takes it away meanwhile.

    refs/pins/ROUTE/HOLDER → the index that the route had brought when it was pinned

Written by `cloud_jobs.pin` after a staging and taken away after the job that needed the data; whatever frees room in a
storage asks `holders` first. Pinning twice moves the pin to what is there now; releasing twice is harmless.
"""

from __future__ import annotations

import os
from pathlib import Path

from toolkit.errors import SyncError
from toolkit.sync.layouts.disk import SIDECAR
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.choose import folder_of, open_remote
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.route_refs import ref_root
from toolkit.sync.task import Storage, SyncTask


def pin(task: SyncTask, place: Storage, holder: str) -> Ref:
    """Keep what a route has brought to one of its targets.

    Args:
        task: the route.
        place: the target.
        holder: who needs it, as a part of a Ref's name.

    Raises:
        SyncError: the route has brought nothing there yet.
        RemoteUnavailableError: the target does not answer.
        IntegrityError: its head was damaged, or `holder` is no name.
    """
    documents = _documents(place)
    head = documents.read_ref(f"{ref_root(task)}/head") if documents else None
    if documents is None or head is None:
        message = f"route {task.route} has brought nothing to {place.url} yet, so there is nothing to pin"
        raise SyncError(message, hint=f"tiers sync run {task.route}")
    documents.write_ref(_name(task, holder), Ref(kind=head.kind, digest=head.digest, path=head.path))
    return head


def release(task: SyncTask, place: Storage, holder: str) -> bool:
    """Take a pin away; say whether it was there.

    Raises:
        RemoteUnavailableError: the target does not answer.
    """
    documents = _documents(place)
    return documents is not None and documents.delete_ref(_name(task, holder))


def holders(task: SyncTask, place: Storage) -> tuple[str, ...]:
    """Name who needs what a route has brought to a target. Raises RemoteUnavailableError."""
    root, documents = f"pins/{task.route}/", _documents(place)
    return tuple(name.removeprefix(root) for name in documents.list_refs(root)) if documents else ()


def _name(task: SyncTask, holder: str) -> str:
    return f"pins/{task.route}/{holder}"


def _documents(place: Storage) -> Documents | None:
    """Open the documents of a target: of packs at its root, of a mirror in its sidecar; None when it has none yet."""
    if place.layout != "mirror":
        return Documents(open_remote(place.url))
    root = Path(folder_of(place.url))
    DirectoryRemote(str(root))  # an empty mount point is no storage: it says so, and nothing is made in it
    sidecar = root / os.fsdecode(SIDECAR)
    return Documents(DirectoryRemote(str(sidecar))) if sidecar.is_dir() else None
