"""Where the chunks of a run come from: files of a folder that was scanned, or packs.

Between `scan` (or a Ref of packs) and the targets, which ask for the chunks that they lack: `push` for their stored
form, `layouts.drafts` for their own bytes, many at once.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol
from weakref import WeakSet

from toolkit.errors import IntegrityError, TornReadError, UnsafePathError
from toolkit.sync.blocks import BlockMemory
from toolkit.sync.drifting import Drifting
from toolkit.sync.folder import READ_FLAGS, Cursor, Folder
from toolkit.sync.layouts.ahead import ReadingAhead
from toolkit.sync.layouts.pack import StoredChunk
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.overlaying import Overlaying
from toolkit.sync.read import LARGE_BYTES, join
from toolkit.sync.room import room_for
from toolkit.wire.chunk import MAX_CHUNK_BYTES, store_chunk
from toolkit.wire.digest import RAW_BYTES, Digest, digest_of, to_raw
from toolkit.wire.entry import PACKED, raw_digests
from toolkit.wire.index import ChunkRef, Entry, Listing
from toolkit.wire.paths import shown
from toolkit.wire.tree import Tree

Range = tuple[bytes, bytes]
_MANY = 100_000
"""So many places are kept when others are asked for."""


class ChunkSource(Protocol):
    """Gives chunks in stored form. Usable by several threads."""

    gives_blocks: bool
    """Whether parts of a chunk can be had, so that nobody has to take all of it for a few bytes."""

    def expect(self, digests: Collection[Digest]) -> None:
        """Say which chunks will be asked for from now on."""
        ...

    def stored(self, ref: ChunkRef) -> bytes:
        """Give a chunk in its stored form, proven to be itself.

        Raises:
            TornReadError: the file that held it has changed since it was scanned.
            IntegrityError: it was damaged where it rested.
        """
        ...

    def fetch(self, refs: Sequence[ChunkRef], into: memoryview) -> int:
        """Put the own bytes of chunks into a buffer, one behind the other, each proven to be itself.

        Returns:
            How many bytes moved: those of the files, or those of the stored form. Errors as in `stored`.
        """
        ...

    def close(self) -> None:
        """Let go of open files."""
        ...


class PackSource:
    """Chunks from packs."""

    gives_blocks = False

    def __init__(self, store: PackStore) -> None:
        """Read from a store."""
        self._store = store
        self._ahead: ReadingAhead | None = None

    def read_ahead(self, digests: Iterable[Digest]) -> None:
        """Say in which order chunks will be fetched, each once, so that they can be on their way before."""
        self.close()
        self._ahead = ReadingAhead(self._store, digests)

    def expect(self, digests: Collection[Digest]) -> None:
        """Nothing to prepare: packs know where their chunks are."""

    def stored(self, ref: ChunkRef) -> bytes:
        """Read a chunk; see `PackStore.read_stored`."""
        return self._store.read_stored(ref.digest)

    def fetch(self, refs: Sequence[ChunkRef], into: memoryview) -> int:
        """Read chunks, those that lie together at once; see `ChunkSource.fetch` and `PackStore.read_open`."""
        moved = end = 0
        opened = (self._ahead or self._store).read_open([ref.digest for ref in refs])
        for ref, (stored, data) in zip(refs, opened, strict=True):
            if len(data) != ref.size:
                raise IntegrityError(
                    f"chunk {ref.digest[:12]} has {len(data)} bytes, its index says {ref.size}"
                )
            into[end : end + ref.size] = data
            end += ref.size
            moved += len(stored)
        return moved

    def close(self) -> None:
        """Read ahead no more."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None


