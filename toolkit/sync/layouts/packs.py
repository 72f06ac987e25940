"""The layout "packs": chunks in packs of up to 16 MiB, for the registry, object stores and the cold tier.

    packs/ID   stored chunks and a trailer (`layouts.pack`); ID is the digest of the object
    and the documents of `layouts.documents`

Which chunks a store holds is read from the trailers, so a pack whose writer died before the Ref is simply there: the
next writer finds its chunks and does not send them again. Nothing is ever overwritten. Write order is chunks, index,
manifest, Ref; `push` and `registry.push` keep it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from toolkit.errors import IntegrityError, MissingObjectError
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.layouts.pack import (
    ENTRY_BYTES,
    FOOTER_BYTES,
    MAX_PACK_BYTES,
    PackEntry,
    StoredChunk,
    encode_pack,
    read_entries,
    read_footer,
)
from toolkit.sync.remotes.remote import Remote
from toolkit.wire.chunk import open_chunk, view_chunk
from toolkit.wire.digest import Digest, parse_digest

MAX_RUN_BYTES = 1024 * 1024
"""Read no more than about this in one go."""
_GUESS_BYTES = 16 * 1024
"""Read this much from a pack's end at once; it holds the entries of most packs."""


@dataclass(frozen=True)
class Added:
    """What `PackStore.add` stored."""

    chunks: int = 0
    total_bytes: int = 0
    """Bytes of the chunks when open."""
    stored_bytes: int = 0
    """Bytes of the chunks in stored form, without trailers."""
    packs: int = 0
    skipped: int = 0
    """Chunks that the store had already."""

    def __add__(self, other: Added) -> Added:
        """Add the counts up."""
        return Added(
            self.chunks + other.chunks,
            self.total_bytes + other.total_bytes,
            self.stored_bytes + other.stored_bytes,
            self.packs + other.packs,
            self.skipped + other.skipped,
        )


@dataclass(frozen=True)
class _Place:
    pack: Digest
    entry: PackEntry


