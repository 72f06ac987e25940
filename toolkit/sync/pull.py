"""Find in a store of packs what a path holds, whichever routes brought it. The way back from cold to warm.

The heads of all routes with that path are put together, the one written last wins; `run` then fills a target with it,
a mirror or other packs, exactly as after a `scan`.
"""

from __future__ import annotations

from toolkit.errors import SyncError
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.read import join
from toolkit.sync.route_refs import heads_of_path
from toolkit.sync.selection import Selection
from toolkit.wire.index import Entry, Index


def pull_index(store: PackStore, path: str, selection: Selection) -> Index:
    """Give what the store holds under a path.

    Args:
        store: the packs.
        path: folder of the storage, as the routes name it.
        selection: which files are taken; folders and links only when there is no condition.

    Raises:
        SyncError: no route has brought that path.
        IntegrityError: an index or a Ref was damaged.
    """
    heads = heads_of_path(store, path)
    if not heads:
        known = sorted({ref.path for name in store.list_refs("routes/") if (ref := store.read_ref(name))})
        have = ", ".join(known[:10]) or "nothing"
        raise SyncError(f"{store.remote.url} holds nothing under {path!r}", hint=f"it has: {have}")
    entries: dict[bytes, Entry] = {}
    for root, ref in heads:
        _, origin_word, origin = root.partition("/from/")
        prefix = origin.encode() if origin_word else b""
        for entry in store.get_index(ref.digest).entries:
            moved = Entry(
                join(prefix, entry.path),
                entry.kind,
                entry.size,
                entry.mode,
                entry.mtime_ns,
                entry.chunks,
                entry.target,
            )
            entries[moved.path] = moved
    taken = [entry for entry in entries.values() if selection.takes_all or _is_taken(entry, selection)]
    return Index(entries=tuple(sorted(taken, key=lambda entry: entry.path)))


def _is_taken(entry: Entry, selection: Selection) -> bool:
    return entry.kind == "file" and selection.takes(
        entry.path.rpartition(b"/")[2], entry.size, entry.mtime_ns
    )
