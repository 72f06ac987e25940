"""Route → SyncTask: the document that a device, a pod or `tiers sync run` hands to sync.

Pure. Stands between Topology and those who move data: `render` writes the tasks into a device's configuration, the
command `tiers sync` takes them from here. An agent never reads tiers.yaml.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

import msgspec

from toolkit.errors import IntegrityError, UsageError
from toolkit.sync.task import LimitHours, SyncTask, check_task
from toolkit.sync.task import Storage as Place
from toolkit.topology.names import TierName
from toolkit.topology.route import Route
from toolkit.topology.secret import SecretReference
from toolkit.topology.storage import Storage
from toolkit.topology.topology import Topology
from toolkit.topology.units import Rate
from toolkit.wire.paths import check_path

CREDENTIALS_FOLDER = "/etc/tiers/credentials"
"""Where pods find logins of storages: one folder for each Secret, one file for each of its keys."""
LOGINS_IN_SECRET = {"s3": "credentials", "sftp": "ssh-privatekey"}
"""The key inside a Secret that holds a login, by scheme, when tiers.yaml names none; the second one is Kubernetes' own,
of the type kubernetes.io/ssh-auth."""
HOSTS_IN_SECRET, AUTHORITIES_IN_SECRET = "known_hosts", "ca.crt"
KEYS_FOLDER = "/etc/tiers/keys"
"""Where pods find keys of encrypted storages: one folder for each Secret."""
KEY_IN_SECRET = "storage.key"  # noqa: S105 -- the name of a file
"""The key inside a Secret that holds a key file, when tiers.yaml names none."""
_FEWEST_COPIES = 2
"""The source counts as one, so a route from a tier to itself is about two at least."""


def sync_task(topology: Topology, name: str, *, origin: str = "") -> SyncTask:
    """Fill in a route's places and numbers.

    Data goes to the first storage of the target tier. A route from a tier to itself keeps copies: its source is the
    tier's first storage, its targets are the others, and `copies` counts the source too; when there are more storages
    than that, each run keeps to those that have a copy and else takes the emptiest.

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
    agent = topology.tiers[route.source].agent
    cap = agent.limit if agent else None
    task = SyncTask(
        route=name,
        source=source,
        targets=tuple(targets),
        path=route.path,
        origin=origin,
        every_seconds=route.cadence.seconds if route.cadence else 0.0,
        limit_bytes_per_second=_lowest(cap, route.limit),
        older_than_seconds=route.when.older_than.seconds if route.when.older_than else 0.0,
        larger_than_bytes=route.when.larger_than.count if route.when.larger_than else 0,
        matching=route.when.matching or "",
        trigger=route.trigger,
        then="remove_source" if route.then == "remove_source" else "keep",
        copies=wanted,
        spread=copying and wanted < len(targets),
        hours=tuple(
            LimitHours(
                days=each.days.days,
                opens=each.opens.minutes,
                closes=each.closes.minutes,
                bytes_per_second=_lowest(cap, each.limit),
            )
            for each in route.hours
        ),
        timezone=route.timezone if route.hours else "",
        grid=_grid_of(route, targets),
    )
    return check_task(task, what=f"route {name}")


def _grid_of(route: Route, targets: Sequence[Place]) -> Literal["data", "archive", "weights"]:
    """Say how finely the files of a route are cut."""
    if route.content == "weights":
        return "weights"
    # What rests in cold is written once and read whole, so larger chunks cost less and find as much.
    return "archive" if all(target.tier == "cold" for target in targets) else "data"


def sync_tasks(topology: Topology, tier: TierName | None = None, *, origin: str = "") -> tuple[SyncTask, ...]:
    """Give the tasks of all routes in order of name, or of those that one tier runs: the ones that begin there.

    Raises:
        UsageError, IntegrityError: as `sync_task`.
    """
    names = sorted(name for name, route in topology.routes.items() if tier in {None, route.source})
    return tuple(sync_task(topology, name, origin=origin) for name in names)


def tasks_on_line(topology: Topology, place: Place) -> tuple[SyncTask, ...]:
    """Give the tasks whose limits hold for whatever goes to a storage or comes from it: of the routes at its tier.

    A folder is a disk of the machine, or a mount; no line of ours leads there. A route that cannot be carried out moves
    nothing and limits nothing.

    Args:
        topology: all of tiers.yaml.
        place: a storage of it, or one that is named by its URL.
    """
    if place.url.startswith("file:"):
        return ()
    found: list[SyncTask] = []
    for name, route in sorted(topology.routes.items()):
        with suppress(UsageError, IntegrityError):
            task = sync_task(topology, name)
            urls = {each.url for each in (task.source, *task.targets)}
            if place.tier in {route.source, route.target} or place.url in urls:
                found.append(task)
    return tuple(found)


