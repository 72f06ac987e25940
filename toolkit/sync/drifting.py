"""Send of weights that moved a little how far they moved: between a `FolderSource` and a `PackStore`.

For routes that say `content: weights`: their large files are cut in equal pieces (`wire.chunk.WEIGHTS`), because where
all numbers have changed no content says any more where a piece began. The chunk that lay at the same place of the file,
or of the checkpoint before it (`earlier_weights`), in the last state of the target is the base, or what that one had
drifted from: a drift never leans on a drift. The base is read from the target, which costs a line as much as the file
takes there, and counts against the route's limit. What saves too little goes whole, and what comes next leans on that.
"""

from __future__ import annotations

import logging
import threading

from toolkit.errors import IntegrityError, MissingObjectError
from toolkit.sync.delta.drift import encode_drifted
from toolkit.sync.delta.planes import is_possible
from toolkit.sync.earlier_weights import EarlierWeights
from toolkit.sync.layouts.pack import StoredChunk
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.pace import Pace
from toolkit.wire.chunk import store_chunk
from toolkit.wire.entry import PACKED
from toolkit.wire.index import ChunkRef
from toolkit.wire.tree import Tree

log = logging.getLogger(__name__)


class Drifting:
    """Codes the chunks of large files of weights for one target. Usable by several threads."""

    def __init__(self, store: PackStore, old: Tree, pace: Pace) -> None:
        """Begin a run.

        Args:
            store: the target, as it was looked at last.
            old: what the route had brought there before.
            pace: holds back the reading of bases.
        """
        self._store = store
        self._old = EarlierWeights(old)
        self._pace = pace
        self._lock = threading.Lock()
        self._path: bytes | None = None
        self._earlier: dict[int, bytes] = {}
        """Raw digests of the chunks of one file in its last version, by where they began."""
        self._is_possible = is_possible()
        if not self._is_possible:
            log.warning("NumPy is not installed: weights go to %s whole", store.remote.url)

    def code(self, ref: ChunkRef, path: bytes, offset: int, data: memoryview) -> StoredChunk:
        """Give a chunk in the stored form that moves least.

        Args:
            ref: the chunk.
            path: of its file.
            offset: where in the file it begins.
            data: its bytes, which have just been proven.

        Raises:
            RemoteUnavailableError: the target does not answer.
        """
        earlier = self._at(path, offset) if self._is_possible else None
        base = self._store.to_drift_from(earlier) if earlier is not None else None
        if base is not None and base != ref.digest:
            try:
                self._pace.take(self._store.stored_size_of(base))
                stored = encode_drifted(self._store.read_chunk(base), data)
            except (IntegrityError, MissingObjectError):
                stored = None  # whoever verifies finds out about it
            if stored is not None:
                return StoredChunk(ref.digest, ref.size, stored, (base,))
        return StoredChunk(ref.digest, ref.size, store_chunk(data))

    def _at(self, path: bytes, offset: int) -> bytes | None:
        """Give the chunk of the earlier version that began at this place."""
        with self._lock:
            if path != self._path:
                self._path, self._earlier = path, self._chunks_of(path)
            return self._earlier.get(offset)

    def _chunks_of(self, path: bytes) -> dict[int, bytes]:
        entry = self._old.of(path)
        found: dict[int, bytes] = {}
        at = 0
        for raw, size in PACKED.iter_unpack(entry.chunks if entry is not None else b""):
            found[at] = raw
            at += size
        return found
