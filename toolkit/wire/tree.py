"""An index in parts: a short root that lists them in order of path, each an index document of its own. Format 2.

A synced folder may have a million files. Its entries are cut into parts at places that their paths choose, so that
equal runs of entries give equal parts, and a change of one file changes one or two. Whoever holds two trees compares
only parts with different digests, and holds one part at a time. What fits into one document of `WHOLE_ENTRIES` entries
is still written whole, as ever; artifacts always are. Layout in docs/formats.md. Comes after `index`, before
`sync.layouts.documents`, which stores what is written here.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar
from zlib import crc32

import msgspec

from toolkit.errors import IntegrityError
from toolkit.wire.digest import RAW_BYTES, Digest, digest_of, from_raw, to_raw
from toolkit.wire.document import Document, decode_msgpack, encode_msgpack
from toolkit.wire.entry import Entry
from toolkit.wire.entry_check import EntryCheck
from toolkit.wire.index import MAX_INDEX_BYTES, Index, Listing, encode_index, read_entries
from toolkit.wire.learnt import learn
from toolkit.wire.paths import check_path

WHOLE_ENTRIES = 4096
"""A tree of so many entries is written as one document, as before there were parts."""
MIN_ENTRIES = 256
MAX_ENTRIES = 4096
MAX_PART_BYTES = 4 * 1024 * 1024
"""A part ends with the entry that makes it so large, by the bytes of paths and chunk lists."""
MAX_ROOT_BYTES = 16 * 1024 * 1024
_SPREAD = 0x9E3779B1
"""2^32 divided by the golden ratio: spreads what CRC-32, which is linear, leaves together (Knuth, TAOCP 3, 6.4)."""
_CUT_BITS = 10
_KEPT_PARTS = 64

Load = Callable[[Digest], bytes]
"""Gives the bytes of a part; they need not be checked."""


class Part(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What a root says of a part."""

    digest: bytes
    """Digest of the part's bytes, raw."""
    first: bytes
    """Path of its first entry."""
    last: bytes
    """Path of its last entry."""
    entries: int
    files: int
    folders: int
    total_bytes: int
    """Bytes of its files together."""


_READ: dict[bytes, tuple[Part, tuple[Entry, ...]]] = {}
"""The parts that were read or made last, by digest: whoever compares trees comes by the same ones again."""


class Root(Document, frozen=True, kw_only=True):
    """The parts of an index, in order of path."""

    FORMAT: ClassVar[int] = 2
    READS: ClassVar[tuple[int, ...]] = (2,)
    parts: tuple[Part, ...]


class _Kind(msgspec.Struct):
    """Just enough to tell a root from entries."""

    parts: msgspec.Raw = msgspec.Raw()


