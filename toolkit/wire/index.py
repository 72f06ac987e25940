"""An index: path -> chunks. Immutable, named by the digest of its bytes, shared by artifacts and synced data.

`sync.scan` or `registry.push` makes one; a manifest or a Ref points to it; a device numbers the chunks it lacks by
`distinct_chunks`. Layout in docs/formats.md: MessagePack, entries as arrays, chunk lists packed at 36 bytes a chunk.
Format 2 adds an eighth element to each entry, its `extras`; an index without any is still written as format 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar, Protocol

import msgspec

from toolkit.errors import IntegrityError
from toolkit.wire.digest import Digest, digest_of, to_raw
from toolkit.wire.document import Document, decode_msgpack, encode_msgpack
from toolkit.wire.entry import PACKED, ChunkRef, Entry
from toolkit.wire.entry_check import EXTRAS_SINCE, EntryCheck
from toolkit.wire.paths import check_path

__all__ = [
    "MAX_INDEX_BYTES",
    "ChunkRef",
    "Entries",
    "Entry",
    "Index",
    "Listing",
    "count_chunks",
    "decode_index",
    "distinct_chunks",
    "encode_index",
    "file_entry",
    "pack_refs",
    "read_entries",
]

MAX_INDEX_BYTES = 64 * 1024 * 1024


class Entries(Protocol):
    """Entries in order of path, which may be walked again and again; not all of them need to be in memory."""

    def __iter__(self) -> Iterator[Entry]:
        """Walk them."""
        ...

    def __len__(self) -> int:
        """Give their number."""
        ...


class Listing(Protocol):
    """What both an `Index` and a `tree.Tree` are: entries that are sorted by path."""

    @property
    def entries(self) -> Entries:
        """The entries, in order of path."""
        ...

    @property
    def total_bytes(self) -> int:
        """Bytes of all files together."""
        ...


class Index(Document, frozen=True, kw_only=True):
    """All paths of an artifact or a synced folder, sorted by path."""

    FORMAT: ClassVar[int] = 2
    READS: ClassVar[tuple[int, ...]] = (1, 2)
    entries: tuple[Entry, ...] = ()

    def needed_format(self) -> int:
        """Give 2 when an entry has extras."""
        return EXTRAS_SINCE if any(entry.extras is not None for entry in self.entries) else 1

    @property
    def total_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.entries)


def pack_refs(refs: Iterable[ChunkRef]) -> bytes:
    """Pack chunk references the way an entry holds them."""
    return b"".join(PACKED.pack(to_raw(ref.digest), ref.size) for ref in refs)


def file_entry(path: bytes, refs: Iterable[ChunkRef], *, mode: int = 0o644, mtime_ns: int = 0) -> Entry:
    """Make the entry of a file from its chunks."""
    refs = tuple(refs)
    size = sum(ref.size for ref in refs)
    return Entry(check_path(path), "file", size, mode, mtime_ns, pack_refs(refs))


def encode_index(index: Index) -> tuple[Digest, bytes]:
    """Give an index's bytes and the digest that names them."""
    data = encode_msgpack(index) if index.format > 1 else _encode_plain(index)
    return digest_of(data), data


def _encode_plain(index: Index) -> bytes:
    """Write format 1: entries without the field that came with format 2. MessagePack writes defaults in arrays."""
    plain = [
        (entry.path, entry.kind, entry.size, entry.mode, entry.mtime_ns, entry.chunks, entry.target)
        for entry in index.entries
    ]
    return msgspec.msgpack.encode({"entries": plain, "format": 1})


def decode_index(data: bytes, digest: Digest) -> Index:
    """Read an index from anybody and prove that it is whole and safe.

    Raises:
        IntegrityError: the bytes are not those of `digest`, or an entry contradicts itself or another one.
        UnsafePathError: a path would leave its root.
    """
    index = read_entries(data, digest)
    EntryCheck(f"index {digest[:12]}").check(index.entries, index.format)
    return index


def read_entries(data: bytes, digest: Digest) -> Index:
    """Read an index, or a part of one, as far as its form goes; whether its entries fit is for `EntryCheck` to say.

    Raises:
        IntegrityError: the bytes are not those of `digest`, or no index.
    """
    if len(data) <= MAX_INDEX_BYTES and digest_of(data) != digest:
        raise IntegrityError(f"index {digest[:12]} does not hold the bytes it is named after")
    return decode_msgpack(data, Index, what=f"index {digest[:12]}", limit=MAX_INDEX_BYTES)


def distinct_chunks(index: Listing) -> tuple[ChunkRef, ...]:
    """List each chunk once, in order of first appearance. Bitmaps, requests and frames count in this order."""
    seen: dict[Digest, int] = {}
    for entry in index.entries:
        for ref in entry.refs():
            seen.setdefault(ref.digest, ref.size)
    return tuple(ChunkRef(digest, size) for digest, size in seen.items())


def count_chunks(index: Listing) -> int:
    """Give the number of distinct chunks; quicker than listing them."""
    size = PACKED.size
    return len(
        {entry.chunks[at : at + size] for entry in index.entries for at in range(0, len(entry.chunks), size)}
    )
