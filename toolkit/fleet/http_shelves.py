"""What the HTTP road shows of an artifact: its index, and its chunks as one file that exists nowhere.

    chunks file = all distinct chunks of the index, open, one after the other, in the order of their first appearance

That is the layout of STATE/parts/ARTIFACT on a device, so every offset follows from the index. `http_road` sends ranges
of it; `registry.export` writes it out for a static server. Only artifacts whose manifest is signed by the registry's
key are shown, and each chunk is checked as it is read.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from toolkit.errors import MissingObjectError, TiersError
from toolkit.registry.catalogue import open_artifact
from toolkit.sync.layouts.packs import PackStore
from toolkit.wire.digest import Digest
from toolkit.wire.index import ChunkRef, decode_index, distinct_chunks
from toolkit.wire.keyring import Keyring

MAX_SHELVES: Final = 8
"""Artifacts whose index is kept in memory."""
MAX_UNKNOWN: Final = 1024
UNKNOWN_SECONDS: Final = 2.0
"""How long "there is no such artifact" holds before the registry is asked again."""


@dataclass(frozen=True)
class HttpShelf:
    """An artifact that is shown."""

    artifact: Digest
    index: bytes
    refs: tuple[ChunkRef, ...]
    places: tuple[int, ...]
    """Where each chunk begins in the chunks file; the last one is the file's size."""

    @property
    def size(self) -> int:
        """Bytes of the chunks file."""
        return self.places[-1]


class HttpShelves:
    """The artifacts of a registry. For any thread."""

    def __init__(self, open_store: Callable[[], PackStore], keyring: Keyring) -> None:
        """Prepare; the registry is opened when it is first asked, and again while it is away."""
        self._open_store = open_store
        self._keyring = keyring
        self._store: PackStore | None = None
        self._lock = threading.Lock()
        self._shelves: OrderedDict[Digest, HttpShelf] = OrderedDict()
        self._unknown: OrderedDict[Digest, tuple[float, str]] = OrderedDict()

    def shelf(self, artifact: Digest) -> HttpShelf:
        """Give an artifact.

        Raises:
            MissingObjectError: there is none of that name that somebody we trust has signed.
            IntegrityError: its index is damaged.
            RemoteUnavailableError: the registry does not answer.
        """
        with self._lock:
            found = self._shelves.get(artifact)
            if found is not None:
                self._shelves.move_to_end(artifact)
                return found
            until, reason = self._unknown.get(artifact, (0.0, ""))
            if until > time.monotonic():
                raise MissingObjectError(reason)
            store = self._opened()
            try:
                manifest = open_artifact(store, artifact, self._keyring).manifest
            except TiersError as error:
                if not error.retryable:
                    self._note_unknown(artifact, error.message)
                    raise MissingObjectError(error.message) from error
                raise
            index = store.get_index_bytes(manifest.index)
            refs = distinct_chunks(decode_index(index, manifest.index))
            places = (0, *accumulate(ref.size for ref in refs))
            found = self._shelves[artifact] = HttpShelf(artifact, index, refs, places)
            if len(self._shelves) > MAX_SHELVES:
                self._shelves.popitem(last=False)
            return found

    def pieces(self, shelf: HttpShelf, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes `start` to `stop` (not included) of the chunks file, at most one chunk at a time.

        Raises:
            IntegrityError, MissingObjectError: the registry's copy is damaged or gone; what came before is right.
            RemoteUnavailableError: the registry does not answer.
        """
        store = self._opened()
        number = bisect_right(shelf.places, start) - 1
        while start < stop:
            data = store.read_chunk(shelf.refs[number].digest)
            begin = shelf.places[number]
            yield data[start - begin : stop - begin]
            number += 1
            start = shelf.places[number]

    def _opened(self) -> PackStore:
        if self._store is None:
            self._store = self._open_store()
        return self._store

    def _note_unknown(self, artifact: Digest, reason: str) -> None:
        self._unknown[artifact] = (time.monotonic() + UNKNOWN_SECONDS, reason)
        if len(self._unknown) > MAX_UNKNOWN:
            self._unknown.popitem(last=False)
