"""Read data back and prove that it is still what its index says: bit rot, lost files, damaged packs.

Runs by itself (`tiers sync verify ROUTE`), never as part of a sync; a sync reads back only before it empties a source.
What is found damaged is named with the place and the cure; nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from toolkit.errors import IntegrityError, MissingObjectError, SyncError
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.layouts.mirror import MirrorTarget
from toolkit.sync.layouts.pack import MAX_PACK_BYTES, decode_pack
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.choose import folder_of, open_remote
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.route_refs import ref_root
from toolkit.sync.task import Storage, SyncTask
from toolkit.wire.chunk import open_chunk
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.document import MAX_DOCUMENT_BYTES, decode_json
from toolkit.wire.index import Index
from toolkit.wire.keyring import Keyring
from toolkit.wire.manifest import decode_manifest
from toolkit.wire.paths import shown
from toolkit.wire.signature import Sealed, unseal


@dataclass(frozen=True)
class Damage:
    """Something that is not what it should be: a path, a pack or a Ref, and why."""

    what: str
    reason: str


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


def verify_target(task: SyncTask, place: Storage, remotes: Callable[[str], Remote] = open_remote) -> Verified:
    """Read back what a route has brought to one of its targets.

    Raises:
        SyncError: the route has brought nothing there yet, or is at work.
        RemoteUnavailableError: the target does not answer.
        IntegrityError: its index was damaged.
    """
    if place.layout == "mirror":
        target = MirrorTarget(folder_of(place.url), task)
        try:
            index = target.held()
            bad = target.read_back([entry for entry in index.entries if entry.kind == "file"])
        finally:
            target.close()
        reason = f"it is not what the route wrote; tiers sync run {task.route} --check mends it"
        damage = [Damage(shown(path), reason) for path in sorted(bad)]
        return _verified(place.url, index, damage)
    store = PackStore(remotes(place.url))
    ref = store.read_ref(f"{ref_root(task)}/head")
    if ref is None:
        hint = f"tiers sync run {task.route}"
        raise SyncError(f"route {task.route} has brought nothing to {place.url} yet", hint=hint)
    index = store.get_index(ref.digest)
    found = [
        Damage(shown(entry.path), reason)
        for entry in index.entries
        if (reason := _first_damage(store, (ref.digest for ref in entry.refs())))
    ]
    return _verified(place.url, index, found)


def verify_packs(store: PackStore, keyring: Keyring | None = None) -> list[Damage]:
    """Read a whole store of packs: every pack, every index and manifest that a Ref points to, every chunk of those.

    Args:
        store: what to read.
        keyring: whose seals must hold; None does not look at signatures.

    Raises:
        RemoteUnavailableError: the store does not answer.
    """
    damage: list[Damage] = []
    for found in store.remote.list("packs/"):
        try:
            _check_pack(store.remote, found.key)
        except IntegrityError as error:
            damage.append(Damage(found.key, error.message))
    store.refresh()
    for name in store.list_refs():
        try:
            for digest in _chunks_below(store, name, keyring):
                if not store.has(digest):
                    damage.append(Damage(f"refs/{name}", f"chunk {digest[:12]} is missing"))
                    break
        except (IntegrityError, MissingObjectError) as error:
            damage.append(Damage(f"refs/{name}", error.message))
    return damage


def _check_pack(remote: Remote, key: str) -> None:
    data = remote.read(key, limit=MAX_PACK_BYTES)
    if f"packs/{digest_of(data)}" != key:
        raise IntegrityError("its bytes are not those that it is named after")
    for entry in decode_pack(data, what=key):
        open_chunk(data[entry.offset : entry.offset + entry.length], entry.digest, entry.size)


def _chunks_below(documents: Documents, name: str, keyring: Keyring | None) -> Iterator[Digest]:
    ref = documents.read_ref(name)
    if ref is None:
        return
    digest = ref.digest
    if ref.kind == "manifest":
        what = f"manifest {digest[:12]}"
        sealed = documents.get_sealed(digest)
        if keyring is not None:
            unseal(sealed, "manifest", keyring, what=what)
        payload = decode_json(sealed, Sealed, what=what, limit=2 * MAX_DOCUMENT_BYTES).payload
        digest = decode_manifest(payload)[1].index
    for entry in documents.get_index(digest).entries:
        for chunk in entry.refs():
            yield chunk.digest


def _first_damage(store: PackStore, digests: Iterator[Digest]) -> str:
    for digest in digests:
        try:
            store.read_stored(digest)
        except (IntegrityError, MissingObjectError) as error:
            return error.message
    return ""


def _verified(url: str, index: Index, damage: list[Damage]) -> Verified:
    files = sum(entry.kind == "file" for entry in index.entries)
    return Verified(url, files, index.total_bytes, tuple(damage))
