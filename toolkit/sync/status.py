"""How far routes are: what each target of a route holds, and since when. Reads, changes nothing.

For `tiers sync status|plan`. A state is written only when something changed, so an old one may be up to date: what is
missing now is what a dry run says, and when an agent last succeeded its metrics say. A target that does not
answer says so in its row; the others are shown all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from toolkit.errors import TiersError
from toolkit.sync.pins import documents_of
from toolkit.sync.remotes.choose import open_storage
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.result import SyncResult
from toolkit.sync.route_refs import heads_of_route
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask


@dataclass(frozen=True)
class RouteState:
    """One target of a route, for one machine that runs it."""

    route: str
    origin: str
    """The machine whose data it is; empty when one machine runs the route."""
    source: str
    tier: str
    url: str
    files: int = 0
    total_bytes: int = 0
    sequence: int = 0
    """How many states the route has brought."""
    written_ms: int = 0
    """When the newest one was written, in milliseconds since 1970; 0 when there is none."""
    error: str = ""
    """Why nothing is known."""

    @property
    def exit_code(self) -> int:
        """1 for a target about which nothing is known."""
        return int(bool(self.error))


@dataclass(frozen=True)
class Ahead:
    """What a route would do now, or why nobody can say."""

    route: str
    result: SyncResult | None
    error: str = ""

    @property
    def exit_code(self) -> int:
        """1 for a route, or a target of it, about which nothing is known."""
        return int(bool(self.error or (self.result and self.result.exit_code)))


def look_ahead(task: SyncTask, remotes: Callable[[Storage], Remote] = open_storage) -> Ahead:
    """Look at both ends of a route; an error becomes a part of the answer."""
    try:
        return Ahead(task.route, run_task(task, dry_run=True, remotes=remotes))
    except TiersError as error:
        return Ahead(task.route, None, error.message)


def states_of(task: SyncTask, remotes: Callable[[Storage], Remote] = open_storage) -> list[RouteState]:
    """Say what each target of a route holds: one row a target and machine, one that is empty where nothing came yet."""
    rows: list[RouteState] = []
    for place in task.targets:
        bare = RouteState(task.route, "", task.source.tier, place.tier, place.url)
        try:
            rows += _rows(task, place, bare, remotes) or [bare]
        except TiersError as error:
            rows.append(replace(bare, error=error.message))
    return rows


def _rows(
    task: SyncTask, place: Storage, bare: RouteState, remotes: Callable[[Storage], Remote]
) -> list[RouteState]:
    documents = documents_of(place, remotes)
    rows: list[RouteState] = []
    for origin, head in heads_of_route(documents, task.route) if documents else ():
        files = size = 0
        for entry in documents.entries(head.digest) if documents else ():
            files += entry.kind == "file"
            size += entry.size
        rows.append(
            replace(
                bare,
                origin=origin,
                files=files,
                total_bytes=size,
                sequence=head.sequence,
                written_ms=head.written_ms,
            )
        )
    return rows
