"""Reading chunks out of packs: whole ones, runs of neighbours, and overlays and drifts, whose bases lie elsewhere.

`packs.PackStore` knows what a store holds and writes it; this reads it. Nothing is handed out that was not proven.

An overlay (`wire.overlay`) needs bases, which must lie whole: one that names an overlay is refused, so that nothing is
read more than twice and no ring can be made. Who reads a file in its order finds the bases of its overlays between the
other chunks, where they were in the earlier version; so they are read in one go with those. A drift
(`wire.drift`) needs one base, and all of this holds for it too; where "overlay" is said below, both are meant.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from toolkit.errors import IntegrityError, MissingObjectError
from toolkit.sync.delta.drift import open_drifted
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.layouts.overlays import Overlays
from toolkit.sync.layouts.pack import PackEntry
from toolkit.sync.layouts.places import Place, Places
from toolkit.sync.layouts.ranges import NOTHING, Brought
from toolkit.sync.remotes.remote import Remote
from toolkit.wire.chunk import open_chunk, store_chunk, view_chunk
from toolkit.wire.digest import Digest
from toolkit.wire.overlay import Laying

MAX_RUN_BYTES = 1024 * 1024
"""Read no more than about this in one go."""
_WINDOW = 512
"""So many chunks are looked up before they are read."""
_RAW = b"\0"
"""First byte of a chunk that is stored raw."""

Opened = tuple[bytes | memoryview, bytes | memoryview]
"""A stored form and the chunk's own bytes."""