def recall_tasks(topology: Topology, path: str) -> tuple[SyncTask, ...]:
    """Give the routes on demand that can bring a path back, each with the part of its path that is asked for.

    Args:
        topology: all of tiers.yaml.
        path: below the storages, such as `studies/2031/p7`.

    Raises:
        UsageError: no route on demand covers it.
        UnsafePathError: it would leave the storage.
    """
    asked = check_path(path.rstrip("/").encode()).decode()
    found = [
        msgspec.structs.replace(sync_task(topology, name), below=asked[len(route.path) + 1 :], format=0)
        for name, route in sorted(topology.routes.items())
        if route.trigger == "demand" and f"{asked}/".startswith(f"{route.path}/")
    ]
    if not found:
        covered = ", ".join(
            sorted({route.path for route in topology.routes.values() if route.trigger == "demand"})
        )
        raise UsageError(
            f"no route on demand covers {path!r}; those there are cover: {covered or 'nothing'}",
            hint="routes: {recall: {from: cold, to: warm, path: PATH, trigger: demand}}",
        )
    return tuple(check_task(task, what=f"route {task.route}") for task in found)


def recall_tier(tasks: Sequence[SyncTask], wanted: str | None) -> str:
    """Choose where a recall goes: what is wanted, else the only tier that its routes lead to.

    Raises:
        UsageError: none of them leads there, or several tiers are possible and none was named.
    """
    tiers = sorted({task.targets[0].tier for task in tasks})
    if wanted is None and len(tiers) == 1:
        return tiers[0]
    if wanted not in tiers:
        asked = (
            f"no route on demand brings it to {wanted}" if wanted else "it can be brought to several tiers"
        )
        raise UsageError(f"{asked}; say one of: {', '.join(tiers)}", hint=f"--to {tiers[0]}")
    return wanted


def _storages(topology: Topology, tier: TierName, route: str) -> list[Place]:
    """Give the storages of a tier. Raises UsageError when it has none."""
    listed = topology.tiers[tier].storage if tier in topology.tiers else ()
    if not listed:
        raise UsageError(f"route {route}: tier {tier} has no storage", hint=f"write tiers.{tier}.storage")
    return [place_of(tier, storage) for storage in listed]


def _lowest(*limits: Rate | None) -> int:
    """Give the lowest limit in bytes a second; 0 when there is none."""
    return min((each.bytes_per_second for each in limits if each), default=0)


def place_of(home: str, storage: Storage) -> Place:
    """Give a storage as a task has it: with the files that its login and its keys are in, never what is in them.

    A login that stands in a variable has no file; whoever opens the storage resolves it. A folder needs no login.

    Args:
        home: its tier, or `registry`.
        storage: as tiers.yaml has it.
    """
    scheme = storage.url.partition(":")[0]
    if scheme == "file":
        return Place(tier=home, url=storage.url, layout=storage.kept_as, key_file=_key_file(storage))
    return Place(
        tier=home,
        url=storage.url,
        layout=storage.kept_as,
        endpoint=storage.endpoint or "",
        region=storage.region or "",
        credentials_file=_file_of(storage.credentials, LOGINS_IN_SECRET.get(scheme, "")),
        known_hosts_file=_file_of(storage.known_hosts, HOSTS_IN_SECRET),
        ca_file=_file_of(storage.ca, AUTHORITIES_IN_SECRET),
        object_class=storage.object_class or "",
        key_file=_key_file(storage),
    )


def _file_of(reference: SecretReference | None, usual: str) -> str:
    """Give the file that a reference means: where pods mount it, or as tiers.yaml has it."""
    if reference is None or reference.env:
        return ""
    return reference.file or f"{CREDENTIALS_FOLDER}/{reference.name}/{reference.key or usual}"


def _key_file(storage: Storage) -> str:
    """Give the file that the key of a storage is in: where pods mount it, or as tiers.yaml has it."""
    if storage.key is None:
        return ""
    return storage.key.file or f"{KEYS_FOLDER}/{storage.key.name}/{storage.key.key or KEY_IN_SECRET}"