class FolderSource:
    """Chunks from the files of a folder, as a scan found them."""

    gives_blocks = True

    def __init__(
        self, folder: Folder, root: bytes, index: Listing, blocks: BlockMemory | None = None
    ) -> None:
        """Read below `root` what `index` says is there; `blocks` remembers what of it has been sent."""
        self.blocks = blocks
        self._folder = folder
        self._root = root
        self._index = index
        self._places: dict[Digest, tuple[bytes, int]] = {}
        self._large: set[bytes] = set()
        self._local = threading.local()
        self._lock = threading.Lock()
        self._hands: WeakSet[_Hand] = WeakSet()
        """A thread that ends takes its hand with it: of a million files each window has threads of its own."""

    def expect(
        self, digests: Collection[Digest], *, near: Range | None = None, files: Iterable[Entry] = ()
    ) -> None:
        """Find out in which file each chunk is.

        Args:
            digests: of the chunks.
            near: the first and the last of the paths of files that they are in, where that is known.
            files: entries of the scan that most of them are in; of a million files nobody walks all for a few.
        """
        if len(self._places) > _MANY:
            self._places = {}
        wanted = set(digests) - self._places.keys()
        self._find(wanted, files)
        wanted -= self._places.keys()
        if not wanted:
            return
        if near is not None and isinstance(self._index, Tree):
            self._find(wanted, self._index.between(*near))
            wanted -= self._places.keys()
        if wanted:
            self._find(wanted, self._index.entries)

    def _find(self, wanted: set[Digest], entries: Iterable[Entry]) -> None:
        raw = {to_raw(digest) for digest in wanted}
        for entry in entries:
            chunks = entry.chunks
            if len(chunks) == PACKED.size and chunks[:RAW_BYTES] not in raw:
                continue  # most files have one chunk
            if raw.isdisjoint(raw_digests(chunks)):
                continue
            if entry.size >= LARGE_BYTES:
                self._large.add(entry.path)
            offset = 0
            for ref in entry.refs():
                if ref.digest in wanted:
                    self._places.setdefault(ref.digest, (entry.path, offset))
                offset += ref.size

    def stored(self, ref: ChunkRef) -> bytes:
        """Read a chunk out of its file and code it; see `ChunkSource.stored`."""
        hand = self._hand()
        self._fetch([ref], hand.buffer)
        return store_chunk(hand.buffer[: ref.size])

    def coded(self, ref: ChunkRef, coding: Overlaying | Drifting) -> StoredChunk:
        """Read a chunk and code it so that little moves: of a large file, what differs. Errors as in `stored`."""
        hand = self._hand()
        self._fetch([ref], hand.buffer)
        path, offset = self._places[ref.digest]
        data = hand.buffer[: ref.size]
        if path in self._large:
            return coding.code(ref, path, offset, data)
        return StoredChunk(ref.digest, ref.size, store_chunk(data))

    def fetch(self, refs: Sequence[ChunkRef], into: memoryview) -> int:
        """Read chunks, those that are neighbours in a file at once; see `ChunkSource.fetch`."""
        self._fetch(refs, into)
        return sum(ref.size for ref in refs)

    def _fetch(self, refs: Sequence[ChunkRef], into: memoryview) -> None:
        hand = self._hand()
        start = end = 0
        path, offset = self._places[refs[0].digest]
        for ref in refs:
            place = self._places[ref.digest]
            if place != (path, offset + end - start):
                _read(hand, path, offset, into[start:end])
                path, offset = place
                start = end
            end += ref.size
        _read(hand, path, offset, into[start:end])
        end = 0
        for ref in refs:
            if digest_of(into[end : end + ref.size]) != ref.digest:
                where = shown(self._places[ref.digest][0])
                raise TornReadError(f"{where} changed between looking and sending")
            end += ref.size

    def close(self) -> None:
        """Close the files that the threads have open."""
        with self._lock:
            for hand in list(self._hands):
                hand.close()
            self._hands.clear()
            self._local = threading.local()

    def _hand(self) -> _Hand:
        hand: _Hand | None = getattr(self._local, "hand", None)
        if hand is None:
            hand = _Hand(self._folder, self._root)
            self._local.hand = hand
            with self._lock:
                self._hands.add(hand)
        return hand


class _Hand:
    """One thread's open file and buffer: chunks of a file are asked for one after the other."""

    def __init__(self, folder: Folder, root: bytes) -> None:
        self._root = root
        self._cursor = Cursor(folder)
        self._path: bytes | None = None
        self._descriptor = -1
        self.buffer = room_for(MAX_CHUNK_BYTES)

    def read(self, path: bytes, offset: int, into: memoryview) -> bool:
        """Read bytes of a file; False when it ends before."""
        if path != self._path:
            self._close_file()
            way, name = self._cursor.at(join(self._root, path))
            self._descriptor = os.open(name, READ_FLAGS, dir_fd=way)
            self._path = path
        done = 0
        while done < len(into):
            got = os.preadv(self._descriptor, [into[done:]], offset + done)
            if not got:
                return False
            done += got
        return True

    def close(self) -> None:
        self._close_file()
        self._cursor.close()

    def __del__(self) -> None:
        """Its thread has ended."""
        self.close()

    def _close_file(self) -> None:
        if self._path is not None:
            os.close(self._descriptor)
            self._path = None


def _read(hand: _Hand, path: bytes, offset: int, into: memoryview) -> None:
    try:
        whole = hand.read(path, offset, into)
    except (OSError, UnsafePathError) as error:
        raise TornReadError(f"{shown(path)} cannot be read any more: {error}") from error
    if not whole:
        raise TornReadError(f"{shown(path)} became shorter between looking and sending")
