"""An index: path -> chunks. Immutable, named by the digest of its bytes, shared by artifacts and synced data.

`sync.scan` or `registry.push` makes one; a manifest or a Ref points to it; a device numbers the chunks it lacks by
`distinct_chunks`. Layout in docs/formats.md: MessagePack, entries as arrays, chunk lists packed at 36 bytes a chunk.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal, NamedTuple

import msgspec

from toolkit.errors import IntegrityError
from toolkit.wire.chunk import MAX_CHUNK_BYTES
from toolkit.wire.digest import RAW_BYTES, Digest, digest_of, from_raw, to_raw
from toolkit.wire.document import Document, decode_msgpack, encode_msgpack
from toolkit.wire.paths import MAX_PATH_BYTES, check_path, shown

MAX_INDEX_BYTES = 64 * 1024 * 1024
_ALL_MODE_BITS = 0o7777
_PACKED = struct.Struct(f">{RAW_BYTES}sI")


class ChunkRef(NamedTuple):
    """A chunk as an index names it: digest and size in bytes."""

    digest: Digest
    size: int


class Entry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One path of an index."""

    path: bytes
    """Relative, bytes of the file system; see `paths`."""
    kind: Literal["file", "link", "folder"]
    size: int
    """Bytes of a file; 0 otherwise."""
    mode: int
    """Permission bits, 0 to 0o7777."""
    mtime_ns: int
    """Modification time in nanoseconds since 1970; 0 in artifacts, so that equal files give equal indexes."""
    chunks: bytes = b""
    """36 bytes a chunk, in file order: digest, then size as a big-endian 32-bit number."""
    target: bytes = b""
    """What a link points to, unread."""

    def refs(self) -> Iterator[ChunkRef]:
        """Yield the chunks of a file in order."""
        for raw, size in _PACKED.iter_unpack(self.chunks):
            yield ChunkRef(from_raw(raw), size)


class Index(Document, frozen=True, kw_only=True):
    """All paths of an artifact or a synced folder, sorted by path."""

    FORMAT: ClassVar[int] = 1
    entries: tuple[Entry, ...] = ()

    @property
    def total_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.entries)


def pack_refs(refs: Iterable[ChunkRef]) -> bytes:
    """Pack chunk references the way an entry holds them."""
    return b"".join(_PACKED.pack(to_raw(ref.digest), ref.size) for ref in refs)


def file_entry(path: bytes, refs: Iterable[ChunkRef], *, mode: int = 0o644, mtime_ns: int = 0) -> Entry:
    """Make the entry of a file from its chunks."""
    refs = tuple(refs)
    size = sum(ref.size for ref in refs)
    return Entry(check_path(path), "file", size, mode, mtime_ns, pack_refs(refs))


def encode_index(index: Index) -> tuple[Digest, bytes]:
    """Give an index's bytes and the digest that names them."""
    data = encode_msgpack(index)
    return digest_of(data), data


def decode_index(data: bytes, digest: Digest) -> Index:
    """Read an index from anybody and prove that it is whole and safe.

    Raises:
        IntegrityError: the bytes are not those of `digest`, or an entry contradicts itself or another one.
        UnsafePathError: a path would leave its root.
    """
    if len(data) <= MAX_INDEX_BYTES and digest_of(data) != digest:
        raise IntegrityError(f"index {digest[:12]} does not hold the bytes it is named after")
    index = decode_msgpack(data, Index, what=f"index {digest[:12]}", limit=MAX_INDEX_BYTES)
    _check_entries(index, digest)
    return index


def distinct_chunks(index: Index) -> tuple[ChunkRef, ...]:
    """List each chunk once, in order of first appearance. Bitmaps, requests and frames count in this order."""
    seen: dict[Digest, int] = {}
    for entry in index.entries:
        for ref in entry.refs():
            seen.setdefault(ref.digest, ref.size)
    return tuple(ChunkRef(digest, size) for digest, size in seen.items())


def count_chunks(index: Index) -> int:
    """Give the number of distinct chunks; quicker than listing them."""
    size = _PACKED.size
    return len(
        {entry.chunks[at : at + size] for entry in index.entries for at in range(0, len(entry.chunks), size)}
    )


def _check_entries(index: Index, digest: Digest) -> None:
    previous = b""
    looked_at = b""
    files: set[bytes] = set()
    sizes: dict[bytes, int] = {}
    for entry in index.entries:
        path = check_path(entry.path)
        if path <= previous:
            raise IntegrityError(f"index {digest[:12]} is not sorted at {shown(path)!r}")
        previous = path
        folder = path.rpartition(b"/")[0]
        # In sorted order a file comes before what lies below it, so a folder that was looked at once stays right.
        if folder != looked_at and any(way in files for way in _ways(folder)):
            raise IntegrityError(
                f"index {digest[:12]}: {shown(path)!r} lies below something that is not a folder"
            )
        looked_at = folder
        if entry.kind != "folder":
            files.add(path)
        _check_entry(entry, digest, sizes)


def _ways(folder: bytes) -> Iterator[bytes]:
    """Yield a folder and those above it."""
    while folder:
        yield folder
        folder = folder.rpartition(b"/")[0]


def _check_entry(entry: Entry, digest: Digest, sizes: dict[bytes, int]) -> None:
    total = 0
    if entry.kind == "file" and len(entry.chunks) % _PACKED.size == 0:
        for raw, size in _PACKED.iter_unpack(entry.chunks):
            if not 0 < size <= MAX_CHUNK_BYTES or sizes.setdefault(raw, size) != size:
                where = f"index {digest[:12]}: {shown(entry.path)!r}"
                raise IntegrityError(f"{where} gives chunk {raw.hex()[:12]} the impossible size {size}")
            total += size
    if fault := _fault_of(entry, total):
        raise IntegrityError(f"index {digest[:12]}: {shown(entry.path)!r} {fault}")


def _fault_of(entry: Entry, total: int) -> str:
    """Say how an entry contradicts itself, if it does; `total` is what its chunks add up to."""
    if not 0 <= entry.mode <= _ALL_MODE_BITS:
        return f"has the impossible mode {entry.mode:o}"
    if len(entry.chunks) % _PACKED.size or (entry.kind != "file" and (entry.chunks or entry.size)):
        return "has a chunk list that does not fit its kind"
    if not -(2**63) <= entry.mtime_ns < 2**63:
        return f"has the impossible time {entry.mtime_ns}"
    if (
        (entry.kind == "link") != bool(entry.target)
        or b"\0" in entry.target
        or len(entry.target) > MAX_PATH_BYTES
    ):
        return "has a link target that does not fit its kind"
    if total != entry.size:
        return f"has {entry.size} bytes but its chunks have {total}"
    return ""
