"""Files of a mirror that are being built, beside their place: `.tiers/partial/ROUTE/…`, one draft a file.

A draft is filled at the right offsets, from what the mirror has already (old files, other drafts) and from the source,
in stretches of neighbouring chunks; every chunk is proven before it is written. Where the file system can share the
blocks of two files, a draft begins as a copy of the old file that costs nothing: what stays where it was counts as what
it was, as all of a file does that does not change, as long as nobody writes to the old one. There is no journal: after
an interruption the drafts are read again, and what is right in them counts as arrived. `layouts.early` may have written
some while the source was scanned. `layouts.settle` renames them into place.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from toolkit.errors import UnsafePathError
from toolkit.sync.chunk_source import ChunkSource
from toolkit.sync.events import Listener
from toolkit.sync.extras import is_sparse
from toolkit.sync.flow import THREADS
from toolkit.sync.flush_ahead import FlushAhead
from toolkit.sync.folder import READ_FLAGS, Cursor, Folder, share_blocks
from toolkit.sync.layouts.build import (
    DRAFT_FLAGS,
    DRAFT_MODE,
    Buffers,
    Builder,
    LastFile,
    Road,
    facts_of,
    is_ours,
)
from toolkit.sync.layouts.pieces import Lacks, Piece, tasks
from toolkit.sync.merge import placed
from toolkit.sync.pace import Pace
from toolkit.sync.read import join
from toolkit.sync.target import Filled
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef, Entry

_WORTH_SHARING_BYTES = 128 * 1024
_SHIFTED = 4
"""A draft shares blocks when at least one part in so many of what the mirror has of it stays where it was."""
_CANNOT_SHARE = {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS}


class Drafts:
    """The drafts of one route in one storage."""

    def __init__(
        self, folder: Folder, root: bytes, target: str, share: Callable[[int, int], None] = share_blocks
    ) -> None:
        """Keep drafts below `root`; `target` names the storage in events, `share` makes a file a copy for free."""
        self._share: Callable[[int, int], None] | None = share
        self._folder = folder
        self._root = root
        self._target = target
        self._buffers = Buffers()
        self.flushing = FlushAhead(folder)
        self.early: dict[bytes, bytes] = {}
        """Files whose drafts this run has written already, every chunk proven: path to packed chunks."""

    def path_of(self, entry: Entry) -> bytes:
        """Give the path of a file's draft below the storage's root."""
        return self.place_of(entry.path)

    def place_of(self, path: bytes) -> bytes:
        """Give the path of the draft of the file at `path`."""
        return join(self._root, digest_of(path)[:32].encode())

    def right_chunks(self, path: bytes, entry: Entry, cursor: Cursor) -> set[int]:
        """Read a file and give the offsets at which it holds what the entry says; empty when it cannot be read."""
        buffer = self._buffers.get()
        try:
            way, name = cursor.at(path)
            descriptor = os.open(name, READ_FLAGS, dir_fd=way)
        except (OSError, UnsafePathError):
            return set()
        try:
            return {offset for offset, ref in placed(entry) if _holds(descriptor, offset, ref, buffer)}
        except OSError:
            return set()
        finally:
            os.close(descriptor)

    def left_over(self, entry: Entry, cursor: Cursor) -> set[int]:
        """Give the offsets at which a draft of an earlier run holds what the entry says."""
        if self.early.get(entry.path) == entry.chunks:
            return {offset for offset, _ in placed(entry)}
        self.early.pop(entry.path, None)  # the draft is about to become something else
        path = self.path_of(entry)
        try:
            way, name = cursor.at(path)
            found = os.open(name, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=way)
        except FileNotFoundError:
            return set()
        try:
            if not is_ours(found):
                # Not what we left: writing here could write somewhere else.
                os.unlink(name, dir_fd=way)
                return set()
            # What was looked at, whatever has the name by now.
            Path(f"/proc/self/fd/{found}").chmod(DRAFT_MODE)
        finally:
            os.close(found)
        return self.right_chunks(path, entry, cursor)

    def names(self) -> set[bytes]:
        """List the drafts that are there."""
        try:
            with self._folder.folder(self._root) as descriptor, os.scandir(descriptor) as items:
                return {os.fsencode(item.name) for item in items}
        except FileNotFoundError:
            return set()

    def fill(self, lacks: Lacks, source: ChunkSource, pace: Pace, listen: Listener) -> Filled:
        """Bring every piece.

        Raises:
            RemoteUnavailableError, IntegrityError: from the source; what has arrived stays.
            OSError: the disk is full or broken; what has arrived stays.
        """
        begun = ((entry.path, self._begin_as_copy(entry, pieces, lacks)) for entry, pieces in lacks.first)
        copies = {path: facts for path, facts in begun if facts is not None}
        road = Road(source, pace, listen, self._target, lacks.bases, copies, self.flushing)
        work = Builder(self._folder, self.path_of, self._buffers, road)
        pool = ThreadPoolExecutor(THREADS, "fill")
        try:
            for stage in (lacks.first, lacks.then):
                for _ in pool.map(work.run, tasks(stage)):
                    pass
        finally:
            pool.shutdown(cancel_futures=True)
        return Filled(
            work.chunks, work.total_bytes, work.stored_bytes, tuple(work.torn.values()), frozenset(work.torn)
        )

    def _begin_as_copy(self, entry: Entry, pieces: list[Piece], lacks: Lacks) -> tuple[int, int] | None:
        """Let a draft share the blocks of the file's last version; give that one's facts if it does now."""
        base = lacks.bases.get(entry.path)
        # A file with holes is written around them, which needs a draft that is empty there.
        if base is None or self._share is None or entry.size < _WORTH_SHARING_BYTES or is_sparse(entry):
            return None
        here = sum(piece.ref.size for piece in pieces if piece.place is not None)
        if _SHIFTED * sum(piece.ref.size for piece in pieces if piece.place == (base, piece.offset)) < here:
            return None  # nearly all of it moves, and shared blocks are dearer to overwrite than to write
        with suppress(OSError, UnsafePathError), LastFile(self._folder) as last:
            old = last.open(base)
            with self._folder.parent(self.path_of(entry)) as (way, name):
                draft = os.open(name, DRAFT_FLAGS | os.O_EXCL, DRAFT_MODE, dir_fd=way)
                try:
                    if old is not None and (facts := facts_of(old)) == lacks.seen.get(entry.path):
                        self._share(draft, old)
                        return facts
                except OSError as error:
                    if error.errno in _CANNOT_SHARE:
                        self._share = None
                finally:
                    os.close(draft)
                os.unlink(name, dir_fd=way)
        return None

    def discard(self, names: Iterable[bytes]) -> None:
        """Remove drafts that nobody needs any more."""
        with suppress(FileNotFoundError), self._folder.folder(self._root) as descriptor:
            for name in names:
                with suppress(FileNotFoundError, IsADirectoryError):
                    os.unlink(name, dir_fd=descriptor)


def _holds(descriptor: int, offset: int, ref: ChunkRef, buffer: memoryview) -> bool:
    """Read a chunk's place into the buffer and say whether the chunk is there."""
    piece = buffer[: ref.size]
    return os.preadv(descriptor, [piece], offset) == ref.size and digest_of(piece) == ref.digest
