"""The layout "packs": chunks in packs of up to 16 MiB, for the registry, object stores and the cold tier.

    packs/ID   stored chunks and a trailer (`layouts.pack`); ID is the digest of the object
    and the documents of `layouts.documents`

A chunk of which only some blocks have changed may rest as an overlay of others, and one whose numbers have drifted as a
drift of another one (`reading`), in packs of their own.

Which chunks a store holds is read from the trailers, so a pack whose writer died before the Ref is simply there: the
next writer finds its chunks and does not send them again. Nothing is ever overwritten. Write order is chunks, index,
manifest, Ref; `push` and `registry.push` keep it.

A pack that a garbage collection is about to delete (`collecting`) still serves readers, but its chunks count as missing
for whoever writes. `confirm` is the last look before a Ref; `promise` asks for it, `gc` says why that is enough.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Iterator

import msgspec

from toolkit.errors import IntegrityError, MissingObjectError, SyncError
from toolkit.sync.below import chunks_below
from toolkit.sync.collecting import Collecting, read_collecting
from toolkit.sync.layouts.overlays import Overlays
from toolkit.sync.layouts.pack import PACK_FORMATS, Added, Gathered, PackEntry, StoredChunk
from toolkit.sync.layouts.places import Place, Places
from toolkit.sync.layouts.reading import Reading
from toolkit.sync.layouts.sending import Sending, at_once_to
from toolkit.sync.layouts.trailers import packs_of, read_trailer, read_trailers
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.ready import made_ready
from toolkit.sync.remotes.remote import Remote
from toolkit.wire.digest import Digest, from_raw, to_raw

_Pack = tuple[Digest, list[PackEntry]]


class PackStore(Reading):
    """Chunks, indexes, manifests and Refs of one Remote. Usable by several threads and several processes at once."""

    lays_indexes = True

    def __init__(self, remote: Remote, *, at_once: int = 0, without: Iterable[str] = ()) -> None:
        """Stand on a Remote; trailers are read when they are first needed.

        Args:
            remote: where everything lies.
            at_once: most packs that are on their way to it at once; 0 goes by its address.
            without: keys of packs that count as not being there, because they are damaged.
        """
        super().__init__(remote)
        self.at_once = at_once or at_once_to(remote.url)
        self._without = frozenset(without)
        self._lock = threading.Lock()
        self._known_packs: set[Digest] = set()
        self._listed = False
        self._collecting = Collecting()
        self._unknown: IntegrityError | None = None
        """Why nobody can say what is being deleted; readers do not mind, writers do."""
        self._shaken = False
        """Something may have been deleted since chunks were found here; `confirm` looks at each of them again."""

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
        """Say whether the chunk is stored to stay, by what is known of the store (see `refresh`)."""
        self._list_once()
        return self._stays(digest)

    def holds(self, digest: Digest) -> bool:
        """Say whether the chunk is there at all: a collection that has named its pack may still find it needed."""
        self._list_once()
        if digest in self._places:
            return True
        overlay = self._overlays.get(digest)
        return overlay is not None and all(base in self._places for base in overlay.entry.bases)

    def missing(self, digests: Iterable[Digest]) -> list[Digest]:
        """Look at the store as it is now and list the chunks that it lacks, each once, in their order.

        Chunks that lie only in packs which are about to be deleted count as missing.

        Raises:
            IntegrityError: the list of what is about to be deleted is damaged.
        """
        self.look_to_write()
        return [digest for digest in dict.fromkeys(digests) if not self._stays(digest)]

    def look_to_write(self) -> None:
        """Look at the store as it is now; `stays` then says what has to be stored. Errors as in `missing`."""
        self.refresh()
        if self._unknown is not None:
            raise self._unknown

    def stays(self, raw: bytes) -> bool:
        """Do what `has` does for a raw digest: of a million chunks it is asked for each."""
        self._list_once()
        return self._stays_raw(raw)

    def confirm(self, digests: Iterable[Digest], keys: Iterable[str]) -> None:
        """Make sure that what a Ref is about to promise is here and stays, after the promise is in `pending/`.

        As long as no garbage collection has begun since the chunks were found or stored, this is one listing.

        Args:
            digests: the chunks, taken only if they have to be looked at.
            keys: of the indexes and manifests; the same.

        Raises:
            SyncError: something has been collected meanwhile, or is about to be.
            RemoteUnavailableError: the store does not answer.
        """
        now = read_collecting(self.remote)
        # A sweep that stood when chunks were looked for may have taken an index that was found after that.
        before = self._collecting
        if self._listed and not self._shaken and not before.standing and now.names == before.names:
            return
        with self._lock:
            self._load()
        try:
            lost = {digest for digest in digests if not self._stays(digest)}
            documents = list(keys)
        except MissingObjectError as error:
            raise self._collected(error.message) from error
        if not now.condemned.isdisjoint(documents):
            raise self._collected("what it needs is being deleted at this moment")
        gone = len(lost) + sum(not self.remote.exists(key) for key in documents)
        if gone:
            raise self._collected(f"{gone} chunks or documents that it needs are gone")
        self._shaken = False

    def add(self, chunks: Iterable[StoredChunk], *, on_pack: Callable[[Added], None] | None = None) -> Added:
        """Store chunks in packs; those that are there already are skipped.

        The caller vouches for the chunks, having just named and coded them. When this returns all of them are durable.

        Args:
            chunks: taken one after the other; a pack of them is gathered while those on their way are held in memory.
            on_pack: called with what a pack holds when it has become durable.

        Raises:
            RemoteUnavailableError: the Remote is full or does not answer; packs already stored stay and count.
        """
        self.look_to_write()
        return self._add(chunks, on_pack, self._stays)

    def add_again(self, chunks: Iterable[StoredChunk]) -> Added:
        """Store chunks in new packs though they are here, so that the packs they lie in can go. As `add` otherwise.

        A new pack that has the name of one that is here takes its place: the bytes there may have rotted.
        """
        self.look_to_write()
        return self._add(chunks, None, lambda _: False, again=True)

    def _add(
        self,
        chunks: Iterable[StoredChunk],
        on_pack: Callable[[Added], None] | None,
        is_here: Callable[[Digest], bool],
        *,
        again: bool = False,
    ) -> Added:
        added = Added()
        batches = {number: Gathered() for number in PACK_FORMATS}

        def arrived(packs: Iterable[Added]) -> None:
            nonlocal added
            for pack in packs:
                added += pack
                if on_pack is not None:
                    on_pack(pack)

        with Sending[_Pack](self.at_once) as sending:
            for chunk in chunks:
                gathered = any(chunk.digest in batch.digests for batch in batches.values())
                if gathered or chunk.digest in sending or is_here(chunk.digest):
                    added += Added(skipped=1)
                    continue
                kind = chunk.pack_format
                if chunk.need_bytes > batches[kind].room:
                    full, batches[kind] = batches[kind], Gathered()
                    arrived(self._send(full, sending, again=again))
                    del full
                batches[kind].put(chunk)
                del chunk  # what gives the next one must not wait for it to go
            for batch in batches.values():
                arrived(self._send(batch, sending, again=again))
            arrived(self._taken_in(*pack) for pack in sending.wait())
        return added

    def digests(self) -> Iterator[Digest]:
        """Yield every chunk that the store holds."""
        self._list_once()
        yield from self._places.digests()
        yield from (digest for digest in self._overlays.digests() if digest not in self._places)

    def keeps_whole(self, raw: bytes) -> bool:
        """Say of a raw digest whether the chunk lies here whole and is to stay, so that overlays may lean on it."""
        pack = self._places.pack_of(raw)
        return pack is not None and not self._is_going(pack)

    def to_drift_from(self, raw: bytes) -> Digest | None:
        """Name what the chunk that came after this one may lean on: it, or its own base; None if neither stays."""
        self._list_once()
        if self.keeps_whole(raw):
            return from_raw(raw)
        place = self._overlays.get_raw(raw)
        drifts = place is not None and place.entry.drifts and self._can_be_opened(place)
        return place.entry.bases[0] if place is not None and drifts else None

    @property
    def packs_of_overlays(self) -> set[Digest]:
        """Packs that hold overlays or drifts."""
        self._list_once()
        return set(self._overlays.packs)

    def bases_of(self, used: Container[bytes]) -> Iterator[tuple[Digest, ...]]:
        """Yield what the overlays of these chunks (raw digests) need, for each chunk that has any."""
        self._list_once()
        yield from self._overlays.bases_of(used)

    def as_written(self, ref: Ref) -> Ref:
        """Say in a Ref whether something below it is an overlay or a drift here; see `Documents.as_written`."""
        self._list_once()
        if self._overlays or ref.overlays or ref.drifts:
            try:
                kinds = self._overlays.kinds_of(
                    each for each in chunks_below(self, ref) if each not in self._places
                )
            except (IntegrityError, MissingObjectError):
                kinds = self._overlays.kinds  # who repairs may write what cannot be followed yet
            ref = msgspec.structs.replace(ref, overlays=False in kinds, drifts=True in kinds, format=0)
        return super().as_written(ref)

    def _send(self, batch: Gathered, sending: Sending[_Pack], *, again: bool) -> Iterator[Added]:
        """Finish a pack and send it; yield what has arrived meanwhile.

        Memory is the reason for the order. A pack is finished when one that was on its way has arrived; where packs
        are encrypted only that form of it waits for the line.
        """
        entries = batch.entries
        if not entries:
            return
        if entries[0].bases:
            for arrived in sending.wait():  # what they lean on comes first
                yield self._taken_in(*arrived)
        for arrived in sending.make_room():
            yield self._taken_in(*arrived)
        pack, data = batch.finish()
        if f"packs/{pack}" in self._collecting.condemned:
            raise self._collected("the very pack that it would store is being deleted at this moment")
        heals = again or pack in self._damaged  # the same chunks again: this heals it
        ready = [made_ready(self.remote, f"packs/{pack}", data, new=not heals)]
        del data

        def send() -> tuple[Digest, list[PackEntry]]:
            ready.pop()()  # its bytes go now, and not when this thread comes to forget its job
            return pack, entries

        for arrived in sending.send(frozenset(batch.digests), send):
            yield self._taken_in(*arrived)

    def _taken_in(self, pack: Digest, entries: list[PackEntry]) -> Added:
        """Know the chunks of a pack that has become durable."""
        with self._lock:
            self._take_in(pack, entries)
            self._known_packs.add(pack)
            self._damaged.pop(pack, None)
        last = entries[-1]
        return Added(len(entries), sum(entry.size for entry in entries), last.offset + last.length, packs=1)

    def packs(self) -> Iterator[tuple[Digest, int, list[PackEntry] | None]]:
        """Yield every pack with its size and what it lists, read anew; None when its trailer is damaged."""
        for pack, size in packs_of(self.remote):
            try:
                yield pack, size, read_trailer(self.remote, pack, size)
            except MissingObjectError:
                continue  # removed since it was listed
            except IntegrityError:
                yield pack, size, None

    def _stays(self, digest: Digest) -> bool:
        return self._stays_raw(to_raw(digest))

    def _stays_raw(self, raw: bytes) -> bool:
        if self.keeps_whole(raw):
            return True
        overlay = self._overlays.get_raw(raw)
        return overlay is not None and self._can_be_opened(overlay)

    def _can_be_opened(self, overlay: Place) -> bool:
        """Say whether neither an overlay nor anything that it needs is about to be deleted."""
        if self._is_going(overlay.pack):
            return False
        return all(self.keeps_whole(to_raw(base)) for base in overlay.entry.bases)

    def _is_going(self, pack: Digest) -> bool:
        condemned = self._collecting.condemned
        return bool(condemned) and f"packs/{pack}" in condemned

    def _collected(self, what: str) -> SyncError:
        return SyncError(
            f"{self.remote.url}: garbage was collected there while this ran: {what}",
            hint="run it again, in a minute if it says the same; only what went is sent again",
        )

    def _list_once(self) -> None:
        if not self._listed:
            self.refresh()

    def _load(self) -> None:
        """Read the trailers of packs that are new. Called with the lock held.

        When a known pack is gone everything is read anew, because its chunks may be in another pack too.
        """
        # First the sweeps, then the packs: one that went between is seen to be gone, or seen to be going.
        self._look_at_sweeps()
        sizes = dict(packs_of(self.remote))
        if not self._known_packs <= sizes.keys():
            self._shaken = True
            self._forget()
        self._damaged = {pack: reason for pack, reason in self._damaged.items() if pack in sizes}
        new = [
            each
            for each in sizes.items()
            if each[0] not in self._known_packs
            and each[0] not in self._damaged
            and f"packs/{each[0]}" not in self._without
        ]
        overlays: list[tuple[Digest, list[PackEntry]]] = []
        for pack, entries in read_trailers(self.remote, new):
            if isinstance(entries, IntegrityError):
                self._damaged[pack] = entries.message
                continue
            if entries[0].bases:
                overlays.append(
                    (pack, entries)
                )  # which of several can be opened is known when whole chunks are
            else:
                self._take_in(pack, entries)
            self._known_packs.add(pack)
        for pack, entries in overlays:
            self._take_in(pack, entries)
        self._listed = True

    def _take_in(self, pack: Digest, entries: list[PackEntry]) -> None:
        if entries[0].bases:
            self._overlays.put(pack, entries, self._can_be_opened)
        else:
            self._places.put(pack, entries, self._is_going)

    def _forget(self) -> None:
        self._known_packs, self._places, self._overlays = set(), Places(), Overlays()

    def _look_at_sweeps(self) -> None:
        try:
            now, self._unknown = read_collecting(self.remote), None
        except IntegrityError as error:
            now, self._unknown = Collecting(), error
        before, self._collecting = self._collecting, now
        if self._unknown is not None or (self._listed and now.names != before.names):
            self._shaken = True
        if now.condemned != before.condemned:
            self._forget()  # of two packs with a chunk the one that stays counts

    def _reload(self) -> None:
        with self._lock:
            self._forget()
            self._load()
