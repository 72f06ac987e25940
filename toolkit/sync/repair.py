"""Mend what `verify` names, from other copies that hold it. `tiers sync verify --repair` comes here.

    documents   indexes and manifests are fetched by their digest; a Ref from its route's history, or from another store
    packs       the chunks of a damaged pack that are whole, and the others from other copies, go into new packs;
                the damaged one goes when everything that it may have held is elsewhere
    overlays    what they need is mended first; one whose bases nobody has is taken whole from a copy that has the chunk
    mirrors     files are built anew out of chunks of other copies, by the same steps as in a sync
    notes       lists of marks, readings and promises that cannot be read are removed: they are written anew

Nothing takes the place of anything before it has been hashed, new packs are read back before a damaged one goes, and a
damaged document stays until a whole one is at hand: the last copy, however damaged, is never deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from toolkit.errors import IntegrityError, MissingObjectError, TornReadError
from toolkit.sync.collecting import MARKS, PENDING, SWEEPS, clock_of
from toolkit.sync.events import unheard
from toolkit.sync.gc import PROMISE_DAYS
from toolkit.sync.layouts.mirror import MirrorTarget
from toolkit.sync.layouts.pack import MAX_PACK_BYTES, StoredChunk, decode_pack
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.leaning import lean
from toolkit.sync.other_copies import Copy, CopySource, document_of, refs_of
from toolkit.sync.pace import Pace
from toolkit.sync.ref import Ref
from toolkit.sync.sweep import STALE_BY_OURS_MS, STALE_MS, Sweeping, seconds_asleep_too
from toolkit.sync.target import Wish
from toolkit.sync.used import Used
from toolkit.sync.verified import STORE_KEY
from toolkit.sync.verify_store import DocumentsChecked, check_documents, pack_fault
from toolkit.wire.chunk import view_chunk
from toolkit.wire.digest import Digest, from_raw, to_raw
from toolkit.wire.entry import PACKED, ChunkRef
from toolkit.wire.paths import shown

_ROUNDS = 4
"""A Ref that is mended may name an index that is missing, which may name parts that are."""
_DAY_MS = 24 * 60 * 60 * 1000


@dataclass
class Repaired:
    """What was done."""

    url: str
    mended: list[str] = field(default_factory=list)
    """Documents, packs and files that are whole again, or gone because nothing needs them."""
    left: list[str] = field(default_factory=list)
    """What is damaged still, and why."""

    @property
    def exit_code(self) -> int:
        """0, or the code of IntegrityError when something is damaged still."""
        return IntegrityError.exit_code if self.left else 0


def repair_store(
    store: PackStore, copies: Sequence[Copy], *, ticks: Callable[[], float] = seconds_asleep_too
) -> Repaired:
    """Mend a store of packs. Repeating it is harmless.

    Args:
        store: what to mend.
        copies: other storages, best first.
        ticks: seconds, for the lease of the deletion.

    Raises:
        SyncError: a collection is at work.
        RemoteUnavailableError: the store does not answer.
    """
    done = Repaired(store.remote.url)
    now_ms, told = clock_of(store.remote)
    found = check_documents(store)
    for _ in range(_ROUNDS):
        before = len(done.mended)
        _mend_documents(store, copies, found, done)
        if len(done.mended) == before:
            break
        found = check_documents(store)
    _drop_notes(store, found, now_ms, told=told, done=done)
    if any(left.startswith(SWEEPS) for left in done.left):
        return done  # nobody can say which packs are being deleted, so none can be counted on
    faults = {
        listed.key: fault
        for listed in list(store.remote.list("packs/"))
        if (fault := pack_fault(store.remote, listed.key))
    }
    used = Used(store)
    try:
        used.look()
    except IntegrityError as error:
        done.left.append(error.message)
        done.left += [
            f"{key}: {fault}; it stays as long as documents are damaged" for key, fault in faults.items()
        ]
        return done
    faults = _mend_all_packs(store, copies, used, faults, done, missing=bool(found.missing))
    if faults:
        stale = STALE_MS if told else STALE_BY_OURS_MS
        sweeping = Sweeping(store.remote, faults, now_ms=now_ms, stale_ms=stale, ticks=ticks)
        try:
            _drop_packs(store, faults, sweeping, done)
        finally:
            sweeping.finish()
    return done


def repair_mirror(target: MirrorTarget, copies: Sequence[Copy]) -> Repaired:
    """Mend the files of a mirror that are not what its route wrote.

    Raises:
        SyncError: the route has brought nothing there, or is at work.
        RemoteUnavailableError: the mirror cannot be written.
    """
    done = Repaired(target.url)
    held = target.held()
    files = [entry for entry in held.entries if entry.kind == "file"]
    bad = target.read_back(files)
    if not bad:
        return done
    target.plan(Wish(held, check=True))
    filled = target.fill(CopySource(copies), Pace(0), unheard)
    target.commit(filled.torn_paths)
    still = target.read_back([entry for entry in files if entry.path in bad])
    done.mended += [shown(path) for path in sorted(bad - still)]
    done.left += [f"{shown(path)}: no copy has all of it" for path in sorted(still)]
    return done


# ---------------------------------------------------------------- documents
def _mend_documents(
    store: PackStore, copies: Sequence[Copy], found: DocumentsChecked, done: Repaired
) -> None:
    done.left.clear()
    for key in sorted(found.documents):
        data = document_of(copies, key)
        if data is None:
            done.left.append(f"{key}: no copy has it whole")
            continue
        store.remote.write(key, data)
        if store.remote.read(key) == data:
            done.mended.append(key)
    for damage in found.damage:
        name = damage.what.removeprefix("refs/")
        if name == damage.what or _is_readable(store, name):
            continue
        ref = next(_candidates(store, copies, name), None)
        if ref is None:
            done.left.append(f"{damage.what}: {damage.reason}")
            continue
        store.write_ref(name, ref)
        done.mended.append(damage.what)


def _is_readable(store: PackStore, name: str) -> bool:
    try:
        return store.read_ref(name) is not None
    except IntegrityError:
        return False


def _candidates(store: PackStore, copies: Sequence[Copy], name: str) -> Iterator[Ref]:
    """Yield what a damaged Ref may have pointed to: its route's history and head say it, else another copy."""
    root, _, last = name.rpartition("/")
    if last == "head":
        for state in reversed(store.list_refs(f"{root}/at/")):
            with suppress(IntegrityError):
                ref = store.read_ref(state)
                if ref is not None:
                    yield ref
    elif root.endswith("/at"):
        with suppress(IntegrityError):
            head = store.read_ref(f"{root.removesuffix('/at')}/head")
            if head is not None and f"{head.sequence:010d}" == last:
                yield head
    for ref in refs_of(copies, name):
        key = f"{'indexes' if ref.kind == 'index' else 'manifests'}/{ref.digest}"
        if store.remote.exists(key) or document_of(copies, key) is not None:
            yield ref


