"""Replay a patch on the disk thread: make chunks of a target out of an installed version, keep those that are right.

Part of SEEDING, after `seed`. The patch lies in its part file like any artifact's chunks, and what it makes is cut by
the target's index. A chunk whose digest is another is dropped (the installed version has rotted, or the patch is
wrong), so nothing here has to be trusted, and whatever is still missing comes over the link. Like everything on this
thread it works in small steps, so that other models' chunks get their turn; each step ends with data, fdatasync,
bitmap, so that a kill costs one step.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from edge_runtime.drill import NO_DRILL, Drill
from edge_runtime.folders import Folders
from edge_runtime.part import Part
from edge_runtime.shelf import Shelf
from edge_runtime.store import Store
from toolkit.errors import IntegrityError
from toolkit.sync.delta.replay import PatchStream, cut_by, is_right, replay
from toolkit.wire.digest import Digest
from toolkit.wire.index import ChunkRef, Entry, distinct_chunks
from toolkit.wire.manifest import Patch
from toolkit.wire.paths import local, shown

STEP_BYTES: Final = 8 * 1024 * 1024
"""Bytes of the target that one step makes, about."""


@dataclass
class Made:
    """What came of a patch so far."""

    chunks: int = 0
    wrong: int = 0
    """Chunks that were others than the target's index names."""


class Remake:
    """The replay of one patch. `steps` does it; each `next` is a job for the disk thread."""

    def __init__(
        self,
        shelf: Shelf,
        store: Store,
        folders: Folders,
        target: Digest,
        patch: Patch,
        drill: Drill = NO_DRILL,
    ) -> None:
        """Prepare; nothing is read before the first step."""
        self._shelf = shelf
        self._store = store
        self._folders = folders
        self._target = target
        self._patch = patch
        self._drill = drill
        self.made = Made()

    def steps(self) -> Iterator[None]:
        """Do the work; pauses when about `STEP_BYTES` have been made.

        Raises:
            IntegrityError: patch or base is not what it should be; chunks that were right before that are kept.
            MissingExtraError: NumPy is not installed and the patch needs it.
            OSError: the disk cannot be written.
        """
        index = self._shelf.index(self._target)
        files = {entry.path: entry for entry in index.entries if entry.kind == "file"}
        chunks = distinct_chunks(index)
        with ExitStack() as stack:
            base = stack.enter_context(_Base(self._folders.version(self._patch.base)))
            part = stack.enter_context(Part(self._folders.part(self._target), chunks, self._drill))
            keep = _Keep(self._store, self._target, part, chunks, self.made)
            try:
                for ref, data in self._pieces(stack, files, base):
                    keep.take(ref, data)
                    if keep.seen >= STEP_BYTES:
                        keep.commit()
                        yield
            finally:
                keep.commit()

    def _pieces(
        self, stack: ExitStack, files: dict[bytes, Entry], base: _Base
    ) -> Iterator[tuple[ChunkRef, memoryview]]:
        index = self._shelf.index(self._patch.artifact)
        chunks = distinct_chunks(index)
        part = stack.enter_context(Part(self._folders.part(self._patch.artifact), chunks))
        numbers = {chunk.digest: number for number, chunk in enumerate(chunks)}

        def stored() -> Iterator[bytes]:
            for ref in index.entries[0].refs():
                data = part.read(numbers[ref.digest])
                if data is None:
                    raise IntegrityError("a stored chunk of the patch was damaged")
                yield data

        stream = PatchStream(stored())
        for file in stream.head(index.total_bytes).files:
            entry = files.get(file.path)
            if entry is None or entry.size != file.size:
                raise IntegrityError(f"the patch makes {shown(file.path)!r}, which is not in its target")
            yield from cut_by(entry.refs(), replay(file, stream, base.read))


class _Base:
    """The files of the version that a patch looks at."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[bytes, int] = {}

    def read(self, path: bytes, offset: int, length: int) -> bytes:
        """Give bytes of a file; fewer when it ends before.

        Raises:
            IntegrityError: there is no such file.
        """
        try:
            if path not in self._open:
                flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
                self._open[path] = os.open(self._folder / local(path), flags)
            return os.pread(self._open[path], length, offset)
        except OSError as error:
            raise IntegrityError(f"{shown(path)!r} of the base cannot be read: {error.strerror}") from error

    def __enter__(self) -> _Base:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()


class _Keep:
    """Writes chunks that are right and missing into the part file of the target."""

    def __init__(
        self, store: Store, target: Digest, part: Part, chunks: tuple[ChunkRef, ...], made: Made
    ) -> None:
        self._store = store
        self._target = target
        self._part = part
        self._numbers = {chunk.digest: number for number, chunk in enumerate(chunks)}
        self._missing = set(store.bitmap(target, len(chunks)).missing())
        self._size = len(chunks)
        self._written: list[int] = []
        self._made = made
        self.seen = 0
        """Bytes that came since the last commit."""

    def take(self, ref: ChunkRef, data: memoryview) -> None:
        """Look at what was made in a chunk's place."""
        self.seen += len(data)
        number = self._numbers[ref.digest]
        if number not in self._missing:
            return
        if not is_right(ref, data):
            self._made.wrong += 1
            return
        self._part.write(number, data)
        self._missing.discard(number)
        self._written.append(number)

    def commit(self) -> None:
        """Data, fdatasync, bitmap."""
        self.seen = 0
        if not self._written:
            return
        self._part.sync()
        bitmap = self._store.bitmap(self._target, self._size).with_set(self._written)
        tally = self._store.tally(self._target)
        tally = replace(tally, patched=tally.patched + len(self._written))
        self._store.save_progress(self._target, bitmap, tally)
        self._made.chunks += len(self._written)
        self._written.clear()
