"""Where the chunks of a run come from: files of a folder that was scanned, or packs.

Between `scan` (or a Ref of packs) and the targets, which ask for the chunks that they lack, in stored form.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from typing import Protocol

from toolkit.errors import TornReadError, UnsafePathError
from toolkit.sync.folder import READ_FLAGS, Folder
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.read import join
from toolkit.wire.chunk import MAX_CHUNK_BYTES, store_chunk
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.index import ChunkRef, Index
from toolkit.wire.paths import shown


class ChunkSource(Protocol):
    """Gives chunks in stored form. Usable by several threads."""

    def expect(self, digests: Collection[Digest]) -> None:
        """Say which chunks will be asked for."""
        ...

    def stored(self, ref: ChunkRef) -> bytes:
        """Give a chunk in its stored form, proven to be itself.

        Raises:
            TornReadError: the file that held it has changed since it was scanned.
            IntegrityError: it was damaged where it rested.
        """
        ...

    def close(self) -> None:
        """Let go of open files."""
        ...


class PackSource:
    """Chunks from packs."""

    def __init__(self, store: PackStore) -> None:
        """Read from a store."""
        self._store = store

    def expect(self, digests: Collection[Digest]) -> None:
        """Nothing to prepare: packs know where their chunks are."""

    def stored(self, ref: ChunkRef) -> bytes:
        """Read a chunk; see `PackStore.read_stored`."""
        return self._store.read_stored(ref.digest)

    def close(self) -> None:
        """Nothing is open."""


class FolderSource:
    """Chunks from the files of a folder, as a scan found them."""

    def __init__(self, folder: Folder, root: bytes, index: Index) -> None:
        """Read below `root` what `index` says is there."""
        self._folder = folder
        self._root = root
        self._index = index
        self._places: dict[Digest, tuple[bytes, int]] = {}
        self._local = threading.local()
        self._lock = threading.Lock()
        self._hands: list[_Hand] = []

    def expect(self, digests: Collection[Digest]) -> None:
        """Find out in which file each chunk is."""
        wanted = set(digests) - self._places.keys()
        if not wanted:
            return
        for entry in self._index.entries:
            offset = 0
            for ref in entry.refs():
                if ref.digest in wanted:
                    self._places.setdefault(ref.digest, (entry.path, offset))
                offset += ref.size

    def stored(self, ref: ChunkRef) -> bytes:
        """Read a chunk out of its file and code it; see `ChunkSource.stored`."""
        path, offset = self._places[ref.digest]
        try:
            data = self._hand().read(path, offset, ref.size)
        except (OSError, UnsafePathError) as error:
            raise TornReadError(f"{shown(path)} cannot be read any more: {error}") from error
        if len(data) != ref.size or digest_of(data) != ref.digest:
            raise TornReadError(f"{shown(path)} changed between looking and sending")
        return store_chunk(data)

    def close(self) -> None:
        """Close the files that the threads have open."""
        with self._lock:
            for hand in self._hands:
                hand.close()
            self._hands.clear()
            self._local = threading.local()

    def _hand(self) -> _Hand:
        hand: _Hand | None = getattr(self._local, "hand", None)
        if hand is None:
            hand = _Hand(self._folder, self._root)
            self._local.hand = hand
            with self._lock:
                self._hands.append(hand)
        return hand


class _Hand:
    """One thread's open file and buffer: chunks of a file are asked for one after the other."""

    def __init__(self, folder: Folder, root: bytes) -> None:
        self._folder = folder
        self._root = root
        self._buffer = memoryview(bytearray(MAX_CHUNK_BYTES))
        self._path: bytes | None = None
        self._descriptor = -1

    def read(self, path: bytes, offset: int, size: int) -> memoryview:
        """Give bytes of a file, valid until the next call; fewer when it ends before."""
        if path != self._path:
            self.close()
            with self._folder.parent(join(self._root, path)) as (way, name):
                self._descriptor = os.open(name, READ_FLAGS, dir_fd=way)
            self._path = path
        got = os.preadv(self._descriptor, [self._buffer[:size]], offset)
        return self._buffer[:got]

    def close(self) -> None:
        if self._path is not None:
            os.close(self._descriptor)
            self._path = None
