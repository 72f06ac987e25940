"""One pack: stored chunks back to back, then a trailer that says where each is. Bytes in, values out.

    stored chunk, stored chunk, …
    count x ( digest 32 bytes | offset u32 | stored length u32 | size u32 )
    magic "TPK1" | count u32 | digest of the entries, 32 bytes

Numbers are big-endian; `size` is the chunk's size once it is open. The pack's id is the digest of all its bytes.
`packs.PackStore` writes and reads them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from toolkit.errors import IntegrityError
from toolkit.wire.chunk import MAX_CHUNK_BYTES
from toolkit.wire.digest import RAW_BYTES, Digest, digest_of, from_raw, to_raw

MAX_PACK_BYTES = 16 * 1024 * 1024
_MAGIC = b"TPK1"
_ENTRY = struct.Struct(f">{RAW_BYTES}sIII")
_FOOTER = struct.Struct(f">4sI{RAW_BYTES}s")
FOOTER_BYTES = _FOOTER.size
ENTRY_BYTES = _ENTRY.size
MAX_PACK_CHUNKS = MAX_PACK_BYTES // (ENTRY_BYTES + 2)


class StoredChunk(NamedTuple):
    """A chunk in its stored form (`wire.chunk.store_chunk`), with its name and its size when open."""

    digest: Digest
    size: int
    stored: bytes


class PackEntry(NamedTuple):
    """Where a pack has a chunk."""

    digest: Digest
    offset: int
    length: int
    size: int


def encode_pack(chunks: Sequence[StoredChunk]) -> tuple[Digest, bytes]:
    """Give a pack's bytes and its id."""
    parts: list[bytes] = []
    entries: list[bytes] = []
    offset = 0
    for chunk in chunks:
        parts.append(chunk.stored)
        entries.append(_ENTRY.pack(to_raw(chunk.digest), offset, len(chunk.stored), chunk.size))
        offset += len(chunk.stored)
    table = b"".join(entries)
    parts += [table, _FOOTER.pack(_MAGIC, len(chunks), to_raw(digest_of(table)))]
    data = b"".join(parts)
    return digest_of(data), data


def read_footer(footer: bytes, total: int, *, what: str) -> tuple[int, int, Digest]:
    """Read the last FOOTER_BYTES of a pack of `total` bytes.

    Returns:
        Where the entries begin, how many bytes they take, and their digest.

    Raises:
        IntegrityError: it is not the end of a pack, or it counts more chunks than fit.
    """
    if len(footer) != FOOTER_BYTES or total > MAX_PACK_BYTES:
        raise IntegrityError(f"{what} has {total} bytes, which no pack has")
    magic, count, digest = _FOOTER.unpack(footer)
    start = total - FOOTER_BYTES - count * ENTRY_BYTES
    if magic != _MAGIC or not 0 < count <= MAX_PACK_CHUNKS or start < 0:
        raise IntegrityError(f"{what} does not end like a pack")
    return start, count * ENTRY_BYTES, from_raw(digest)


def read_entries(table: bytes, start: int, digest: Digest, *, what: str) -> list[PackEntry]:
    """Read the entries that `read_footer` pointed to.

    Raises:
        IntegrityError: they were damaged, or point outside of the pack.
    """
    if digest_of(table) != digest:
        raise IntegrityError(f"{what} has a damaged list of chunks")
    entries: list[PackEntry] = []
    for raw, offset, length, size in _ENTRY.iter_unpack(table):
        if not length or offset + length > start or size > MAX_CHUNK_BYTES or length > MAX_CHUNK_BYTES + 1:
            raise IntegrityError(f"{what} lists a chunk at {offset} with {length} bytes, which cannot be")
        entries.append(PackEntry(from_raw(raw), offset, length, size))
    return entries


def decode_pack(data: bytes, *, what: str) -> list[PackEntry]:
    """Read the trailer of a pack that is at hand as a whole. Errors as in `read_footer` and `read_entries`."""
    start, length, digest = read_footer(data[-FOOTER_BYTES:], len(data), what=what)
    return read_entries(data[start : start + length], start, digest, what=what)
