"""The chunks of a store of packs that rest as overlays or drifts, and what they need. Between `trailers` and `packs`.

A chunk that lies whole in another pack is read from there; what is here counts only for those that do not.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator

from toolkit.sync.layouts.pack import PackEntry
from toolkit.sync.layouts.places import Place
from toolkit.wire.digest import Digest, from_raw, to_raw


class Overlays:
    """Chunks that lean on others and where they are. One thread puts, others may read meanwhile."""

    def __init__(self) -> None:
        """Begin empty."""
        self.packs: set[Digest] = set()
        """Packs that they are in."""
        self.kinds: set[bool] = set()
        """Whether there are drifts among them, and others."""
        self._of: dict[bytes, Place] = {}
        self._others: dict[bytes, frozenset[Digest]] = {}
        """What further overlays of the same chunk need."""

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._of)

    def __contains__(self, digest: Digest) -> bool:
        """Say whether a chunk rests as an overlay somewhere."""
        return bool(self._of) and to_raw(digest) in self._of

    def digests(self) -> Iterator[Digest]:
        """Yield the chunks."""
        return map(from_raw, list(self._of))

    def get(self, digest: Digest) -> Place | None:
        """Give where the overlay of a chunk is; its entry names the bases."""
        return self._of.get(to_raw(digest)) if self._of else None

    def get_raw(self, raw: bytes) -> Place | None:
        """Do the same for a raw digest."""
        return self._of.get(raw)

    def kinds_of(self, digests: Iterable[Digest]) -> set[bool]:
        """Say whether there are drifts among these chunks, and overlays."""
        places = map(self.get, digests)
        return {place.entry.drifts for place in places if place is not None}

    def put(self, pack: Digest, entries: Iterable[PackEntry], is_good: Callable[[Place], bool]) -> None:
        """Take in what a pack of overlays has.

        Args:
            pack: its id.
            entries: its chunks.
            is_good: of an overlay that is here, whether it can be counted on; else the new one takes its place.
        """
        self.packs.add(pack)
        for entry in entries:
            self.kinds.add(entry.drifts)
            raw = to_raw(entry.digest)
            before = self._of.get(raw)
            if before is None:
                self._of[raw] = Place(pack, entry)
                continue
            if not is_good(before):
                self._of[raw] = Place(pack, entry)
            self._others[raw] = self._others.get(raw, frozenset()) | {*before.entry.bases, *entry.bases}

    def bases_of(self, used: Container[bytes]) -> Iterator[tuple[Digest, ...]]:
        """Yield what the overlays of these chunks (raw digests) need, for each chunk that has any."""
        for raw, place in list(self._of.items()):
            if raw in used:
                yield (*place.entry.bases, *self._others.get(raw, ()))
