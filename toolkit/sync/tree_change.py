"""Apply to an index in parts what a scan found changed, without holding a million entries at once. Pure.

`scan` collects changes folder by folder, in any order; `changed` walks them and the old parts in order of path and
makes the new tree: parts without a change are taken over unread.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

import msgspec

from toolkit.wire.digest import Digest
from toolkit.wire.index import Entry
from toolkit.wire.tree import Tree, TreeBuilder

_LOOSE = 20_000
"""So many changes are held as objects; more of them are packed, folder by folder."""
_PACK = msgspec.msgpack.Encoder().encode
_UNPACK = msgspec.msgpack.Decoder(list[Entry]).decode

Change = tuple[bytes, Entry | None]
"""A path, and the entry that it has from now on; None when it has gone."""


class Changes:
    """What has changed, kept small: entries of finished folders are packed."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._loose: dict[bytes, list[Entry]] = {}
        self._packed: dict[bytes, list[bytes]] = {}
        self._gone: dict[bytes, list[bytes]] = {}
        self._count = 0

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._loose or self._packed or self._gone)

    def put(self, entry: Entry) -> None:
        """A path has this entry now; each path once."""
        self._loose.setdefault(entry.path.rpartition(b"/")[0], []).append(entry)
        self._count += 1
        if self._count >= _LOOSE:
            for folder, entries in self._loose.items():
                self._packed.setdefault(folder, []).append(_PACK(entries))
            self._loose, self._count = {}, 0

    def drop(self, path: bytes) -> None:
        """A path has no entry any more, unless it is `put` as well."""
        self._gone.setdefault(path.rpartition(b"/")[0], []).append(path)

    def in_order(self) -> Iterator[Change]:
        """Yield all of them in order of path, and forget each folder's as it is walked: a new index grows meanwhile."""
        folders = {*self._loose, *self._packed, *self._gone}
        below: dict[bytes, list[bytes]] = {}
        for folder in tuple(folders):
            way = folder
            while way:  # folders between, so that the walk from the root finds each
                above = way.rpartition(b"/")[0]
                below.setdefault(above, []).append(way)
                if above in folders:
                    break
                folders.add(above)
                way = above
        yield from self._walk(b"", {folder: sorted(set(names)) for folder, names in below.items()})

    def _walk(self, root: bytes, below: dict[bytes, list[bytes]]) -> Iterator[Change]:
        # A folder's content is sorted behind what begins with its name and goes on with a byte below the slash.
        open_walks = [self._here(root, below)]
        while open_walks:
            step = next(open_walks[-1], None)
            if step is None:
                open_walks.pop()
            elif isinstance(step, bytes):
                open_walks.append(self._here(step, below))
            else:
                yield step

    def _here(self, folder: bytes, below: dict[bytes, list[bytes]]) -> Iterator[Change | bytes]:
        changes: dict[bytes, Entry | None] = dict.fromkeys(self._gone.pop(folder, ()))
        for packed in self._packed.pop(folder, ()):
            changes.update((entry.path, entry) for entry in _UNPACK(packed))
        changes.update((entry.path, entry) for entry in self._loose.pop(folder, ()))
        steps = [(path, path) for path in changes] + [(way + b"/", b"") for way in below.get(folder, ())]
        for key, path in sorted(steps):
            yield (path, changes[path]) if path else key[:-1]


def changed(base: Tree, changes: Iterable[Change]) -> tuple[Tree, dict[Digest, bytes]]:
    """Make the tree that comes of a tree and what has changed since, in order of path.

    Returns:
        The tree, and the bytes of its parts that `base` does not have, by digest.
    """
    builder = TreeBuilder(base.load)
    stream = iter(changes)
    following = next(stream, None)
    for part in base.parts:
        if not part.entries:
            continue
        if following is None or following[0] > part.last:
            if not builder.reuse(part):
                builder.add(base.part(part))
            continue
        mine: dict[bytes, Entry | None] = {}
        while following is not None and following[0] <= part.last:
            mine[following[0]] = following[1]
            following = next(stream, None)
        builder.add(_put_in(base.part(part), mine))
    if following is not None and following[1] is not None:
        builder.add((following[1],))
    builder.add(entry for _, entry in stream if entry is not None)
    tree = builder.finish()
    return tree, builder.made


def _put_in(entries: tuple[Entry, ...], changes: dict[bytes, Entry | None]) -> Iterator[Entry]:
    paths = sorted(changes)
    start = 0
    for path in paths:
        end = bisect_right(entries, path, start, key=lambda entry: entry.path)
        yield from entries[start : end - 1 if end > start and entries[end - 1].path == path else end]
        if (entry := changes[path]) is not None:
            yield entry
        start = end
    yield from entries[start:]


def differences(old: Tree, new: Tree) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Compare two trees; yield what each has at paths where they differ, in order. Equal parts are not read."""
    if old.digest == new.digest:
        return
    shared = {part.digest for part in old.parts} & {part.digest for part in new.parts}
    ours = (entry for part in old.parts if part.digest not in shared for entry in old.part(part))
    theirs = (entry for part in new.parts if part.digest not in shared for entry in new.part(part))
    # Shared parts cut both into the same stretches, so the rest can be walked as one.
    one, two = next(ours, None), next(theirs, None)
    while one is not None or two is not None:
        if two is None or (one is not None and one.path < two.path):
            yield one, None
            one = next(ours, None)
        elif one is None or two.path < one.path:
            yield None, two
            two = next(theirs, None)
        else:
            if one != two:
                yield one, two
            one, two = next(ours, None), next(theirs, None)