def _drop_notes(
    store: PackStore, found: DocumentsChecked, now_ms: int, *, told: bool, done: Repaired
) -> None:
    """Remove notes that cannot be read; of one that others may lean on, only when it is old enough to be forgotten."""
    ages = {
        listed.key: now_ms - listed.modified_ms if told and listed.modified_ms else 0
        for prefix in (SWEEPS, PENDING)
        for listed in store.remote.list(prefix)
    }
    for damage in found.damage:
        key = damage.what
        needed = STALE_MS if key.startswith(SWEEPS) else PROMISE_DAYS * _DAY_MS
        if key in {STORE_KEY, MARKS} or (key in ages and ages[key] >= needed):
            store.remote.delete(key)
            done.mended.append(key)
        elif key in ages:
            done.left.append(f"{key}: {damage.reason}; it can go when it is {needed // 3_600_000} hours old")


# ---------------------------------------------------------------- packs
def _mend_all_packs(
    store: PackStore,
    copies: Sequence[Copy],
    used: Used,
    faults: dict[str, str],
    done: Repaired,
    *,
    missing: bool,
) -> dict[str, str]:
    """Bring back what damaged packs held: whole chunks first, then overlays; give the packs that are damaged still."""
    store.refresh()
    lean(used, store)
    lost: set[Digest] = set()
    overlays = {f"packs/{pack}" for pack in store.packs_of_overlays}
    whole = {key: fault for key, fault in faults.items() if key not in overlays}
    if whole or missing:
        lost |= _mend_packs(store, copies, used, whole, done)
    sound = PackStore(store.remote, without=faults)
    hanging = {
        key: fault for key in overlays if (fault := pack_fault(store.remote, key, sound, if_gone=True))
    }
    if hanging:
        faults = faults | hanging
        lost |= _mend_packs(store, copies, used, faults, done)
    sound = PackStore(store.remote, without=faults)
    healed = [key for key in faults if not pack_fault(store.remote, key, sound, if_gone=True)]
    done.mended += healed
    faults = {key: fault for key, fault in faults.items() if key not in healed}
    if lost:
        _tell_lost(PackStore(store.remote, without=faults), lost, done)
    return faults


