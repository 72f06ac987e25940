"""When the first storage of a route that keeps copies has lost its own, a copy takes its place. Before `spread`.

    its disk was replaced, so the storage is empty    the copy that was written last is brought back to it, all of it
    it does not answer                                that copy is the source of this run: the others are kept up, and
                                                      one that is missing is made where there is room

An empty mount point looks like a new disk, as it does where it is a target. A storage in which anything lies, be it
only our notes, is believed: what it has no more, somebody has deleted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from toolkit.errors import SyncError, TiersError
from toolkit.sync.events import FileProblem
from toolkit.sync.folder import unavailable
from toolkit.sync.pins import documents_of
from toolkit.sync.remotes.choose import folder_of, open_storage
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.route_refs import ref_root
from toolkit.sync.task import Storage, SyncTask

Remotes = Callable[[Storage], Remote]


@dataclass(frozen=True)
class StandIn:
    """The task that is carried out, and what people must know about it."""

    task: SyncTask
    problems: tuple[FileProblem, ...] = ()


def stand_in_for(task: SyncTask, remotes: Remotes = open_storage) -> StandIn:
    """Give the task with a source that has something.

    Args:
        task: any; one that leads to another tier, or to whose source nothing has happened, is given as it is. So is one
            without a copy that answers: the run then says what is wrong with its source.
        remotes: opens the Remote of a storage.
    """
    if task.origin or any(place.tier != task.source.tier for place in task.targets):
        return StandIn(task)
    silent = ""
    try:
        if not _is_empty(task.source, remotes):
            return StandIn(task)
    except SyncError as error:
        silent = error.message
    holders = _holders(task, remotes)
    if not holders:
        return StandIn(task)
    best = holders[0]
    others = tuple(place for place in task.targets if place != best)
    if not silent:
        back = msgspec.structs.replace(task, source=best, targets=(task.source,), copies=0, spread=False)
        return StandIn(back)
    if not others:
        return StandIn(task)
    wanted = min(task.copies or len(task.targets), len(others))
    kept = msgspec.structs.replace(
        task, source=best, targets=others, copies=wanted, spread=wanted < len(others), format=0
    )
    told = FileProblem(task.source.url, "unreadable", f"{silent}; {best.url} was copied instead")
    return StandIn(kept, (told,))


def _is_empty(place: Storage, remotes: Remotes) -> bool:
    """Say whether nothing at all lies in a storage. Raises RemoteUnavailableError: it does not answer."""
    if place.layout != "mirror":
        return next(iter(remotes(place).list("")), None) is None
    documents_of(place, remotes)  # says so when it is not there
    path = folder_of(place.url)
    try:
        with os.scandir(path) as found:
            return all(item.name == "lost+found" for item in found)
    except OSError as error:
        raise unavailable(error, path) from error


def _holders(task: SyncTask, remotes: Remotes) -> list[Storage]:
    """List the copies that answer, the one written last first."""
    found: list[tuple[int, int]] = []
    for number, place in enumerate(task.targets):
        try:
            documents = documents_of(place, remotes)
            head = documents.read_ref(f"{ref_root(task)}/head") if documents is not None else None
        except TiersError:
            continue
        if head is not None:
            found.append((-head.written_ms, number))
    return [task.targets[number] for _, number in sorted(found)]
