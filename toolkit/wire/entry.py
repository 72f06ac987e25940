"""One path of an index: a file with its chunks, a link or a folder. Comes before `index` and `tree`.

Layout in docs/formats.md: an array, chunk lists packed at 36 bytes a chunk.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal, NamedTuple

import msgspec

from toolkit.wire.digest import RAW_BYTES, Digest, from_raw
from toolkit.wire.extras import Extras

PACKED = struct.Struct(f">{RAW_BYTES}sI")


class ChunkRef(NamedTuple):
    """A chunk as an index names it: digest and size in bytes."""

    digest: Digest
    size: int


class Entry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One path of an index. Nothing in it can lead back to it, so a million of them are not walked for garbage."""

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
    extras: Extras | None = None
    """Hard links, extended attributes, holes. Not in format 1, whose entries end before it."""

    def refs(self) -> Iterator[ChunkRef]:
        """Yield the chunks of a file in order."""
        for raw, size in PACKED.iter_unpack(self.chunks):
            yield ChunkRef(from_raw(raw), size)


def raw_digests(chunks: bytes) -> Iterator[bytes]:
    """Give the raw digests in a packed chunk list; quicker than `Entry.refs`."""
    return (chunks[at : at + RAW_BYTES] for at in range(0, len(chunks), PACKED.size))
