"""What a target holds after a run: what was scanned, and what it keeps from before. Pure.

`push` and `layouts.mirror` ask before they commit, because a file that was torn, left out or archived stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from toolkit.sync.hard_links import first_name, regrouped
from toolkit.sync.tree_change import Change, changed, differences
from toolkit.wire.index import ChunkRef, Entry, Index, Listing
from toolkit.wire.tree import Tree, as_tree


def merged(new: Listing, old: Listing, *, left_out: Collection[bytes], keep_all: bool) -> Listing:
    """Put the entries of a run together with those that stay.

    Args:
        new: what the source has and the run brings.
        old: what the target had.
        left_out: paths that the source has but the run does not bring; they and what lies below them stay.
        keep_all: everything stays, because the source is emptied after each run.
    """
    if not keep_all and not left_out:
        return new
    if _is_large(new) or _is_large(old):
        together = _merged_by_parts(as_tree(new), as_tree(old), left_out, keep_all=keep_all)
        if together is not None:
            return together
    entries = {entry.path: entry for entry in new.entries}
    parents = {parent for path in entries for parent in parents_of(path)}
    for entry in old.entries:
        path = entry.path
        if path in entries or not (
            keep_all or path in left_out or any(way in left_out for way in parents_of(path))
        ):
            continue
        if entry.kind != "folder" and path in parents:
            continue  # it is a folder now
        if any(way in entries and entries[way].kind != "folder" for way in parents_of(path)):
            continue  # a folder above it is a file or a link now
        entries[path] = entry
    return Index(entries=tuple(regrouped(sorted(entries.values(), key=lambda entry: entry.path))))


def without(index: Listing, paths: Collection[bytes]) -> Listing:
    """Leave some paths out of an index."""
    if not paths:
        return index
    if isinstance(index, Tree) and _is_large(index):
        gone = [entry for path in sorted(paths) if (entry := index.get(path)) is not None]
        if not any(map(first_name, gone)):
            return changed(index, ((entry.path, None) for entry in gone))[0]
    return Index(entries=tuple(regrouped([entry for entry in index.entries if entry.path not in paths])))


def _is_large(listing: Listing) -> bool:
    return isinstance(listing, Tree) and not listing.whole


def _merged_by_parts(new: Tree, old: Tree, left_out: Collection[bytes], *, keep_all: bool) -> Tree | None:
    """Do what `merged` does, reading only parts that differ; None when names of one file are among what differs."""

    def changes() -> Iterator[Change]:
        """Say what becomes of the old index, of which most stays with `keep_all`, and of the new one without."""
        for was, shall_be in differences(old, new):
            if any(entry is not None and first_name(entry) for entry in (was, shall_be)):
                raise _SeveralNamesError
            if shall_be is not None:
                if keep_all:
                    yield shall_be.path, shall_be
            elif was is not None:
                ways = parents_of(was.path)
                stays = keep_all or was.path in left_out or any(way in left_out for way in ways)
                if stays and (_is_other(was, new) or any(_is_leaf(new.get(way)) for way in ways)):
                    stays = False
                if stays != keep_all:
                    yield was.path, was if stays else None

    try:
        return changed(old if keep_all else new, changes())[0]
    except _SeveralNamesError:
        return None


class _SeveralNamesError(Exception):
    """Names of one file differ, which only make sense together."""


def _is_other(was: Entry, new: Tree) -> bool:
    """Say whether a file or a link has become a folder."""
    return was.kind != "folder" and new.has_below(was.path)


def _is_leaf(entry: Entry | None) -> bool:
    return entry is not None and entry.kind != "folder"


def parents_of(path: bytes) -> list[bytes]:
    """List the folders above a path, the nearest first; not the root."""
    parents: list[bytes] = []
    way = path.rpartition(b"/")[0]
    while way:
        parents.append(way)
        way = way.rpartition(b"/")[0]
    return parents


def placed(entry: Entry) -> Iterator[tuple[int, ChunkRef]]:
    """Yield the chunks of a file, each with its offset in bytes."""
    offset = 0
    for ref in entry.refs():
        yield offset, ref
        offset += ref.size