class Reading(Documents, ABC):
    """The chunks of one Remote, for who reads them. Usable by several threads."""

    def __init__(self, remote: Remote) -> None:
        """Begin without knowing of any chunk."""
        super().__init__(remote)
        self._places = Places()
        self._overlays = Overlays()
        self._damaged: dict[Digest, str] = {}
        """Packs whose trailers cannot be read, and why."""

    @abstractmethod
    def refresh(self) -> None:
        """Look for packs that others have written since."""

    @abstractmethod
    def _list_once(self) -> None:
        """Look for packs if nobody has yet."""

    @abstractmethod
    def _reload(self) -> None:
        """Look for all packs anew."""

    def read_stored(self, digest: Digest) -> bytes:
        """Read a chunk in its stored form, proven to be the one that it is named after.

        One that rests as an overlay is put together and stored anew: whoever gets it needs nothing else.

        Raises:
            MissingObjectError: the store does not have it.
            IntegrityError: it, what it is an overlay of, or the pack it should be in, was damaged.
        """
        place = self._find(digest)
        if place.entry.bases:
            return store_chunk(self._open_overlay(place))
        try:
            stored = self._read(place)
        except MissingObjectError:
            # Somebody has rewritten or removed the pack since we read its trailer.
            self._reload()
            place = self._find(digest)
            if place.entry.bases:
                return store_chunk(self._open_overlay(place))
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
        for stored, _ in self.read_open(digests):
            yield stored

    def read_open(self, digests: Iterable[Digest], brought: Brought = NOTHING) -> Iterator[Opened]:
        """Do what `read_run` does, and give with each stored form the chunk's own bytes, which proved it.

        What was `brought` before is not read again.
        """
        wanted = iter(digests)
        while window := list(islice(wanted, _WINDOW)):
            yield from self._read_window(window, brought)

    def places_of(self, digest: Digest) -> list[Place]:
        """Give where a chunk is, and what it needs when it is an overlay. Errors as in `read_stored`."""
        place = self._find(digest)
        return [place, *self._bases(place)]

    def read_chunk(self, digest: Digest) -> bytes:
        """Read a chunk's own bytes. Errors as in `read_stored`."""
        place = self._find(digest)
        if place.entry.bases:
            return self._open_overlay(place)
        stored = self.read_stored(digest)
        return open_chunk(stored, digest, self._find(digest).entry.size)

    def size_of(self, digest: Digest) -> int:
        """Give a chunk's size when open. Errors as in `read_stored`."""
        return self._find(digest).entry.size

    def stored_size_of(self, digest: Digest) -> int:
        """Give the bytes of a chunk's stored form, which is what travels; of an overlay the most that it may take.

        Errors as in `read_stored`.
        """
        entry = self._find(digest).entry
        return entry.size + 1 if entry.bases else entry.length

    def _find(self, digest: Digest) -> Place:
        self._list_once()
        place = self._known(digest)
        if place is None:
            self.refresh()
            place = self._known(digest)
        if place is not None:
            return place
        if self._damaged:
            packs = ", ".join(f"{pack[:12]} ({reason})" for pack, reason in sorted(self._damaged.items())[:3])
            raise IntegrityError(
                f"{self.remote.url} does not have chunk {digest[:12]}; it may have been in a damaged pack: {packs}",
                hint="remove the damaged packs there and push again: only their chunks are sent",
            )
        raise MissingObjectError(f"{self.remote.url} does not have chunk {digest[:12]}")

    def _known(self, digest: Digest) -> Place | None:
        return self._places.get(digest) or self._overlays.get(digest)

    def _read(self, place: Place) -> bytes:
        entry = place.entry
        stored = self.remote.read(f"packs/{place.pack}", start=entry.offset, length=entry.length)
        if len(stored) != entry.length:
            raise self._damage(place, f"the pack ends {entry.length - len(stored)} bytes too early")
        return stored

    def _read_window(self, digests: Sequence[Digest], brought: Brought) -> Iterator[Opened]:
        places: list[Place] = []
        steps: list[Place] = []
        failure: IntegrityError | MissingObjectError | None = None
        for digest in digests:
            try:
                place = self._find(digest)
                steps += self._bases(place) or [place]
            except (IntegrityError, MissingObjectError) as error:
                failure = error
                break
            places.append(place)
        read = self._read_runs(steps, brought)
        overlays = self._read_raw([place for place in places if place.entry.bases], brought)
        for place in places:
            if place.entry.bases:
                data = self._lay(place, next(overlays), read)
                yield _RAW + data, data
            else:
                yield next(read)
        if failure is not None:
            raise failure

    def _read_runs(self, places: Iterable[Place], brought: Brought) -> Iterator[Opened]:
        for run in _runs(places):
            yield from self._read_together(run, brought)

    def _read_raw(self, places: Iterable[Place], brought: Brought) -> Iterator[memoryview]:
        """Read overlays as they lie, unproven; what is cut off or gone is short."""
        for run in _runs(places):
            data = self._read_places(run, brought)
            at = 0
            for place in run:
                yield data[at : at + place.entry.length]
                at += place.entry.length

    def _read_places(self, run: list[Place], brought: Brought) -> memoryview:
        start, length = run[0].entry.offset, sum(place.entry.length for place in run)
        here = brought.get(run[0].pack, start, length)
        if here is not None:
            return here
        try:
            return memoryview(self.remote.read(f"packs/{run[0].pack}", start=start, length=length))
        except MissingObjectError:
            return memoryview(b"")

    def _read_together(self, run: list[Place], brought: Brought) -> Iterator[Opened]:
        """Read places that follow each other; whatever is odd, the reader of one chunk finds out about it."""
        data = self._read_places(run, brought)
        at = 0
        for place in run:
            entry = place.entry
            stored: bytes | memoryview = data[at : at + entry.length]
            at += entry.length
            try:
                opened = view_chunk(stored, entry.digest, entry.size)
            except IntegrityError:
                stored = self.read_stored(entry.digest)
                opened = view_chunk(stored, entry.digest, self._find(entry.digest).entry.size)
            yield stored, opened

    # ---------------------------------------------------------------- overlays
    def _bases(self, place: Place) -> list[Place]:
        """Find what an overlay needs; nothing for a whole chunk."""
        return [self._base(place, base) for base in place.entry.bases]

    def _base(self, place: Place, base: Digest) -> Place:
        whole = self._places.get(base)
        if whole is None and base not in self._overlays:
            self.refresh()
            whole = self._places.get(base)
        if whole is not None:
            return whole
        reason = "is an overlay itself" if base in self._overlays else "is not there"
        raise self._damage(place, f"it is an overlay of chunk {base[:12]}, which {reason}")

    def _lay(self, place: Place, stored: memoryview, read: Iterator[Opened]) -> bytes:
        """Open an overlay, whose bases come next."""
        entry = place.entry
        try:
            bases = [data for _, (_, data) in zip(entry.bases, read, strict=False)]
        except (IntegrityError, MissingObjectError) as error:
            raise self._damage(place, f"it is an overlay of what cannot be read: {error.message}") from error
        try:
            return _opened(stored, place, bases)
        except IntegrityError:
            return self._open_overlay(place)  # its pack may have been rewritten; else this says what is wrong

    def _open_overlay(self, place: Place, *, again: bool = False) -> bytes:
        """Open one overlay by itself."""
        digest = place.entry.digest
        try:
            stored = self._read(place)
        except MissingObjectError:
            if again:
                raise
            self._reload()
            place = self._find(digest)
            return self._open_overlay(place, again=True) if place.entry.bases else self.read_chunk(digest)
        return self.put_together(place.entry, place.pack, stored)

    def put_together(self, entry: PackEntry, pack: Digest, stored: bytes | memoryview) -> bytes:
        """Give the chunk of an overlay that was read out of a pack, with what it needs from other packs.

        Raises:
            IntegrityError: it is damaged, or what it needs is, or is not there. Both packs are named.
        """
        place = Place(pack, entry)
        bases: list[bytes] = []
        for base in self._bases(place):
            try:
                bases.append(self.read_chunk(base.entry.digest))
            except (IntegrityError, MissingObjectError) as error:
                raise self._damage(
                    place, f"it is an overlay of what cannot be read: {error.message}"
                ) from error
        try:
            return _opened(stored, place, bases)
        except IntegrityError as error:
            raise self._damage(place, error.message) from error

    def _damage(self, place: Place, reason: str) -> IntegrityError:
        return IntegrityError(
            f"pack {place.pack[:12]} in {self.remote.url}: chunk {place.entry.digest[:12]} is damaged: {reason}",
            hint=f"remove packs/{place.pack} there and push again: only the chunks of that pack are sent",
        )


def _opened(stored: bytes | memoryview, place: Place, bases: Sequence[bytes | memoryview]) -> bytes:
    entry = place.entry
    if entry.drifts:
        return open_drifted(stored, entry.digest, entry.size, bases[0] if bases else b"")
    laying = Laying(stored, entry.digest, entry.size, len(entry.bases))
    for base in bases:
        laying.lay(base)
    return laying.finish()


def _runs(places: Iterable[Place]) -> Iterator[list[Place]]:
    """Group places that lie one behind the other in a pack, as far as that is not too long to be held."""
    run: list[Place] = []
    for place in places:
        if run and not _follows(run, place):
            yield run
            run = []
        run.append(place)
    if run:
        yield run


def _follows(run: list[Place], place: Place) -> bool:
    last, first = run[-1], run[0]
    end = last.entry.offset + last.entry.length
    together = place.pack == last.pack and place.entry.offset == end
    return together and end - first.entry.offset < MAX_RUN_BYTES
