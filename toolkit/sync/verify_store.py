"""Read a store of packs and name every document that is not what it should be, with the cure.

`tiers sync verify --store` comes here, `repair` mends what is named. Documents (Refs, manifests, indexes, marks,
promises, notes) are read each time; packs all of them, or the next share of them: how far the last reading came is
kept in `verified/store`, so that with a share of 5 % every pack has been read after 20 readings.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

import msgspec

from toolkit.errors import IntegrityError, MissingObjectError, RemoteUnavailableError, UsageError
from toolkit.sync.below import indexes_below
from toolkit.sync.collecting import MARKS, PENDING, SWEEPS, read_marks, read_sweep
from toolkit.sync.layouts.pack import MAX_PACK_BYTES, decode_pack
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.ref import Ref, decode_ref
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.verified import STORE_KEY, StoreVerified, read_store_verified, write_verified
from toolkit.wire.chunk import open_chunk
from toolkit.wire.digest import Digest, digest_of, from_raw
from toolkit.wire.document import MAX_DOCUMENT_BYTES
from toolkit.wire.entry import PACKED
from toolkit.wire.keyring import Keyring
from toolkit.wire.signature import unseal

MEND = "tiers sync verify --repair mends it from another copy"
_INDEXES = "indexes/"
_DROP = "tiers sync verify --repair removes it; it will be written anew"


@dataclass(frozen=True)
class Damage:
    """Something that is not what it should be: a path, or the key of a document, and why."""

    what: str
    reason: str
    cure: str = ""


@dataclass(frozen=True)
class StoreChecked:
    """What a reading of a store found."""

    url: str
    packs: int
    """Packs that were read."""
    pack_bytes: int
    all_packs: int
    """Packs that there are."""
    all_bytes: int
    refs: int
    damage: tuple[Damage, ...] = ()
    full_ms: int = 0
    """When the last reading of all packs began, in milliseconds since 1970; 0 when there is none yet."""

    @property
    def exit_code(self) -> int:
        """0, or the code of IntegrityError."""
        return IntegrityError.exit_code if self.damage else 0


def check_store(
    store: PackStore, *, share: float = 1.0, keyring: Keyring | None = None, now_ms: int = 0
) -> StoreChecked:
    """Read a store.

    Args:
        store: what to read.
        share: of the packs' bytes to read now, 0 to 1, beginning behind those of the last reading.
        keyring: whose seals must hold; None does not look at signatures.
        now_ms: milliseconds since 1970, for the note of what was read when; 0 writes none.

    Raises:
        UsageError: the share is none.
        RemoteUnavailableError: the store does not answer.
    """
    if not 0 < share <= 1:
        raise UsageError(f"a share of {share:.0%} cannot be read", hint="for example --share 5%")
    note = read_store_verified(store) or StoreVerified()
    if share == 1:
        note = msgspec.structs.replace(note, round_began_ms=0)
    if not note.round_began_ms:
        note = msgspec.structs.replace(note, round_began_ms=now_ms, after="", round_damaged=0)
    packs = sorted((found.key, found.size) for found in store.remote.list("packs/"))
    total = sum(size for _, size in packs)
    read = damaged = 0
    damage: list[Damage] = []
    done = StoreChecked(store.remote.url, 0, 0, len(packs), total, 0)
    behind = [each for each in packs if each[0] > note.after]
    for key, size in behind:
        if read >= share * total:
            break
        if reason := pack_fault(store.remote, key, store):
            damage.append(Damage(key, reason, MEND))
            damaged += 1
        read += size
        note = msgspec.structs.replace(note, after=key)
        done = replace(done, packs=done.packs + 1, pack_bytes=read)
    note = msgspec.structs.replace(note, round_damaged=note.round_damaged + damaged)
    if done.packs == len(behind):
        note = StoreVerified(full_ms=note.round_began_ms, full_damaged=note.round_damaged)
    if now_ms:
        with suppress(RemoteUnavailableError):  # a storage that is read-only is verified all the same
            write_verified(store, STORE_KEY, note)
    documents = check_documents(store, keyring)
    return replace(done, refs=documents.refs, damage=(*damage, *documents.damage), full_ms=note.full_ms)


def pack_fault(remote: Remote, key: str, bases: PackStore | None = None, *, if_gone: bool = False) -> str:
    """Read a pack whole and say what is wrong with it; empty when nothing is, or when it is gone.

    Overlays are put together with what `bases` has; without it, only what lies in the pack itself is looked at. One
    whose base is gone is a fault of the pack only `if_gone` is said: it may be left over from a writer that gave up,
    and if a Ref needs it, its chunk is named as missing.
    """
    try:
        data = remote.read(key, limit=MAX_PACK_BYTES)
        if f"packs/{digest_of(data)}" != key:
            return "its bytes are not those that it is named after"
        for entry in decode_pack(data, what=key):
            stored = data[entry.offset : entry.offset + entry.length]
            if not entry.bases:
                open_chunk(stored, entry.digest, entry.size)
            elif bases is not None and (if_gone or all(map(bases.holds, entry.bases))):
                bases.put_together(entry, Digest(key.removeprefix("packs/")), stored)
    except MissingObjectError:
        return ""
    except IntegrityError as error:
        return error.message
    return ""


@dataclass
class DocumentsChecked:
    """What a reading of all documents found."""

    refs: int = 0
    damage: list[Damage] = field(default_factory=list)
    missing: set[Digest] = field(default_factory=set)
    """Chunks that a Ref needs and no pack with a readable list has."""
    documents: set[str] = field(default_factory=set)
    """Keys of indexes and manifests that are needed and damaged or missing."""


def check_documents(store: PackStore, keyring: Keyring | None = None) -> DocumentsChecked:
    """Read every Ref and everything below it, except for the packs; and what collections and readings have noted."""
    store.refresh()
    return _Documents(store, keyring).check()


class _Documents:
    def __init__(self, store: PackStore, keyring: Keyring | None) -> None:
        self._store = store
        self._keyring = keyring
        self._found = DocumentsChecked()
        self._parts: dict[bytes, str] = {}
        """What is wrong with a part of an index; parts are shared by many states."""
        self._verdicts: dict[Digest, str] = {}

    def check(self) -> DocumentsChecked:
        for name in self._store.list_refs():
            self._found.refs += 1
            try:
                ref = self._store.read_ref(name)
                reason = self._below(ref) if ref else ""
            except IntegrityError as error:
                reason = error.message
            if reason:
                self._found.damage.append(Damage(f"refs/{name}", reason, MEND))
        self._found.damage += _others(self._store.remote)
        return self._found

    def _below(self, ref: Ref) -> str:
        digest = ref.digest
        try:
            indexes = list(indexes_below(self._store, ref))
        except (IntegrityError, MissingObjectError) as error:
            self._blame(f"manifests/{digest}", error)
            return error.message
        if ref.kind == "manifest" and self._keyring is not None:
            try:
                unseal(
                    self._store.get_sealed(digest), "manifest", self._keyring, what=f"manifest {digest[:12]}"
                )
            except IntegrityError as error:
                return error.message
        return next((reason for _, index in indexes if (reason := self._index(index))), "")

    def _index(self, digest: Digest) -> str:
        if digest not in self._verdicts:
            self._verdicts[digest] = self._read_index(digest)
        return self._verdicts[digest]

    def _read_index(self, digest: Digest) -> str:
        key = f"indexes/{digest}"
        try:
            tree = self._store.get_tree(digest)
        except (IntegrityError, MissingObjectError) as error:
            self._blame(key, error)
            return error.message
        reason = ""
        for part in tree.parts:
            if part.digest not in self._parts:
                missing: list[Digest] = []
                try:
                    for entry in tree.part(part) if part.entries else ():
                        each = (from_raw(raw) for raw, _ in PACKED.iter_unpack(entry.chunks))
                        missing += [chunk for chunk in each if not self._store.holds(chunk)]
                    said = f"chunk {missing[0][:12]} is missing" if missing else ""
                except (IntegrityError, MissingObjectError) as error:
                    self._blame(key if tree.whole else f"indexes/{from_raw(part.digest)}", error)
                    said = error.message
                self._found.missing.update(missing)
                self._parts[part.digest] = said
            reason = reason or self._parts[part.digest]
        return reason

    def _blame(self, key: str, error: IntegrityError | MissingObjectError) -> None:
        if key not in self._found.documents:
            self._found.documents.add(key)
            self._found.damage.append(Damage(key, error.message, MEND))
            if key.startswith(_INDEXES):
                for base, why in self._store.damaged_bases(Digest(key.removeprefix(_INDEXES))):
                    self._blame(base, why)


def _others(remote: Remote) -> Iterator[Damage]:
    """Look at what is not below a Ref: marks, sweeps, promises, the note of the last reading."""
    try:
        read_marks(remote)
    except IntegrityError as error:
        yield Damage(MARKS, error.message, _DROP)
    for found in remote.list(SWEEPS):
        try:
            read_sweep(remote, found.key)
        except IntegrityError as error:
            yield Damage(found.key, error.message, _DROP)
        except MissingObjectError:
            continue
    for found in remote.list(PENDING):
        try:
            decode_ref(remote.read(found.key, limit=MAX_DOCUMENT_BYTES), what=f"{remote.url}/{found.key}")
        except IntegrityError as error:
            yield Damage(found.key, error.message, _DROP)
        except MissingObjectError:
            continue
