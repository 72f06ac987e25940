"""What a scan remembers of the one before: rows of folders, and the index that came of them.

Between `scan` and `cache`. A row that is the same as last time stands for an entry that is in the last index. Only rows
that are not are looked at, and the new index is the last one with what came of them put in. A row that must not be
believed next time, because the file had not come to rest or could not be taken, is kept with an impossible time.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from toolkit.errors import IntegrityError, UnsafePathError
from toolkit.sync.cache import Facts, Known, ScanCache
from toolkit.sync.read import GridKind, join
from toolkit.sync.rows import Row, pack_rows, unpack_rows
from toolkit.sync.tree_change import Changes, changed
from toolkit.wire.digest import Digest, from_raw, to_raw
from toolkit.wire.extras import Extras
from toolkit.wire.index import Entry
from toolkit.wire.learnt import learn
from toolkit.wire.tree import Part, Tree, tree_of

_KEPT_BYTES = 8 * 1024 * 1024
"""Parts of a small index stay in memory, those of a large one are read from the cache."""
_NEVER = -1


class StaleCacheError(Exception):
    """The cache says what it cannot make good; everything is to be read."""


class _Name(msgspec.Struct, array_like=True):
    """A name of a file that has several, or of something else that is looked at every time."""

    entry: Entry
    facts: Facts | None
    """Facts that it was read with; None when it must be read again."""
    chunks: bytes
    extras: Extras | None


class _State(msgspec.Struct, array_like=True):
    parts: list[Part]
    whole: bool
    names: list[_Name]


class ScanMemory:
    """The memory of one scan. For one thread."""

    def __init__(self, cache: ScanCache, root: bytes, grid: GridKind, *, whole: bool, believe: bool) -> None:
        """Take up what is known.

        Args:
            cache: where it is.
            root: folder below the storage that is scanned.
            grid: how finely files are cut.
            whole: everything is taken; scans with conditions remember on their own.
            believe: False begins with nothing.
        """
        self._cache = cache
        self._key = b"\0".join((grid.encode(), b"all" if whole else b"some", root))
        self._made: dict[Digest, bytes] = {}
        self._base = tree_of(())
        self._made[self._base.digest] = self._base.root()[1]
        self._old_names: dict[bytes, _Name] = {}
        self._names: dict[bytes, _Name] = {}
        self._known: dict[bytes, Known] = {}
        self._rows: dict[bytes, bytes] = {}
        """Packed rows of folders that are not as they were."""
        self._unsure: dict[bytes, set[bytes]] = {}
        self._visited: set[bytes] = set()
        self._drops: list[bytes] = []
        if not believe:
            cache.forget(self._key)
            cache.write()
        elif (state := cache.state(self._key)) is not None:
            self._take_up(state)
        self._is_new = not self._base.parts[0].entries and not self._old_names

    def _take_up(self, data: bytes) -> None:
        try:
            state = msgspec.msgpack.decode(data, type=learn(_State))
            base = Tree(state.parts, self._load, whole=state.whole)
            if base.whole:
                self._made[base.digest] = self._load(base.digest)
                base.part(base.parts[0])
        except (msgspec.DecodeError, IntegrityError, UnsafePathError, KeyError, IndexError) as error:
            raise StaleCacheError(str(error)) from error
        self._base = base
        self._old_names = {name.entry.path: name for name in state.names}

    def _load(self, digest: Digest) -> bytes:
        data = self._made.get(digest) or self._cache.part(self._key, to_raw(digest))
        if data is None:
            raise KeyError(digest)
        return data

    def look(self, at: bytes, rows: list[Row]) -> list[Row]:
        """Take in the rows of a folder and give those that are not known."""
        self._visited.add(at)
        packed = pack_rows(rows)
        old = self._cache.rows(self._key, at)
        if old == packed:
            return []
        self._rows[at] = packed
        if old is None:
            return rows
        before, now = set(unpack_rows(old)), set(rows)
        self._drops += [join(at, row[0]) for row in before - now]
        return [row for row in rows if row not in before]

    def unread(self, at: bytes) -> None:
        """A folder could not be read: what was known of it counts no longer."""
        self._visited.discard(at)
        self._rows.pop(at, None)

    def unsure(self, path: bytes) -> None:
        """Look at this path again next time, whatever its row says."""
        folder, _, name = path.rpartition(b"/")
        self._unsure.setdefault(folder, set()).add(name)

    def known(self, path: bytes) -> Known | None:
        """Give what is known of a file with several names."""
        name = self._old_names.get(path)
        return Known(name.facts, name.chunks, name.extras) if name is not None and name.facts else None

    def earlier(self, path: bytes) -> bytes:
        """Give the packed chunk list that a file had at the last scan; empty when that is not known."""
        try:
            entry = self._base.get(path)
        except (IntegrityError, UnsafePathError, KeyError):
            return b""  # the file is cut without it
        return entry.chunks if entry is not None else b""

    def learn(self, path: bytes, known: Known) -> None:
        """Remember what was read of a file with several names."""
        self._known[path] = known

    def name(self, entry: Entry) -> bool:
        """Take in the entry of a file with several names; say whether it is another one than before."""
        known, old = self._known.get(entry.path), self._old_names.get(entry.path)
        self._names[entry.path] = _Name(
            entry, known and known.facts, known.chunks if known else b"", known.extras if known else None
        )
        return old is None or old.entry != entry

    def gone(self) -> Iterator[bytes]:
        """Yield the paths whose entries count no longer, unless there are new ones."""
        yield from self._drops
        yield from self._old_names.keys() - self._names.keys()
        for folder in self._unvisited():
            for row in unpack_rows(self._cache.rows(self._key, folder) or b""):
                yield join(folder, row[0])

    def finish(self, changes: Changes) -> Tree:
        """Make the index, and remember it all.

        Raises:
            StaleCacheError: what was believed cannot be made good.
        """
        tree, made, is_other = self._base, dict[Digest, bytes](), bool(changes)
        if is_other:
            try:
                tree, made = changed(self._base, changes.in_order())
            except (IntegrityError, UnsafePathError, KeyError) as error:
                raise StaleCacheError(str(error)) from error
        if is_other or self._rows or self._names != self._old_names:
            self._remember(tree, made)
        tree.load = self._load
        tree.is_checked = True
        return tree

    def _remember(self, tree: Tree, made: dict[Digest, bytes]) -> None:
        here = {part.digest for part in tree.parts}
        before = {part.digest for part in self._base.parts}
        parts = [(digest, made[from_raw(digest)]) for digest in here - before]
        state = _State(list(tree.parts), tree.whole, list(self._names.values()))
        self._cache.remember(
            self._key,
            msgspec.msgpack.encode(state),
            rows=((folder, self._sure(folder, packed)) for folder, packed in self._rows.items()),
            gone=self._unvisited(),
            parts=parts,
            old_parts=() if self._is_new else before - here,
        )
        self._cache.write()
        self._rows = {}  # the index, and with it this memory, is there until the run ends
        if not self._cache.remembers or sum(len(data) for _, data in parts) <= _KEPT_BYTES:
            self._made.update(made)

    def _sure(self, folder: bytes, packed: bytes) -> bytes:
        """Spoil the rows of a folder that must not be believed."""
        unsure = self._unsure.get(folder)
        if not unsure:
            return packed
        rows = unpack_rows(packed)
        return pack_rows([row._replace(ctime_ns=_NEVER) if row.name in unsure else row for row in rows])

    def _unvisited(self) -> list[bytes]:
        return [folder for folder in self._cache.folders(self._key) if folder not in self._visited]
