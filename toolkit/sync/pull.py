"""Find in a store of packs what a path holds, whichever routes brought it. The way back from cold to warm.

The heads of all routes that brought something there are put together, the one written last wins; `run` then fills a
target with it, a mirror or other packs, exactly as after a `scan`. A source that is emptied writes new states without
what has left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from toolkit.errors import SyncError
from toolkit.sync.hard_links import first_name, moved_below, regrouped
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.merge import parents_of, without
from toolkit.sync.read import join
from toolkit.sync.ref import Ref
from toolkit.sync.route_refs import heads_of_routes, write_state
from toolkit.sync.selection import Selection
from toolkit.wire.digest import Digest
from toolkit.wire.entry_check import EntryCheck
from toolkit.wire.index import Entry, Index, Listing
from toolkit.wire.tree import Tree, tree_of


@dataclass(frozen=True)
class Held:
    """What one route has brought under a path."""

    root: str
    """What the route's Refs begin with."""
    head: Ref
    prefix: bytes
    """Folder below the path that the route's entries lie in; empty when they lie in it themselves."""
    index: Tree
    inside: bytes = b""
    """Folder of the route that the path is, when the route brought more than the path; empty when it did not."""

    def seen(self, entry: Entry) -> Entry | None:
        """Give an entry as the path sees it; None when it lies elsewhere."""
        if self.inside:
            if not entry.path.startswith(self.inside + b"/"):
                return None
            return msgspec.structs.replace(entry, path=entry.path[len(self.inside) + 1 :])
        return moved_below(entry, self.prefix) if self.prefix else entry


def held_under(store: PackStore, path: str) -> list[Held]:
    """Give what each route has brought under a path, the one written last at the end.

    Raises:
        SyncError: no route has brought that path.
        IntegrityError: an index or a Ref was damaged.
    """
    found: list[Held] = []
    known: set[str] = set()
    for root, ref in heads_of_routes(store):
        known.add(ref.path)
        folder, wanted = join(ref.path.encode(), _origin_of(root)), path.encode()
        if not wanted or folder == wanted or folder.startswith(wanted + b"/"):
            prefix = folder[len(wanted) :].lstrip(b"/")
            found.append(Held(root, ref, prefix, store.get_tree(ref.digest)))
        elif not folder or wanted.startswith(folder + b"/"):
            inside = wanted[len(folder) :].lstrip(b"/")
            held = Held(root, ref, b"", store.get_tree(ref.digest), inside)
            if any(map(held.seen, held.index.near(inside))):
                found.append(held)
    if not found:
        have = ", ".join(sorted(known)[:10]) or "nothing"
        raise SyncError(f"{store.remote.url} holds nothing under {path!r}", hint=f"it has: {have}")
    return found


def pulled(held: Sequence[Held], selection: Selection) -> Listing:
    """Put together what routes have brought; of two entries of one path, or in each other's way, the later one wins.

    Args:
        held: as `held_under` gives it.
        selection: which files are taken; folders and links only when there is no condition.

    Raises:
        UnsafePathError: a path became too long.
    """
    if len(held) == 1 and not held[0].index.whole:
        alone = _pulled_by_parts(held[0], selection)
        if alone is not None:
            return alone
    entries: dict[bytes, Entry] = {}
    for each in held:
        moved = {entry.path: entry for entry in map(each.seen, each.index.entries) if entry is not None}
        entries = {**_beside(entries, moved), **moved}
    taken = [entry for entry in entries.values() if selection.takes_all or _is_taken(entry, selection)]
    together = regrouped(sorted(taken, key=lambda entry: entry.path))
    # Each index was checked by itself; paths have been moved and put together since.
    EntryCheck("what the routes have brought together").check(together, Index.FORMAT)
    return Index(entries=tuple(together))


def take_out(store: PackStore, held: Iterable[Held], paths: Collection[bytes]) -> int:
    """Let routes hold some files no more; earlier states in their history still do. Give how many went.

    A route that has moved on since it was looked at keeps what it has: the next run takes it out.
    """
    gone: set[bytes] = set()
    for each in held:
        out = {
            entry.path: moved.path
            for entry in each.index.entries
            if (moved := each.seen(entry)) and moved.path in paths
        }
        if not out:
            continue
        left = without(each.index, out.keys())
        with suppress(SyncError):
            write_state(store, each.root, each.head, store.put_index(left), each.head.path)
            gone.update(out.values())
    return len(gone)


def _pulled_by_parts(held: Held, selection: Selection) -> Tree | None:
    """Do what `pulled` does for one large index, part by part; None when files with several names would be parted."""
    if selection.takes_all and not held.prefix and not held.inside:
        return _read_once(held.index)

    def taken() -> Iterator[Entry]:
        for entry in held.index.entries:
            seen = held.seen(entry)
            if seen is not None and (selection.takes_all or _is_taken(seen, selection)):
                if first_name(seen):
                    raise _SeveralNamesError
                yield seen

    try:
        tree = tree_of(taken())
    except _SeveralNamesError:
        return None
    check = EntryCheck("what the route has brought")
    for part in tree.parts:
        check.check(tree.part(part), Index.FORMAT)
    return tree


def _read_once(tree: Tree) -> Tree:
    """Prove an index, and keep its bytes: targets walk it several times, and over a line each reading is a wait."""
    known: dict[Digest, bytes] = {}

    def load(digest: Digest) -> bytes:
        if digest not in known:
            known[digest] = tree.load(digest)
        return known[digest]

    kept = Tree(tree.parts, load, whole=tree.whole)
    kept.prove()  # a target believes what a root says of parts that it has already
    return kept


class _SeveralNamesError(Exception):
    """A file with several names is among them, which only make sense together."""


def _beside(entries: dict[bytes, Entry], later: dict[bytes, Entry]) -> dict[bytes, Entry]:
    """Leave out what cannot be beside later entries: what lies below a file or link, and what is one on their way."""
    ways = {way for path in later for way in parents_of(path)}
    return {
        path: entry
        for path, entry in entries.items()
        if (entry.kind == "folder" or path not in ways)
        and all(way not in later or later[way].kind == "folder" for way in parents_of(path))
    }


def _origin_of(root: str) -> bytes:
    return root.partition("/from/")[2].encode()


def _is_taken(entry: Entry, selection: Selection) -> bool:
    return entry.kind == "file" and selection.takes(
        entry.path.rpartition(b"/")[2], entry.size, entry.mtime_ns
    )
