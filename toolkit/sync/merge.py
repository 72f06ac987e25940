"""What a target holds after a run: what was scanned, and what it keeps from before. Pure.

`push` and `layouts.mirror` ask before they commit, because a file that was torn, left out or archived stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from toolkit.wire.index import ChunkRef, Entry, Index


def merged(new: Index, old: Index, *, left_out: Collection[bytes], keep_all: bool) -> Index:
    """Put the entries of a run together with those that stay.

    Args:
        new: what the source has and the run brings.
        old: what the target had.
        left_out: paths that the source has but the run does not bring; they and what lies below them stay.
        keep_all: everything stays, because the source is emptied after each run.
    """
    if not keep_all and not left_out:
        return new
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
    return Index(entries=tuple(sorted(entries.values(), key=lambda entry: entry.path)))


def without(index: Index, paths: Collection[bytes]) -> Index:
    """Leave some paths out of an index."""
    if not paths:
        return index
    return Index(entries=tuple(entry for entry in index.entries if entry.path not in paths))


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