def _mend_packs(
    store: PackStore, copies: Sequence[Copy], used: Used, faults: dict[str, str], done: Repaired
) -> set[Digest]:
    """Write chunks that are needed, and that no whole pack has, into new packs; give those that nobody has whole."""
    wanted = set(used.chunks)
    sizes: dict[bytes, int] = {}
    for pack, _, entries in store.packs():
        if f"packs/{pack}" not in faults:
            wanted -= {to_raw(entry.digest) for entry in entries or ()}
        else:
            # Bases of overlays may be in no index any more.
            sizes.update((to_raw(entry.digest), entry.size) for entry in entries or ())
    lost: set[Digest] = set()
    if wanted:
        sound = PackStore(store.remote, without=faults)
        added = store.add_again(_from_anywhere(sound, copies, faults, wanted, sizes, lost))
        if added.chunks:
            done.mended.append(f"{added.chunks} chunks in {added.packs} new packs")
    return lost


def _tell_lost(store: PackStore, lost: set[Digest], done: Repaired) -> None:
    """Tell what is lost of what is still needed: a base is not when what lay upon it was brought whole."""
    used = Used(store)
    used.look()
    lean(used, store)
    left = sorted(digest for digest in lost if to_raw(digest) in used.chunks and not store.holds(digest))
    if left:
        done.left.append(f"{len(left)} chunks that no copy has whole, {left[0][:12]} among them")


def _from_anywhere(
    store: PackStore,
    copies: Sequence[Copy],
    faults: Iterable[str],
    wanted: set[bytes],
    sizes: dict[bytes, int],
    lost: set[Digest],
) -> Iterator[StoredChunk]:
    """Yield chunks out of what is whole of damaged packs, the others from copies; `lost` gets those that nobody has."""
    for chunk in (chunk for key in faults for chunk in _salvaged(store, key)):
        if to_raw(chunk.digest) in wanted:
            wanted.discard(to_raw(chunk.digest))
            yield chunk
    sizes |= _sizes(store, wanted)
    source = CopySource(copies)
    source.expect({from_raw(raw) for raw in wanted})
    for raw in sorted(wanted):
        digest = from_raw(raw)
        try:
            ref = ChunkRef(digest, sizes[raw])
            yield StoredChunk(digest, ref.size, source.stored(ref))
        except (TornReadError, KeyError):
            lost.add(digest)


def _sizes(store: PackStore, wanted: set[bytes]) -> dict[bytes, int]:
    """Find the sizes of chunks in the indexes that name them."""
    sizes: dict[bytes, int] = {}
    for listed in store.remote.list("indexes/"):
        with suppress(IntegrityError, MissingObjectError):
            tree = store.get_tree(Digest(listed.key.removeprefix("indexes/")))
            for part in tree.parts:
                for entry in tree.part(part) if part.entries else ():
                    named = PACKED.iter_unpack(entry.chunks)
                    sizes.update({raw: size for raw, size in named if raw in wanted})
    return sizes


def _salvaged(store: PackStore, key: str) -> Iterator[StoredChunk]:
    """Yield the chunks of a damaged pack that are whole."""
    try:
        data = store.remote.read(key, limit=MAX_PACK_BYTES)
        entries = decode_pack(data, what=key)
    except (IntegrityError, MissingObjectError):
        return
    for entry in entries:
        stored = data[entry.offset : entry.offset + entry.length]
        with suppress(IntegrityError):
            if entry.bases:
                store.put_together(entry, Digest(key.removeprefix("packs/")), stored)
            else:
                view_chunk(stored, entry.digest, entry.size)
            yield StoredChunk(entry.digest, entry.size, stored, entry.bases)


def _drop_packs(store: PackStore, faults: dict[str, str], sweeping: Sweeping, done: Repaired) -> None:
    """Delete damaged packs when all that is needed lies in whole ones, which are read for it."""
    used = Used(store)
    used.look()
    sound = PackStore(store.remote, without=faults)
    needed = set(used.chunks)
    lean(used, sound)
    lacking = set(used.chunks)
    bases = lacking - needed
    for pack, _, entries in store.packs():
        key = f"packs/{pack}"
        if key not in faults and entries and any(to_raw(each.digest) in lacking for each in entries):
            if pack_fault(store.remote, key, sound, if_gone=True):
                continue
            here = {to_raw(each.digest) for each in entries}
            lacking -= here - bases if entries[0].bases else here
    for key, fault in faults.items():
        if lacking:
            done.left.append(
                f"{key}: {fault}; it stays, because {len(lacking)} needed chunks are nowhere else"
            )
        elif sweeping.delete(key):
            done.mended.append(key)
