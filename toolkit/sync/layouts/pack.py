"""One pack: stored chunks back to back, then a trailer that says where each is. Bytes in, values out.

    stored chunk, stored chunk, …
    count x ( digest 32 bytes | offset u32 | stored length u32 | size u32 )
    magic "TPK1" | count u32 | digest of the entries, 32 bytes

A pack of overlays (`wire.overlay`) has nothing else in it, and names the chunks that they need:

    overlay, overlay, …
    count x ( digest 32 bytes | offset u32 | stored length u32 | size u32 | number of its bases u32 )
    digests of the bases, 32 bytes each, in the order of the entries
    magic "TPK2" | count u32 | number of all bases u32 | digest of entries and bases, 32 bytes

A pack of drifts (`wire.drift`) has nothing else in it either. It ends in the same way, but for its magic "TPK3" and
that each entry has one base.

Numbers are big-endian; `size` is the chunk's size once it is open. The pack's id is the digest of all its bytes.
`packs.PackStore` writes and reads them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple

from toolkit.errors import IntegrityError
from toolkit.wire.chunk import MAX_CHUNK_BYTES
from toolkit.wire.digest import RAW_BYTES, Digest, digest_of, from_raw, to_raw
from toolkit.wire.drift import DRIFT
from toolkit.wire.overlay import MAX_BASES

MAX_PACK_BYTES = 16 * 1024 * 1024
_MAGIC = b"TPK1"
_ENTRY = struct.Struct(f">{RAW_BYTES}sIII")
_FOOTER = struct.Struct(f">4sI{RAW_BYTES}s")
_OVERLAY_MAGIC = b"TPK2"
_DRIFT_MAGIC = b"TPK3"
PACK_FORMATS = (1, 2, 3)
"""Packs of whole chunks, of overlays, of drifts; what others lean on comes first."""
_OVERLAY_ENTRY = struct.Struct(f">{RAW_BYTES}sIIII")
_OVERLAY_FOOTER = struct.Struct(f">4sII{RAW_BYTES}s")
FOOTER_BYTES = _OVERLAY_FOOTER.size
"""Of the longest footer: read so many bytes from the end."""
ENTRY_BYTES = _ENTRY.size
MAX_PACK_CHUNKS = MAX_PACK_BYTES // (ENTRY_BYTES + 2)


@dataclass(frozen=True)
class Added:
    """What `PackStore.add` stored."""

    chunks: int = 0
    total_bytes: int = 0
    """Bytes of the chunks when open."""
    stored_bytes: int = 0
    """Bytes of the chunks in stored form, without trailers."""
    packs: int = 0
    skipped: int = 0
    """Chunks that the store had already."""

    def __add__(self, other: Added) -> Added:
        """Add the counts up."""
        return Added(
            self.chunks + other.chunks,
            self.total_bytes + other.total_bytes,
            self.stored_bytes + other.stored_bytes,
            self.packs + other.packs,
            self.skipped + other.skipped,
        )


class StoredChunk(NamedTuple):
    """A chunk in its stored form (`wire.chunk.store_chunk`), with its name and its size when open."""

    digest: Digest
    size: int
    stored: bytes
    bases: tuple[Digest, ...] = ()
    """Chunks that it needs; then `stored` is an overlay or a drift (`wire.overlay`, `wire.drift`)."""

    @property
    def drifts(self) -> bool:
        """Whether it is a drift."""
        return bool(self.bases) and self.stored[:1] == bytes([DRIFT])

    @property
    def pack_format(self) -> int:
        """Number of the format of packs that it goes into."""
        return 3 if self.drifts else 2 if self.bases else 1

    @property
    def need_bytes(self) -> int:
        """Bytes that it takes in a pack."""
        own = _OVERLAY_ENTRY.size + RAW_BYTES * len(self.bases) if self.bases else ENTRY_BYTES
        return len(self.stored) + own


class PackEntry(NamedTuple):
    """Where a pack has a chunk."""

    digest: Digest
    offset: int
    length: int
    size: int
    bases: tuple[Digest, ...] = ()
    """Whole chunks that it is an overlay of, or the one that it drifted from."""
    drifts: bool = False
    """Whether it is a drift."""

    @property
    def pack_format(self) -> int:
        """Number of the format of the pack."""
        return 3 if self.drifts else 2 if self.bases else 1


class Footer(NamedTuple):
    """The end of a pack, as far as it goes without reading more."""

    start: int
    """Where the table begins."""
    length: int
    """Bytes of the table."""
    digest: Digest
    """Of the table."""
    chunks: int
    """How many there are."""
    bases: int
    """Bases of all chunks together; 0 in a pack of whole chunks, never 0 in another."""
    drifts: bool = False
    """Whether it is a pack of drifts."""


class Gathered:
    """A pack as it comes into being: chunks are put one behind the other as they come, so that none is held twice."""

    def __init__(self) -> None:
        """Begin without chunks."""
        self._data = BytesIO()
        self.entries: list[PackEntry] = []
        self.digests: set[Digest] = set()
        self.room = MAX_PACK_BYTES - FOOTER_BYTES
        """Bytes that still fit."""

    def put(self, chunk: StoredChunk) -> None:
        """Take a chunk in; the caller has looked whether there is room, and that it is not here yet.

        Raises:
            ValueError: it is of another kind than the others: whole, an overlay, a drift.
        """
        numbers = (self._data.tell(), len(chunk.stored), chunk.size)
        entry = PackEntry(chunk.digest, *numbers, chunk.bases, chunk.drifts)
        if len(chunk.bases) > _most_bases(drifts=chunk.drifts) or (
            self.entries and entry.pack_format != self.entries[0].pack_format
        ):
            raise ValueError("overlays, drifts and whole chunks do not go into one pack")
        self.entries.append(entry)
        self.digests.add(chunk.digest)
        self.room -= chunk.need_bytes
        self._data.write(chunk.stored)

    def finish(self) -> tuple[Digest, bytes]:
        """Give the pack's id and its bytes. Nothing can be put in afterwards."""
        with self._data as data:
            data.write(_end_of(self.entries))
            packed = data.getvalue()
        return digest_of(packed), packed