class PackStore(Documents):
    """Chunks, indexes, manifests and Refs of one Remote. Usable by several threads and several processes at once."""

    def __init__(self, remote: Remote) -> None:
        """Stand on a Remote; trailers are read when they are first needed."""
        super().__init__(remote)
        self._lock = threading.Lock()
        self._places: dict[Digest, _Place] = {}
        self._known_packs: set[Digest] = set()
        self._damaged: dict[Digest, str] = {}
        self._listed = False

    @property
    def damaged_packs(self) -> dict[Digest, str]:
        """Packs whose trailer cannot be read, with the reason; their chunks count as missing."""
        self._list_once()
        return dict(self._damaged)

    def refresh(self) -> None:
        """Look for packs that others have written since."""
        with self._lock:
            self._load()

    def has(self, digest: Digest) -> bool:
        """Say whether the chunk is stored, by what is known of the store (see `refresh`)."""
        self._list_once()
        return digest in self._places

    def missing(self, digests: Iterable[Digest]) -> list[Digest]:
        """Look at the store as it is now and list the chunks that it lacks, each once, in their order."""
        self.refresh()
        return [digest for digest in dict.fromkeys(digests) if digest not in self._places]

    def add(self, chunks: Iterable[StoredChunk], *, on_pack: Callable[[Added], None] | None = None) -> Added:
        """Store chunks in packs; those that are there already are skipped.

        The caller vouches for the chunks, having just named and coded them. When this returns all of them are durable.

        Args:
            chunks: taken one after the other, at most one pack of them is held in memory.
            on_pack: called with what a pack holds when it has become durable.

        Raises:
            RemoteUnavailableError: the Remote is full or does not answer; packs already stored stay and count.
        """
        self.refresh()
        added = Added()
        batch: dict[Digest, StoredChunk] = {}
        room = MAX_PACK_BYTES - FOOTER_BYTES
        for chunk in chunks:
            if chunk.digest in self._places or chunk.digest in batch:
                added += Added(skipped=1)
                continue
            need = len(chunk.stored) + ENTRY_BYTES
            if need > room:
                added += self._flush(batch, on_pack)
                batch, room = {}, MAX_PACK_BYTES - FOOTER_BYTES
            batch[chunk.digest] = chunk
            room -= need
        return added + self._flush(batch, on_pack)

    def read_stored(self, digest: Digest) -> bytes:
        """Read a chunk in its stored form, proven to be the one that it is named after.

        Raises:
            MissingObjectError: the store does not have it.
            IntegrityError: it, or the pack it should be in, was damaged.
        """
        place = self._find(digest)
        try:
            stored = self._read(place)
        except MissingObjectError:
            # Somebody has rewritten or removed the pack since we read its trailer.
            self._reload()
            place = self._find(digest)
            stored = self._read(place)
        try:
            view_chunk(stored, digest, place.entry.size)
        except IntegrityError as error:
            raise self._damage(place, str(error)) from error
        return stored

    def read_run(self, digests: Iterable[Digest]) -> Iterator[bytes | memoryview]:
        """Give chunks in their stored form, proven; those that lie one behind the other in a pack are read at once.

        What comes before a chunk that cannot be had is given first. Errors as in `read_stored`.
        """
        run: list[_Place] = []
        for digest in digests:
            try:
                place = self._find(digest)
            except (IntegrityError, MissingObjectError):
                yield from self._read_together(run)
                raise
            if not (run and _follows(run, place)):
                yield from self._read_together(run)
                run = []
            run.append(place)
        yield from self._read_together(run)

    def read_chunk(self, digest: Digest) -> bytes:
        """Read a chunk's own bytes. Errors as in `read_stored`."""
        stored = self.read_stored(digest)
        return open_chunk(stored, digest, self._find(digest).entry.size)

    def size_of(self, digest: Digest) -> int:
        """Give a chunk's size when open. Errors as in `read_stored`."""
        return self._find(digest).entry.size

    def stored_size_of(self, digest: Digest) -> int:
        """Give the bytes of a chunk's stored form, which is what travels. Errors as in `read_stored`."""
        return self._find(digest).entry.length

    def digests(self) -> Iterator[Digest]:
        """Yield every chunk that the store holds."""
        self._list_once()
        yield from list(self._places)

    def _read(self, place: _Place) -> bytes:
        entry = place.entry
        stored = self.remote.read(f"packs/{place.pack}", start=entry.offset, length=entry.length)
        if len(stored) != entry.length:
            raise self._damage(place, f"the pack ends {entry.length - len(stored)} bytes too early")
        return stored

    def _read_together(self, run: list[_Place]) -> Iterator[bytes | memoryview]:
        """Read places that follow each other; whatever is odd, the reader of one chunk finds out about it."""
        if not run:
            return
        start, length = run[0].entry.offset, sum(place.entry.length for place in run)
        try:
            data = memoryview(self.remote.read(f"packs/{run[0].pack}", start=start, length=length))
        except MissingObjectError:
            data = memoryview(b"")
        at = 0
        for place in run:
            entry = place.entry
            stored, at = data[at : at + entry.length], at + entry.length
            try:
                view_chunk(stored, entry.digest, entry.size)
            except IntegrityError:
                yield self.read_stored(entry.digest)
            else:
                yield stored

    def _damage(self, place: _Place, reason: str) -> IntegrityError:
        return IntegrityError(
            f"pack {place.pack[:12]} in {self.remote.url}: chunk {place.entry.digest[:12]} is damaged: {reason}",
            hint=f"remove packs/{place.pack} there and push again: only the chunks of that pack are sent",
        )

    def _find(self, digest: Digest) -> _Place:
        self._list_once()
        place = self._places.get(digest)
        if place is None:
            self.refresh()
            place = self._places.get(digest)
        if place is not None:
            return place
        if self._damaged:
            packs = ", ".join(f"{pack[:12]} ({reason})" for pack, reason in sorted(self._damaged.items())[:3])
            raise IntegrityError(
                f"{self.remote.url} does not have chunk {digest[:12]}; it may have been in a damaged pack: {packs}",
                hint="remove the damaged packs there and push again: only their chunks are sent",
            )
        raise MissingObjectError(f"{self.remote.url} does not have chunk {digest[:12]}")

    def _flush(self, batch: dict[Digest, StoredChunk], on_pack: Callable[[Added], None] | None) -> Added:
        if not batch:
            return Added()
        pack, data = encode_pack(list(batch.values()))
        if pack in self._damaged:
            self.remote.write(f"packs/{pack}", data)  # the same chunks again: this heals it
        else:
            self.remote.write_new(f"packs/{pack}", data)
        offset = 0
        with self._lock:
            for chunk in batch.values():
                entry = PackEntry(chunk.digest, offset, len(chunk.stored), chunk.size)
                self._places.setdefault(chunk.digest, _Place(pack, entry))
                offset += entry.length
            self._known_packs.add(pack)
            self._damaged.pop(pack, None)
        added = Added(len(batch), sum(chunk.size for chunk in batch.values()), offset, packs=1)
        if on_pack is not None:
            on_pack(added)
        return added

    def _list_once(self) -> None:
        if not self._listed:
            self.refresh()

    def _load(self) -> None:
        """Read the trailers of packs that are new. Called with the lock held.

        When a known pack is gone everything is read anew, because its chunks may be in another pack too.
        """
        sizes = dict(self._pack_sizes())
        if not self._known_packs <= sizes.keys():
            self._known_packs, self._places = set(), {}
        self._damaged = {pack: reason for pack, reason in self._damaged.items() if pack in sizes}
        places = dict(self._places)
        for pack, size in sizes.items():
            if pack in self._known_packs or pack in self._damaged:
                continue
            try:
                entries = self._trailer(pack, size)
            except MissingObjectError:
                continue  # removed since it was listed
            except IntegrityError as error:
                self._damaged[pack] = error.message
                continue
            self._known_packs.add(pack)
            for entry in entries:
                places.setdefault(entry.digest, _Place(pack, entry))
        self._places = places  # readers without the lock see the old map or the new one
        self._listed = True

    def _pack_sizes(self) -> Iterator[tuple[Digest, int]]:
        for found in self.remote.list("packs/"):
            with suppress(IntegrityError):  # what is not named by a digest is not ours
                yield parse_digest(found.key.removeprefix("packs/"), what="pack"), found.size

    def _trailer(self, pack: Digest, total: int) -> list[PackEntry]:
        what = f"pack {pack[:12]} in {self.remote.url}"
        begin = max(0, total - _GUESS_BYTES)
        end = self.remote.read(f"packs/{pack}", start=begin)
        start, length, digest = read_footer(end[-FOOTER_BYTES:], begin + len(end), what=what)
        if start >= begin:
            table = end[start - begin : start - begin + length]
        else:
            table = self.remote.read(f"packs/{pack}", start=start, length=length)
        return read_entries(table, start, digest, what=what)

    def _reload(self) -> None:
        with self._lock:
            self._known_packs, self._places = set(), {}
            self._load()


def _follows(run: list[_Place], place: _Place) -> bool:
    """Tell whether a chunk lies right behind a run in the same pack, and the run is not too long to be held."""
    last, first = run[-1], run[0]
    end = last.entry.offset + last.entry.length
    together = place.pack == last.pack and place.entry.offset == end
    return together and end - first.entry.offset < MAX_RUN_BYTES