class Tree:
    """An index whose parts are read when they are needed. For one thread."""

    def __init__(self, parts: Sequence[Part], load: Load, *, whole: bool) -> None:
        """Stand on parts.

        Args:
            parts: in order of path.
            load: gives their bytes.
            whole: there is no root: the one part is the index.
        """
        self.parts = tuple(parts)
        self.load = load
        self.whole = whole
        self.is_checked = whole
        """Whether the parts are known to fit each other: made here, or walked once."""
        self._firsts = [part.first for part in self.parts]
        self._root: tuple[Digest, bytes] | None = None

    def __eq__(self, other: object) -> bool:
        """Trees are equal when they list the same entries, which their names tell."""
        return isinstance(other, Tree) and self.digest == other.digest

    def __hash__(self) -> int:
        """Trees go by their names."""
        return hash(self.digest)

    @property
    def digest(self) -> Digest:
        """The name of the index."""
        return from_raw(self.parts[0].digest) if self.whole else self.root()[0]

    def root(self) -> tuple[Digest, bytes]:
        """Give the digest and the bytes of the document that names the index."""
        if self._root is None:
            data = (
                self.load(from_raw(self.parts[0].digest))
                if self.whole
                else encode_msgpack(Root(parts=self.parts))
            )
            self._root = digest_of(data), data
        return self._root

    @property
    def entries(self) -> Walk:
        """The entries in order of path, read part by part."""
        return Walk(self)

    @property
    def total_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(part.total_bytes for part in self.parts)

    @property
    def files(self) -> int:
        """Number of files."""
        return sum(part.files for part in self.parts)

    @property
    def leaves(self) -> int:
        """Number of files and links."""
        return sum(part.entries - part.folders for part in self.parts)

    def get(self, path: bytes) -> Entry | None:
        """Give the entry of a path."""
        number = bisect_right(self._firsts, path) - 1
        if number < 0 or path > self.parts[number].last:
            return None
        entries = self.part(self.parts[number])
        at = bisect_right(entries, path, key=lambda entry: entry.path) - 1
        return entries[at] if at >= 0 and entries[at].path == path else None

    def has_below(self, path: bytes) -> bool:
        """Say whether there are entries below a path."""
        below = path + b"/"
        number = bisect_right(self._firsts, below) - 1
        if number >= 0 and below <= self.parts[number].last:
            entries = self.part(self.parts[number])
            return entries[bisect_left(entries, below, key=lambda entry: entry.path)].path.startswith(below)
        return number + 1 < len(self.parts) and self.parts[number + 1].first.startswith(below)

    def near(self, path: bytes) -> Iterator[Entry]:
        """Yield the entries of the parts in which a path and what lies below it would be."""
        for part in self.parts:
            if part.entries and part.last >= path and part.first < path + b"0":  # what follows the slash
                yield from self.part(part)

    def between(self, first: bytes, last: bytes) -> Iterator[Entry]:
        """Yield the entries of the parts in which paths from one to another are."""
        for part in self.parts:
            if part.entries and part.last >= first and part.first <= last:
                yield from self.part(part)

    def part(self, part: Part) -> tuple[Entry, ...]:
        """Give the entries of a part, checked one against the other; the last parts are kept.

        Raises:
            IntegrityError: they are damaged, or not what the root says.
            UnsafePathError: a path would leave its root.
        """
        kept = _READ.get(part.digest)
        if kept is None:
            entries = self._read_part(part)
            _keep(part, entries)
            return entries
        if kept[0] != part:
            raise _misdescribed(part)
        return kept[1]

    def _read_part(self, part: Part, check: EntryCheck | None = None) -> tuple[Entry, ...]:
        digest = from_raw(part.digest)
        index = read_entries(self.load(digest), digest)
        (check or EntryCheck(f"index {digest[:12]}", alone=not self.whole)).check(index.entries, index.format)
        if describe(part.digest, index.entries) != part:
            raise _misdescribed(part)
        return index.entries

    def prove(self) -> None:
        """Read all parts once, if nobody has, and prove that they are what the root says. Errors as in `part`."""
        if not self.is_checked:
            deque(self.walk(), maxlen=0)

    def walk(self) -> Iterator[Entry]:
        """Yield all entries, checked also across parts unless that has been done. Errors as in `part`."""
        if self.is_checked:
            for part in self.parts:
                yield from self.part(part)
            return
        check = EntryCheck("index" if self.whole else f"index {self.digest[:12]}")
        for part in self.parts:
            if part.entries:
                yield from self._read_part(part, check)
        self.is_checked = True


class Walk:
    """The entries of a tree: may be walked again and again, each time reading part after part."""

    def __init__(self, tree: Tree) -> None:
        """Stand on a tree."""
        self._tree = tree

    def __iter__(self) -> Iterator[Entry]:
        """Walk them."""
        return self._tree.walk()

    def __len__(self) -> int:
        """Give their number, which the root tells."""
        return sum(part.entries for part in self._tree.parts)


class TreeBuilder:
    """Makes a tree of entries that come in order of path. Equal entries give equal trees, whatever is reused."""

    def __init__(self, load: Load | None = None) -> None:
        """Begin with nothing; `load` gives the bytes of parts that are taken over by `reuse`."""
        self.made: dict[Digest, bytes] = {}
        """Bytes of the parts that were made here."""
        self._load = load
        self._parts: list[Part] = []
        self._entries: list[Entry] = []
        self._bytes = 0

    def add(self, entries: Iterable[Entry]) -> None:
        """Take entries, which come after all that were taken."""
        mine = self._entries
        total = self._bytes
        for entry in entries:
            mine.append(entry)
            total += len(entry.path) + len(entry.chunks)
            count = len(mine)
            if count >= MIN_ENTRIES and (
                count >= MAX_ENTRIES or total >= MAX_PART_BYTES or ends_part(entry.path)
            ):
                self._cut()
                mine, total = self._entries, 0
        self._bytes = total

    def reuse(self, part: Part) -> bool:
        """Take over a part as it is; False when these entries would be cut elsewhere here: then they must be added."""
        if self._entries or part.entries < MIN_ENTRIES:
            return False
        if part.entries < MAX_ENTRIES and not ends_part(part.last):
            return False
        self._parts.append(part)
        return True

    def finish(self) -> Tree:
        """Give the tree."""
        total = sum(part.entries for part in self._parts) + len(self._entries)
        if total <= WHOLE_ENTRIES:
            tree = Tree(self._parts, self.load, whole=False)
            entries = tuple(entry for part in self._parts for entry in tree.part(part)) + tuple(self._entries)
            self._parts, self._entries = [], list(entries)
            self._cut()
            return Tree(self._parts, self.load, whole=True)
        if self._entries:
            self._cut()
        made = Tree(self._parts, self.load, whole=False)
        made.is_checked = True
        return made

    def load(self, digest: Digest) -> bytes:
        """Give the bytes of a part of this tree."""
        data = self.made.get(digest)
        if data is not None:
            return data
        if self._load is None:
            raise KeyError(digest)
        return self._load(digest)

    def _cut(self) -> None:
        entries = tuple(self._entries)
        digest, data = encode_index(Index(entries=entries))
        self.made[digest] = data
        part = describe(to_raw(digest), entries)
        self._parts.append(part)
        _keep(part, entries)
        self._entries, self._bytes = [], 0


