"""What runs of routes must leave as it is: what is held, and what has left a mirror on purpose. For `run`.

`run` asks for the Standing of its source and of each target and narrows what it brings and removes by it. Packs lose
nothing by a new state, so there only a source that is emptied asks.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace

from toolkit.errors import TiersError
from toolkit.sync.folder import Folder
from toolkit.sync.merge import without
from toolkit.sync.pins import documents_of
from toolkit.sync.policies.holds import Hold, held_by, holds_in
from toolkit.sync.policies.released import released_in
from toolkit.sync.policies.shelf import Remotes, is_at_or_below
from toolkit.sync.read import join
from toolkit.sync.remotes.choose import folder_of, open_storage
from toolkit.sync.scan import Scan
from toolkit.sync.task import Storage
from toolkit.wire.index import Entry, Listing


@dataclass(frozen=True)
class Standing:
    """What stands in one storage, as a route sees it that works below `root`."""

    root: bytes = b""
    holds: tuple[Hold, ...] = ()
    released: dict[bytes, Entry] = field(default_factory=dict)

    def holds_path(self, path: bytes) -> bool:
        """Say whether a path relative to the root is held."""
        return bool(self.holds) and bool(held_by(self.holds, join(self.root, path)))

    def removable(self, paths: Collection[bytes]) -> set[bytes]:
        """Leave out what is held."""
        return {path for path in paths if not self.holds_path(path)}

    def seen(self, found: Scan) -> Scan:
        """Say of a source's files that they left on purpose, so that targets keep theirs."""
        left = {self._relative(path) for path in self.released if self._is_below(path)}
        return replace(found, left_out=found.left_out | left) if left else found

    def wanted(self, index: Listing, place: Storage, *, is_asked: bool) -> tuple[Listing, frozenset[bytes]]:
        """Narrow what a mirror shall get.

        Args:
            index: what the source has.
            place: the mirror.
            is_asked: whether somebody asked for it by name; then what had left comes back.

        Returns:
            What is brought, and paths that stay as they are.
        """
        if not self.holds and (is_asked or not self.released):
            return index, frozenset()  # a million entries are not looked at for nothing
        left: set[bytes] = set()
        if not is_asked:
            left = {entry.path for entry in index.entries if self._has_left(entry)}
        kept = {self._relative(each.path) for each in self.holds if self._is_below(each.path)}
        if self.holds:
            left |= _there(
                place, self.root, [entry for entry in index.entries if self.holds_path(entry.path)]
            )
        return without(index, left), frozenset(left | kept)

    @property
    def keeps_all(self) -> bool:
        """Whether all that the route works on is held."""
        return any(is_at_or_below(self.root, each.path) for each in self.holds)

    def _has_left(self, entry: Entry) -> bool:
        old = self.released.get(join(self.root, entry.path))
        return old is not None and (old.size, old.mtime_ns) == (entry.size, entry.mtime_ns)

    def _is_below(self, path: bytes) -> bool:
        return path != self.root and is_at_or_below(path, self.root)

    def _relative(self, path: bytes) -> bytes:
        return path[len(self.root) + 1 :] if self.root else path


def standing_in(place: Storage, root: bytes, remotes: Remotes = open_storage) -> Standing:
    """Look what stands in a storage.

    Args:
        place: the storage.
        root: folder below it that a route works in.
        remotes: opens a Remote.

    Raises:
        IntegrityError: a hold or the note of what has left was damaged, so nobody knows what may go.
        RemoteUnavailableError: the storage does not answer.
    """
    documents = documents_of(place, remotes)
    if documents is None:
        return Standing(root)
    released = released_in(documents) if place.layout == "mirror" else {}
    return Standing(root, tuple(holds_in(documents)), released)


def _there(place: Storage, root: bytes, entries: list[Entry]) -> set[bytes]:
    """Give the files among some entries that a mirror has, whatever is in them."""
    found: set[bytes] = set()
    folder = Folder(folder_of(place.url))
    try:
        for entry in entries:
            if entry.kind == "folder":
                continue
            with suppress(OSError, TiersError), folder.parent(join(root, entry.path)) as (way, name):
                os.stat(name, dir_fd=way, follow_symlinks=False)
                found.add(entry.path)
    finally:
        folder.close()
    return found