def encode_pack(chunks: Iterable[StoredChunk]) -> tuple[Digest, bytes]:
    """Give a pack's id and its bytes.

    Raises:
        ValueError: some chunks are overlays or drifts, and some are of another kind.
    """
    gathered = Gathered()
    for chunk in chunks:
        gathered.put(chunk)
    return gathered.finish()


def _end_of(entries: Sequence[PackEntry]) -> bytes:
    if not any(entry.bases for entry in entries):
        table = b"".join(_ENTRY.pack(to_raw(digest), *numbers) for digest, *numbers, _, _ in entries)
        return table + _FOOTER.pack(_MAGIC, len(entries), to_raw(digest_of(table)))
    lines = [
        _OVERLAY_ENTRY.pack(to_raw(digest), *numbers, len(bases)) for digest, *numbers, bases, _ in entries
    ]
    named = [to_raw(base) for entry in entries for base in entry.bases]
    table = b"".join((*lines, *named))
    magic = _DRIFT_MAGIC if entries[0].drifts else _OVERLAY_MAGIC
    return table + _OVERLAY_FOOTER.pack(magic, len(entries), len(named), to_raw(digest_of(table)))


def read_footer(end: bytes, total: int, *, what: str) -> Footer:
    """Read the footer of a pack of `total` bytes from its last FOOTER_BYTES, or from all of it if it is shorter.

    Raises:
        IntegrityError: it is not the end of a pack, or it counts more chunks than fit.
    """
    if len(end) < _FOOTER.size or total > MAX_PACK_BYTES:
        raise IntegrityError(f"{what} has {total} bytes, which no pack has")
    magic, count, digest = _FOOTER.unpack(end[-_FOOTER.size :])
    size, bases = _FOOTER.size, 0
    entries = count * ENTRY_BYTES
    if magic != _MAGIC and len(end) >= _OVERLAY_FOOTER.size:
        # Read as a count, the first magic would be more chunks than fit: nothing is both.
        magic, count, bases, digest = _OVERLAY_FOOTER.unpack(end[-_OVERLAY_FOOTER.size :])
        size, entries = _OVERLAY_FOOTER.size, count * _OVERLAY_ENTRY.size + bases * RAW_BYTES
    start = total - size - entries
    drifts = magic == _DRIFT_MAGIC
    leans = (
        magic in {_OVERLAY_MAGIC, _DRIFT_MAGIC}
        and size == _OVERLAY_FOOTER.size
        and count <= bases <= count * _most_bases(drifts=drifts)
    )
    if not (magic == _MAGIC or leans) or not 0 < count <= MAX_PACK_CHUNKS or start < 0:
        raise IntegrityError(f"{what} does not end like a pack")
    return Footer(start, entries, from_raw(digest), count, bases, drifts)


def _most_bases(*, drifts: bool) -> int:
    return 1 if drifts else MAX_BASES


def read_entries(table: bytes, footer: Footer, *, what: str) -> list[PackEntry]:
    """Read the entries that `read_footer` pointed to.

    Raises:
        IntegrityError: they were damaged, point outside of the pack, or say of a chunk that it needs itself.
    """
    if digest_of(table) != footer.digest:
        raise IntegrityError(f"{what} has a damaged list of chunks")
    if footer.bases:
        entries = _read_leaning(table, footer, what)
    else:
        entries = [PackEntry(from_raw(raw), *numbers) for raw, *numbers in _ENTRY.iter_unpack(table)]
    for entry in entries:
        _, offset, length, size, bases, _ = entry
        # New bytes of an overlay may all be there are, so it is never larger than the chunk by more than its runs.
        most = MAX_PACK_BYTES if bases else MAX_CHUNK_BYTES + 1
        if not length or offset + length > footer.start or size > MAX_CHUNK_BYTES or length > most:
            raise IntegrityError(f"{what} lists a chunk at {offset} with {length} bytes, which cannot be")
    return entries


def _read_leaning(table: bytes, footer: Footer, what: str) -> list[PackEntry]:
    middle = footer.chunks * _OVERLAY_ENTRY.size
    most, kind = _most_bases(drifts=footer.drifts), "a drift" if footer.drifts else "an overlay"
    entries: list[PackEntry] = []
    at = middle
    for raw, offset, length, size, count in _OVERLAY_ENTRY.iter_unpack(table[:middle]):
        end = at + count * RAW_BYTES
        if not 0 < count <= most or end > len(table):
            raise IntegrityError(f"{what} lists {kind} of {count} chunks, which cannot be")
        bases = tuple(from_raw(table[each : each + RAW_BYTES]) for each in range(at, end, RAW_BYTES))
        digest, at = from_raw(raw), end
        if digest in bases:
            raise IntegrityError(f"{what} lists chunk {digest[:12]} as {kind} of itself")
        entries.append(PackEntry(digest, offset, length, size, bases, footer.drifts))
    if at != len(table):
        raise IntegrityError(f"{what} lists more bases than its chunks have")
    return entries


def decode_pack(data: bytes, *, what: str) -> list[PackEntry]:
    """Read the trailer of a pack that is at hand as a whole. Errors as in `read_footer` and `read_entries`."""
    footer = read_footer(data[-FOOTER_BYTES:], len(data), what=what)
    return read_entries(data[footer.start : footer.start + footer.length], footer, what=what)
