"""Route → SyncTask: the document that a device, a pod or `tiers sync run` hands to sync.

Pure. Stands between Topology and those who move data: `render` writes the tasks into a device's configuration, the
command `tiers sync` takes them from here. An agent never reads tiers.yaml.
"""

from __future__ import annotations

from toolkit.errors import UsageError
from toolkit.sync.task import Storage as Place
from toolkit.sync.task import SyncTask, check_task
from toolkit.topology.names import TierName
from toolkit.topology.storage import Storage
from toolkit.topology.topology import Topology

_FEWEST_COPIES = 2
"""The source counts as one, so a route from a tier to itself is about two at least."""


def sync_task(topology: Topology, name: str, *, origin: str = "") -> SyncTask:
    """Fill in a route's places and numbers.

    Data goes to the first storage of the target tier. A route from a tier to itself keeps copies: its source is the
    tier's first storage, its targets are the others, and `copies` counts the source too.

    Args:
        topology: all of tiers.yaml.
        name: name of the route.
        origin: the machine whose data it is, when several run the same route; a device's name.

    Raises:
        UsageError: no such route, or a tier of it has no storage (or, for copies, too few).
        IntegrityError: a name or number of the route cannot be carried out.
    """
    if name not in topology.routes:
        known = ", ".join(sorted(topology.routes)) or "none"
        raise UsageError(f"there is no route {name!r}; known are: {known}", hint="tiers explain routes")
    route = topology.routes[name]
    source, *others = _storages(topology, route.source, name)
    copying = route.source == route.target
    targets = others if copying else _storages(topology, route.target, name)[:1]
    wanted = (route.copies or _FEWEST_COPIES) - 1 if copying else 0
    if wanted > len(targets):
        message = f"route {name}: {wanted + 1} copies need {wanted + 1} storages, {route.source} has {len(others) + 1}"
        raise UsageError(
            message, hint=f"add one to tiers.{route.source}.storage, or lower routes.{name}.copies"
        )
    task = SyncTask(
        route=name,
        source=source,
        targets=tuple(targets),
        path=route.path,
        origin=origin,
        every_seconds=route.cadence.seconds if route.cadence else 0.0,
        limit_bytes_per_second=route.limit.bytes_per_second if route.limit else 0,
        older_than_seconds=route.when.older_than.seconds if route.when.older_than else 0.0,
        larger_than_bytes=route.when.larger_than.count if route.when.larger_than else 0,
        matching=route.when.matching or "",
        trigger=route.trigger,
        then="remove_source" if route.then == "remove_source" else "keep",
        copies=wanted,
        # What rests in packs is written once and read whole, so larger chunks cost less and find as much.
        grid="archive" if all(target.layout == "packs" for target in targets) else "data",
    )
    return check_task(task, what=f"route {name}")


def sync_tasks(topology: Topology, tier: TierName | None = None, *, origin: str = "") -> tuple[SyncTask, ...]:
    """Give the tasks of all routes in order of name, or of those that one tier runs: the ones that begin there.

    Raises:
        UsageError, IntegrityError: as `sync_task`.
    """
    names = sorted(name for name, route in topology.routes.items() if tier in {None, route.source})
    return tuple(sync_task(topology, name, origin=origin) for name in names)


def _storages(topology: Topology, tier: TierName, route: str) -> list[Place]:
    """Give the storages of a tier. Raises UsageError when it has none."""
    listed = topology.tiers[tier].storage if tier in topology.tiers else ()
    if not listed:
        raise UsageError(f"route {route}: tier {tier} has no storage", hint=f"write tiers.{tier}.storage")
    return [_place(tier, storage) for storage in listed]


def _place(tier: TierName, storage: Storage) -> Place:
    return Place(tier=tier, url=storage.url, layout=storage.layout)
