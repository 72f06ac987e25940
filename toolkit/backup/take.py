"""Store the parts of a backup, read back what was stored, write the Ref, and let old backups go.

After `gather_*`. Chunks are durable pack by pack: a run that was killed is simply run again and finds them. What a
path names by its content (a pack, an index) and the backup before has is not read again. Nothing is said to be saved
before it was read back: new files whole, and the registry by following every Ref down to its chunks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from toolkit.backup.facts import FACTS_FILE, Facts, PartFacts, encode_facts
from toolkit.backup.gather_registry import REGISTRY, check_registry
from toolkit.backup.part import MAX_FILE_BYTES, Item, Part
from toolkit.backup.shelf import ROOT, Saved, SavedRemote, numbers_of, read_saved
from toolkit.errors import IntegrityError, MissingObjectError, SyncError
from toolkit.sync.layouts.pack import Added, StoredChunk
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.promise import write_promised
from toolkit.sync.ref import Ref
from toolkit.wire.chunk import cut, grid_for, store_chunk
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef, Entry, Index, file_entry

_ATTEMPTS = 5
"""Another backup of the same site may take the number first."""


@dataclass(frozen=True)
class Taken:
    """What a backup came to."""

    saved: Saved
    stored_bytes: int
    """New bytes in the store, compressed."""
    read_bytes: int
    """Bytes of files that were read."""
    unchanged: bool
    """The backup before holds just this; no new one was written."""
    forgotten: tuple[int, ...] = ()
    """Numbers of old backups whose Refs were removed; a collection frees their chunks."""


@dataclass
class _Run:
    before: dict[str, Entry]
    entries: list[Entry] = field(default_factory=list)
    parts: list[PartFacts] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    read_bytes: int = 0

    def chunks(self, part: Part) -> Iterator[StoredChunk]:
        """Read the files of a part one by one and give their chunks; notes them on the way."""
        files, total, gone = 0, 0, 0
        for item in part.items:
            path = f"{part.name}/{item.path}"
            entry = self._known(path, item)
            if entry is None:
                try:
                    data = item.read()
                except MissingObjectError:
                    gone += 1
                    continue
                if len(data) > MAX_FILE_BYTES:
                    raise IntegrityError(f"{path} has {len(data)} bytes; a backup takes {MAX_FILE_BYTES}")
                refs: list[ChunkRef] = []
                for piece in cut(data, grid_for("data", len(data))):
                    refs.append(ChunkRef(digest_of(piece), len(piece)))
                    yield StoredChunk(refs[-1].digest, len(piece), store_chunk(piece))
                entry = file_entry(path.encode(), refs)
                self.read_bytes += len(data)
                self.fresh.append(path)
            self.entries.append(entry)
            files, total = files + 1, total + entry.size
        lacks = part.skipped or (f"{gone} files went away while they were read" if gone else "")
        self.parts.append(PartFacts(name=part.name, files=files, total_bytes=total, skipped=lacks))

    def _known(self, path: str, item: Item) -> Entry | None:
        entry = self.before.get(path)
        fits = item.unchanging_size is not None and entry is not None and entry.size == item.unchanging_size
        return entry if fits else None


def take(
    store: PackStore,
    site: str,
    parts: Sequence[Part],
    *,
    registry: str,
    made_with: str,
    tiers_files: Sequence[str] = ("tiers.yaml",),
    keep: int = 0,
    listen: Callable[[str], None] = lambda _: None,
) -> Taken:
    """Make a backup.

    Args:
        store: where to.
        site: name of the topology.
        parts: what to save.
        registry: URL of the registry, for who restores.
        made_with: version of tiers.
        tiers_files: names of the files that are the topology, in the order of merging.
        keep: how many backups of this site stay; 0 keeps all.
        listen: hears the name of each part when it begins.

    Raises:
        RemoteUnavailableError: the store, or what is saved, does not answer; run it again, it goes on.
        IntegrityError: what was stored does not read back, or what is saved is damaged.
        SyncError: others made so many backups meanwhile that none of the numbers was free.
    """
    there = numbers_of(store, site)
    last = _open_last(store, site, there)
    run = _Run(_still_there(store, last))
    added = Added()
    for part in parts:
        listen(part.name)
        added += store.add(run.chunks(part))
    facts = Facts(
        site=site, made_ms=time.time_ns() // 1_000_000, made_with=made_with, registry=registry,
        parts=tuple(run.parts), tiers_files=tuple(tiers_files),
    )  # fmt: skip
    if last is not None and last.entries == {_path(entry): entry for entry in run.entries}:
        listen("nothing changed")
        _check(last, run.fresh)
        return Taken(
            last, added.stored_bytes, run.read_bytes, unchanged=True, forgotten=_thin(store, site, keep)
        )
    data = encode_facts(facts)
    digest = digest_of(data)
    added += store.add([StoredChunk(digest, len(data), store_chunk(data))])
    said = file_entry(FACTS_FILE.encode(), [ChunkRef(digest, len(data))])
    index = Index(entries=tuple(sorted((*run.entries, said), key=lambda entry: entry.path)))
    ref = Ref(kind="index", digest=store.put_index(index), written_ms=facts.made_ms)
    listen("read back")
    # A store of its own: nothing is believed that only the writer remembers.
    _check(read_saved(PackStore(store.remote), site, 0, ref), run.fresh)
    number = _write_ref(store, site, ref)
    saved = read_saved(PackStore(store.remote), site, number, ref)
    return Taken(
        saved, added.stored_bytes, run.read_bytes, unchanged=False, forgotten=_thin(store, site, keep)
    )


def check_all(saved: Saved) -> int:
    """Read every file of a backup and follow every Ref of its registry; give how many bytes that were.

    Raises:
        MissingObjectError, IntegrityError: something of it is not there or damaged.
    """
    for path in sorted(saved.entries):
        saved.read(path)
    check_registry(SavedRemote(saved, REGISTRY))
    return sum(entry.size for entry in saved.entries.values())


def _check(saved: Saved, fresh: Sequence[str]) -> None:
    missing = saved.store.missing(chunk.digest for entry in saved.entries.values() for chunk in entry.refs())
    if missing:
        raise IntegrityError(
            f"{saved.store.remote.url} lacks {len(missing)} chunks that an older backup had",
            hint="run it again: they are stored anew",
        )
    for path in fresh:
        saved.read(path)
    check_registry(SavedRemote(saved, REGISTRY))


def _open_last(store: PackStore, site: str, there: Sequence[int]) -> Saved | None:
    """Open the newest backup that can be read; a damaged one helps nobody and hinders nothing."""
    for number in reversed(there[-_ATTEMPTS:]):
        ref = store.read_ref(f"{ROOT}{site}/{number}")
        try:
            if ref is not None:
                return read_saved(store, site, number, ref)
        except SyncError:
            continue
        except IntegrityError:
            continue
    return None


def _still_there(store: PackStore, last: Saved | None) -> dict[str, Entry]:
    """Give the files of the backup before whose chunks the store still has; the others are stored anew."""
    if last is None:
        return {}
    chunks = {chunk.digest for entry in last.entries.values() for chunk in entry.refs()}
    missing = set(store.missing(chunks))
    return {
        path: entry
        for path, entry in last.entries.items()
        if not any(chunk.digest in missing for chunk in entry.refs())
    }


def _write_ref(store: PackStore, site: str, ref: Ref) -> int:
    for _ in range(_ATTEMPTS):
        number = max(numbers_of(store, site), default=0) + 1
        if write_promised(store, f"{ROOT}{site}/{number}", ref):
            return number
    raise SyncError(f"others take backups of {site} all the time", hint="run it again")


def _thin(store: PackStore, site: str, keep: int) -> tuple[int, ...]:
    old = tuple(numbers_of(store, site)[:-keep]) if keep else ()
    for number in old:
        store.delete_ref(f"{ROOT}{site}/{number}")
    return old


def _path(entry: Entry) -> str:
    return entry.path.decode("utf-8", "replace")
