"""What the drafts of a mirror lack, and where it is: in the mirror already, in drafts of an earlier run, or elsewhere.

Between `layouts.plan` and `layouts.drafts`. Of a few files all of it is known at once; a million files are sorted out
window by window, when they are counted and again when they are built, so that memory stays bounded. A chunk that files
of two windows share is then counted, and moved, twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from toolkit.errors import RemoteUnavailableError
from toolkit.sync.folder import Cursor, Folder
from toolkit.sync.layouts.drafts import Drafts
from toolkit.sync.layouts.pieces import Lacks, Place, lacking, staying
from toolkit.sync.layouts.work import Work
from toolkit.sync.merge import placed
from toolkit.sync.read import join
from toolkit.wire.digest import RAW_BYTES, Digest, to_raw
from toolkit.wire.entry import PACKED, raw_digests
from toolkit.wire.index import Entry
from toolkit.wire.tree import Tree


class Needs:
    """What the drafts of one plan lack."""

    def __init__(
        self,
        folder: Folder,
        root: bytes,
        drafts: Drafts,
        *,
        entries: Iterable[Entry],
        work: Work,
        old: Tree,
        have: Mapping[Digest, Place],
        window_pieces: int,
    ) -> None:
        """Begin to count.

        Args:
            folder: the storage.
            root: folder below it that the route fills.
            drafts: where files are built.
            entries: the files to build; they are walked several times.
            work: what the plan was made from.
            old: what the last run wrote.
            have: chunks that were found by reading, and where.
            window_pieces: how many chunks are sorted out at a time.
        """
        self._folder = folder
        self._root = root
        self._drafts = drafts
        self._entries = entries
        self._work = work
        self._old = old
        self._have = have
        self._window_pieces = window_pieces
        self._lacks: Lacks | None = None
        """What the drafts lack, where they are few enough to know it all at once."""
        self._left: set[bytes] | None = None
        """Names of the drafts of an earlier run."""
        self.bytes_to_write = 0

    def of(self, window: list[Entry]) -> Lacks:
        """Give what the drafts of a window lack."""
        return self._lacks or self._find(window)

    def check_space(self) -> None:
        """Refuse before the disk is full, as far as that can be foreseen."""
        need = self.bytes_to_write
        facts = os.fstatvfs(self._folder.descriptor)
        free = facts.f_bavail * facts.f_frsize
        if need > free and facts.f_blocks:  # else it is a file system that does not say
            raise RemoteUnavailableError(
                f"{self._folder.path}: {need} bytes are to be written and {free} are free",
                hint="free some space there and run it again",
            )

    def windows(self) -> Iterator[list[Entry]]:
        """Yield the drafts, so many at a time as may be held in memory with all their pieces."""
        window: list[Entry] = []
        pieces = 0
        for entry in self._entries:
            window.append(entry)
            pieces += 1 + len(entry.chunks) // PACKED.size
            if pieces >= self._window_pieces:
                yield window
                window, pieces = [], 0
        if window:
            yield window

    def count(self) -> tuple[int, int]:
        """Find out what is missing: chunks and bytes to move. Of many files it is found again as they are built."""
        self._lacks, self.bytes_to_write = None, 0
        chunks = total_bytes = number = 0
        for number, window in enumerate(self.windows(), 1):  # noqa: B007 -- the last one says how many
            self._lacks = lacks = self._find(window)
            chunks += len(lacks.moving)
            total_bytes += sum(lacks.moving.values())
            self.bytes_to_write += sum(
                piece.ref.size
                for stage in (lacks.first, lacks.then)
                for _, pieces in stage
                for piece in pieces
            )
        if number > 1:
            self._lacks = None
        return chunks, total_bytes

    def _find(self, chosen: list[Entry]) -> Lacks:
        """Find out which chunks of some drafts the mirror has, by its indexes and by drafts of an earlier run."""
        owned, have = self._work.owned, dict(self._have)
        wanted = {ref.digest for entry in chosen for ref in entry.refs()}
        if wanted:
            self._find_here(wanted, have)
        if self._left is None:  # before the first draft of this run is made
            self._left = self._drafts.names() if wanted else set()
        drafts: list[tuple[Entry, Place, set[int]]] = []
        with Cursor(self._folder) as cursor:
            for entry in chosen:
                path = self._drafts.path_of(entry)
                left = path.rpartition(b"/")[2] in self._left
                drafts.append(
                    (entry, Place(path, 0), self._drafts.left_over(entry, cursor) if left else set())
                )
        lacks = lacking(drafts, have)
        for number, (entry, pieces) in enumerate(lacks.first):
            found = self._work.disk.get(entry.path)
            if found is not None and found.kind == "file" and entry.path in owned:
                lacks.bases[entry.path] = base = join(self._root, entry.path)
                lacks.seen[entry.path] = found.size, found.mtime_ns
                for before in owned[entry.path] if len(pieces) > 1 else ():
                    if found.is_still(before):
                        lacks.first[number] = entry, list(staying(pieces, base, placed(before)))
        return lacks

    def _find_here(self, wanted: set[Digest], have: dict[Digest, Place]) -> None:
        """Find chunks in files of the mirror: those that are looked at, and those that have not changed."""
        for path, entries in self._work.owned.items():
            found = self._work.disk.get(path)
            for entry in entries:
                if found is None or entry.kind != "file" or not found.is_still(entry):
                    continue
                for offset, ref in placed(entry):
                    if ref.digest in wanted:
                        have.setdefault(ref.digest, Place(join(self._root, path), offset))
        if not self._work.is_all:
            self._find_unchanged(wanted - have.keys(), have)

    def _find_unchanged(self, wanted: set[Digest], have: dict[Digest, Place]) -> None:
        """Find chunks in files that have not changed, for what was renamed or copied."""
        raw = {to_raw(digest) for digest in wanted}
        for part in self._old.parts if raw else ():
            for entry in self._old.part(part):
                chunks = entry.chunks
                if len(chunks) == PACKED.size and chunks[:RAW_BYTES] not in raw:
                    continue  # most files have one chunk
                if not raw.isdisjoint(raw_digests(chunks)) and entry.path not in self._work.owned:
                    for offset, ref in placed(entry):
                        if ref.digest in wanted:
                            have.setdefault(ref.digest, Place(join(self._root, entry.path), offset))
