"""Read data back and prove that it is still what its index says: bit rot, lost files, damaged packs.

Runs by itself (`tiers sync verify ROUTE`), never as part of a sync; a sync reads back only before it empties a source.
What is found damaged is named with the place and the cure; nothing is changed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import IntegrityError, MissingObjectError, RemoteUnavailableError, SyncError
from toolkit.sync.layouts.disk import SIDECAR
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.layouts.mirror import MirrorTarget
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.choose import folder_of, open_storage
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.route_refs import ref_root
from toolkit.sync.task import Storage, SyncTask
from toolkit.sync.verified import RouteVerified, route_key, write_verified
from toolkit.sync.verify_store import MEND, Damage, check_store
from toolkit.wire.digest import Digest
from toolkit.wire.index import Listing
from toolkit.wire.keyring import Keyring
from toolkit.wire.paths import shown


@dataclass(frozen=True)
class Verified:
    """What was read back."""

    url: str
    files: int
    total_bytes: int
    damage: tuple[Damage, ...]

    @property
    def exit_code(self) -> int:
        """0, or the code of IntegrityError."""
        return IntegrityError.exit_code if self.damage else 0


def verify_target(
    task: SyncTask, place: Storage, remotes: Callable[[Storage], Remote] = open_storage
) -> Verified:
    """Read back what a route has brought to one of its targets.

    Raises:
        SyncError: the route has brought nothing there yet, or is at work.
        RemoteUnavailableError: the target does not answer.
        IntegrityError: its index was damaged.
    """
    began_ms = time.time_ns() // 1_000_000
    documents: Documents
    if place.layout == "mirror":
        target = MirrorTarget(folder_of(place.url), task)
        try:
            index = target.held()
            bad = target.read_back([entry for entry in index.entries if entry.kind == "file"])
        finally:
            target.close()
        documents = Documents(DirectoryRemote(str(Path(folder_of(place.url)) / os.fsdecode(SIDECAR))))
        reason = "it is not what the route wrote"
        cure = f"tiers sync run {task.route} --check mends it"
        damage = [Damage(shown(path), reason, cure) for path in sorted(bad)]
    else:
        documents = store = PackStore(remotes(place))
        head = store.read_ref(f"{ref_root(task)}/head")
        if head is None:
            hint = f"tiers sync run {task.route}"
            raise SyncError(f"route {task.route} has brought nothing to {place.url} yet", hint=hint)
        index = store.get_index(head.digest)
        damage = [
            Damage(shown(entry.path), reason, MEND)
            for entry in index.entries
            if (reason := _first_damage(store, (ref.digest for ref in entry.refs())))
        ]
    found = _verified(place.url, index, damage)
    ref = documents.read_ref(f"{ref_root(task)}/head")
    if ref is not None:
        _note(documents, task, ref, found, began_ms)
    return found


def _note(documents: Documents, task: SyncTask, head: Ref, found: Verified, began_ms: int) -> None:
    """Keep when this was read; a storage that is read-only is verified all the same."""
    note = RouteVerified(
        digest=head.digest,
        sequence=head.sequence,
        verified_ms=began_ms,
        files=found.files,
        total_bytes=found.total_bytes,
        damaged=len(found.damage),
    )
    with suppress(RemoteUnavailableError):
        write_verified(documents, route_key(task), note)


def verify_packs(store: PackStore, keyring: Keyring | None = None) -> list[Damage]:
    """Read a whole store of packs and name what is damaged; see `verify_store.check_store`."""
    return list(check_store(store, keyring=keyring).damage)


def _first_damage(store: PackStore, digests: Iterator[Digest]) -> str:
    for digest in digests:
        try:
            store.read_stored(digest)
        except (IntegrityError, MissingObjectError) as error:
            return error.message
    return ""


def _verified(url: str, index: Listing, damage: list[Damage]) -> Verified:
    files = sum(entry.kind == "file" for entry in index.entries)
    return Verified(url, files, index.total_bytes, tuple(damage))
