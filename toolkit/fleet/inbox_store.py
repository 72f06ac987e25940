"""What lies in an inbox: a store of packs for each device, below one storage.

`inbox` fills it; `tiers inbox list` and `tiers inbox get` read it. From a site's own machines it is plain storage: a
route may begin there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import SyncError
from toolkit.sync.events import Listener, unheard
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.choose import open_remote
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.result import SyncResult
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask
from toolkit.wire.topics import check_label

_HEAD, _HEAD_PARTS = "/head", 7
"""DEVICE/refs/routes/ROUTE/from/DEVICE/head"""


@dataclass(frozen=True)
class Sent:
    """What one device has sent under one route."""

    device: str
    route: str
    files: int
    total_bytes: int
    written_ms: int
    """When the last of it came, Unix time."""
    states: int
    """How often something changed; each state is kept."""


def storage_url(inbox: str, device: str) -> str:
    """Give where a device's store is."""
    return f"{inbox.rstrip('/')}/{check_label(device, what='device')}"


def storages(inbox: str) -> Callable[[str], Remote]:
    """Give a function that opens the store of a device, and makes it when it is not there yet.

    The inbox itself is not made: an empty mount point must not be filled.

    Raises:
        RemoteUnavailableError: the inbox is not there.
        UsageError: the URL leads nowhere.
    """
    open_remote(inbox)
    return lambda device: open_remote(storage_url(inbox, device), create=True)


def sent(inbox: str) -> tuple[Sent, ...]:
    """List what every device has sent.

    Raises:
        RemoteUnavailableError: the inbox is not there.
        IntegrityError: a Ref or an index in it is damaged.
    """
    heads = [found.key.split("/") for found in open_remote(inbox).list() if found.key.endswith(_HEAD)]
    return tuple(_sent(inbox, parts[0], parts[3]) for parts in heads if _is_head(parts))


def fetch(inbox: str, device: str, route: str, into: Path, *, listen: Listener = unheard) -> SyncResult:
    """Lay out what a device has sent as plain files in a folder; files that did not change stay as they are.

    Raises:
        SyncError: the device has sent nothing under this route.
        RemoteUnavailableError: the inbox or the folder is not there.
    """
    if not any((each.device, each.route) == (device, route) for each in sent(inbox)):
        known = ", ".join(sorted({f"{each.device} {each.route}" for each in sent(inbox)})) or "nothing"
        raise SyncError(f"{device} has sent nothing as {route}; there is: {known}", hint="tiers inbox list")
    task = SyncTask(
        route=route,
        origin=device,
        source=Storage(tier="inbox", url=storage_url(inbox, device), layout="packs"),
        targets=(Storage(tier="here", url=into.absolute().as_uri()),),
    )
    return run_task(task, listen=listen)


def _is_head(parts: list[str]) -> bool:
    if len(parts) != _HEAD_PARTS:
        return False
    device, refs, routes, _, by, origin, _ = parts
    return (refs, routes, by, origin) == ("refs", "routes", "from", device)


def _sent(inbox: str, device: str, route: str) -> Sent:
    store = PackStore(open_remote(storage_url(inbox, device)))
    root = f"routes/{route}/from/{device}"
    head = store.read_ref(f"{root}/head")
    if head is None:
        raise SyncError(f"what {device} sent as {route} is being deleted", hint="tiers inbox list, again")
    index = store.get_index(head.digest)
    files = sum(1 for entry in index.entries if entry.kind == "file")
    return Sent(device, route, files, index.total_bytes, head.written_ms, len(store.list_refs(f"{root}/at/")))
