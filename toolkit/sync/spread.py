"""Choose which storages of a tier keep the copies of a path: those that have them already, then the emptiest.

`run` asks before it begins, when a task leaves the choice. A storage that does not answer counts as lost, so the next
run makes its copy somewhere else; when it comes back it is one copy too many and stays, until somebody removes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from toolkit.errors import TiersError
from toolkit.sync.pins import documents_of
from toolkit.sync.remotes.choose import folder_of, open_storage
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.route_refs import ref_root
from toolkit.sync.task import Storage, SyncTask


def places_for(task: SyncTask, remotes: Callable[[Storage], Remote] = open_storage) -> tuple[Storage, ...]:
    """Give the targets that a run shall fill.

    Args:
        task: with `spread`, as many of its targets as it wants copies; otherwise all of them.
        remotes: opens the Remote of a storage.
    """
    if not task.spread or not task.copies or task.copies >= len(task.targets):
        return task.targets
    ranked = sorted(
        range(len(task.targets)), key=lambda number: (*_rank(task, task.targets[number], remotes), number)
    )
    chosen = sorted(ranked[: task.copies])
    return tuple(task.targets[number] for number in chosen)


def _rank(task: SyncTask, place: Storage, remotes: Callable[[Storage], Remote]) -> tuple[bool, bool, int]:
    """Say how bad a choice a storage is: it does not answer; it holds nothing yet; it has little room."""
    try:
        documents = documents_of(place, remotes)
        holds = documents is not None and documents.read_ref(f"{ref_root(task)}/head") is not None
    except TiersError:
        return True, True, 0
    return False, not holds, -_free_bytes(place)


def _free_bytes(place: Storage) -> int:
    """Give the free bytes of a folder; 0 for what nobody can ask, which goes behind those that can be."""
    if not place.url.startswith("file:"):
        return 0
    try:
        facts = os.statvfs(folder_of(place.url))
    except OSError:
        return 0
    return facts.f_bavail * facts.f_frsize
