"""From tiers.yaml to the parts of a backup: what is reachable is opened here, and what is not is named with the reason.

`tiers backup` calls it. A cluster or a broker that does not answer is no reason to save nothing.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import ClusterError, TiersError, UnreachableError, UsageError

if TYPE_CHECKING:
    from toolkit.backup.gather_broker import Recorder
    from toolkit.backup.part import Item, Part
    from toolkit.sync.remotes.remote import Remote
    from toolkit.topology.topology import Topology


def site_files(files: Sequence[Path], topology: Topology) -> list[Path]:
    """List tiers.yaml and what stands beside it: the lock of images, the inventory."""
    from toolkit.render.lock import LOCK_FILE

    folder = files[0].parent
    beside = [folder / LOCK_FILE, *([folder / topology.inventory] if topology.inventory else [])]
    return [*files, *(file for file in beside if file.is_file() and file not in files)]


def open_recorder(topology: Topology, broker: str, stack: ExitStack) -> Recorder:
    """Connect to the broker and collect what it retains.

    Raises:
        UnreachableError: it does not answer.
        UsageError: its login is not on this machine.
    """
    from toolkit.backup.gather_broker import record
    from toolkit.cli.broker import link_settings
    from toolkit.link.paho_link import PahoLink
    from toolkit.wire.topics import Topics

    name = f"cli-{secrets.token_hex(6)}"
    settings = link_settings(topology, broker, name)
    address = f"the broker at {settings.address}"
    recorder = record(PahoLink(settings), Topics(topology.name), name=name, address=address)
    stack.callback(recorder.close)
    return recorder


def broker_part(topology: Topology, broker: str) -> Part:
    """Give what the broker retains, or why not."""
    from toolkit.backup.gather_broker import BROKER, gather_broker
    from toolkit.backup.part import Part

    with ExitStack() as stack:
        try:
            recorder = open_recorder(topology, broker, stack)
        except (UnreachableError, UsageError) as error:
            return Part(BROKER, skipped=error.message)
        return gather_broker(recorder.documents, recorder.topics)


def revisions_part(topology: Topology, kubeconfig: Path | None) -> Part:
    """Give the histories of all clusters that answer, and name those that do not."""
    from toolkit.backup.gather_clusters import REVISIONS, revision_items
    from toolkit.backup.part import Part
    from toolkit.cluster.applyset import ApplySet
    from toolkit.cluster.connect import connect

    items: list[Item] = []
    silent: list[str] = []
    for cluster in topology.clusters:
        try:
            connection = connect(topology, cluster, kubeconfig)
            items += revision_items(connection, ApplySet(topology.name, topology.namespace(cluster)))
        except (ClusterError, UnreachableError, UsageError) as error:
            silent.append(f"cluster {cluster}: {error.message}")
    return Part(REVISIONS, items, "; ".join(silent))


def storages_part(topology: Topology) -> Part:
    """Give what storages say of themselves; those that do not answer are named."""
    from toolkit.backup.gather_storages import STORAGES, storage_items
    from toolkit.backup.part import Part

    opened: list[tuple[str, Remote]] = []
    silent: list[str] = []
    for name, open_one in _storages(topology):
        try:
            opened.append((name, open_one()))
        except TiersError as error:
            silent.append(f"{name}: {error.message}")

    def items() -> Iterator[Item]:
        for name, remote in opened:
            yield from storage_items(name, remote)

    return Part(STORAGES, items(), "; ".join(silent))


def _storages(topology: Topology) -> Iterator[tuple[str, Callable[[], Remote]]]:
    from toolkit.cli.logins import paced_remotes_of
    from toolkit.routes import place_of
    from toolkit.sync.remotes.choose import folder_of
    from toolkit.sync.remotes.directory import DirectoryRemote

    opened = paced_remotes_of(topology)
    for tier, described in topology.tiers.items():
        if tier == "edge":  # each device has its own; what it knows it brings by its routes
            continue
        for number, storage in enumerate(described.storage, 1):
            place = place_of(tier, storage)
            if place.layout == "mirror":
                sidecar = f"{folder_of(place.url)}/.tiers"
                yield f"{tier}-{number}", lambda sidecar=sidecar: DirectoryRemote(sidecar)  # type: ignore[misc]
            else:
                yield f"{tier}-{number}", lambda place=place: opened(place)  # type: ignore[misc]
