"""Bring chunks of packs before they are asked for: in few large requests, several at a time, with bounded memory.

`chunk_source.PackSource` learns from a mirror in which order it will fetch, and asks here. The order is cut into blocks
of some MiB; what a block needs (its chunks, and of overlays the bases, which lie in other packs) is read in as few
ranges as can be, each once, while blocks before it are opened and written. `reading` proves what it takes out of them.
What is asked for out of the order, and what came damaged, is read by itself. A route with a limit does without: what is
on its way ahead keeps to none.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby

from toolkit.errors import IntegrityError, MissingObjectError
from toolkit.sync.layouts.places import Place
from toolkit.sync.layouts.ranges import NOTHING, Brought, Range, ranges_of
from toolkit.sync.layouts.reading import Opened, Reading
from toolkit.wire.digest import Digest

_BLOCK_BYTES = 4 * 1024 * 1024
AHEAD = 3
"""Blocks that are on their way behind the one that is being read."""
_MOST = 7
"""Blocks at all: two threads that read stand in two of them each at most."""
_AT_ONCE = 4
"""Requests on their way; SFTP has so many connections."""


class _Block:
    """Chunks that are brought together."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.left: set[Digest] = set()
        """Chunks that nobody has asked for yet."""
        self.parts: list[tuple[Range, Future[bytes]]] = []

    def brought(self) -> Brought:
        return Brought((each, coming.result()) for each, coming in self.parts)


class ReadingAhead:
    """Reads a store in an order that is known before. Usable by several threads that keep roughly to it; `close` it."""

    def __init__(self, store: Reading, order: Iterable[Digest], *, block_bytes: int = _BLOCK_BYTES) -> None:
        """Begin; nothing is read before the first chunk is asked for.

        Args:
            store: where the chunks are.
            order: those that will be asked for, each once.
            block_bytes: stored bytes that are brought together, of bases too.
        """
        self._store = store
        self._order = iter(tuple(order))
        self._block_bytes = block_bytes
        self._lock = threading.Lock()
        self._blocks: dict[int, _Block] = {}
        self._of: dict[Digest, _Block] = {}
        self._number = 0
        self._pool = ThreadPoolExecutor(_AT_ONCE, "ahead")

    def read_open(self, digests: Sequence[Digest]) -> Iterator[Opened]:
        """Give chunks as `Reading.read_open` does, with the same errors."""
        with self._lock:
            found = [(digest, self._block_of(digest)) for digest in digests]
        for block, run in groupby(found, key=lambda each: each[1]):
            brought = NOTHING if block is None else block.brought()
            yield from self._store.read_open([digest for digest, _ in run], brought)

    def close(self) -> None:
        """Read no more; what is on its way is waited for."""
        self._pool.shutdown(cancel_futures=True)

    def _block_of(self, digest: Digest) -> _Block | None:
        """Give the block that a chunk comes in, with the next ones on their way. Called with the lock held."""
        while digest not in self._of and self._begin():
            pass
        block = self._of.pop(digest, None)
        if block is None:
            return None
        block.left.discard(digest)
        if not block.left:
            self._blocks.pop(block.number, None)
        while self._number <= block.number + AHEAD and self._begin():
            pass
        return block

    def _begin(self) -> bool:
        """Let one more block come; False when there is none."""
        block = _Block(self._number)
        places: dict[tuple[Digest, int], Place] = {}
        size = 0
        for digest in self._order:
            try:
                needs = self._store.places_of(digest)
            except (IntegrityError, MissingObjectError):
                break  # whoever asks for it hears why; each look for what is not there is a listing
            block.left.add(digest)
            for place in needs:  # chunks that lie upon one base need it once
                if places.setdefault((place.pack, place.entry.offset), place) is place:
                    size += place.entry.length
            if size >= self._block_bytes:
                break
        if not places:
            return False
        self._number += 1
        block.parts = [(each, self._pool.submit(self._read, each)) for each in ranges_of(places.values())]
        self._blocks[block.number] = block
        self._of.update(dict.fromkeys(block.left, block))
        while len(self._blocks) > _MOST:
            self._give_up(min(self._blocks))
        return True

    def _give_up(self, number: int) -> None:
        """Forget a block of which some chunks were never asked for."""
        for digest in self._blocks.pop(number).left:
            self._of.pop(digest, None)

    def _read(self, part: Range) -> bytes:
        try:
            return self._store.remote.read(f"packs/{part.pack}", start=part.start, length=part.length)
        except (IntegrityError, MissingObjectError):
            return b""  # one by one, to know which chunk it is