def tree_of(entries: Iterable[Entry]) -> Tree:
    """Make a tree of entries that are in order of path."""
    builder = TreeBuilder()
    builder.add(entries)
    return builder.finish()


def as_tree(listing: Listing) -> Tree:
    """Give a listing as a tree; a tree as it is."""
    return listing if isinstance(listing, Tree) else tree_of(listing.entries)


def ends_part(path: bytes) -> bool:
    """Say whether a part that is large enough ends with this path: one path in 1024 does."""
    return (crc32(path) * _SPREAD & 0xFFFFFFFF) >> (32 - _CUT_BITS) == 0


def describe(digest: bytes, entries: Sequence[Entry]) -> Part:
    """Say of a part what a root says of it."""
    return Part(
        digest,
        entries[0].path if entries else b"",
        entries[-1].path if entries else b"",
        len(entries),
        sum([entry.kind == "file" for entry in entries]),
        sum([entry.kind == "folder" for entry in entries]),
        sum([entry.size for entry in entries]),
    )


def _keep(part: Part, entries: tuple[Entry, ...]) -> None:
    while len(_READ) >= _KEPT_PARTS:
        _READ.pop(next(iter(_READ), b""), None)
    _READ[part.digest] = part, entries


def _misdescribed(part: Part) -> IntegrityError:
    return IntegrityError(
        f"index {from_raw(part.digest)[:12]} is not the part of an index that its root says it is"
    )


def read_tree(data: bytes, digest: Digest, load: Load) -> Tree:
    """Read what names an index: a root, or an index that is whole.

    Args:
        data: from anybody.
        digest: what it is named.
        load: gives the bytes of parts; they are checked when they are read.

    Raises:
        IntegrityError: it is damaged, or says of its parts what cannot be.
        UnsafePathError: a path would leave its root.
    """
    what = f"index {digest[:12]}"
    if len(data) <= MAX_INDEX_BYTES and digest_of(data) != digest:
        raise IntegrityError(f"{what} does not hold the bytes it is named after")
    try:
        is_root = len(data) <= MAX_INDEX_BYTES and bool(msgspec.msgpack.decode(data, type=learn(_Kind)).parts)
    except (msgspec.DecodeError, RecursionError):
        is_root = False  # what it is instead, the reader of entries says
    if not is_root:
        entries = read_entries(data, digest).entries
        tree = Tree((describe(to_raw(digest), entries),), lambda _: data, whole=True)
        tree.part(tree.parts[0])
        return tree
    root = decode_msgpack(data, Root, what=what, limit=MAX_ROOT_BYTES)
    _check_root(root, what)
    return Tree(root.parts, load, whole=False)


def _check_root(root: Root, what: str) -> None:
    last = b""
    for part in root.parts:
        check_path(part.first)
        check_path(part.last)
        if part.first <= last or part.last < part.first:
            raise IntegrityError(f"{what} has parts that overlap or are not sorted")
        last = part.last
        counts = (part.entries, part.files, part.folders, part.total_bytes)
        if (
            len(part.digest) != RAW_BYTES
            or min(counts) < 0
            or not 0 < part.entries >= part.files + part.folders
            or part.total_bytes >= 2**63
        ):
            raise IntegrityError(f"{what} counts in a part what cannot be")
    if not root.parts:
        raise IntegrityError(f"{what} has no parts; an index without entries is written whole")
