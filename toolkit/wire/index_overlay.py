"""An index, or a part of one, as what it shares with older ones and what is new: so it rests when a large file changed.

The chunk list of a file of 1 GiB takes 590 KB that do not compress, and a change of the file changes a few hundred
bytes of it. `sync.layouts.list_runs` makes an overlay, `sync.layouts.documents` stores it under the digest of the index
and opens it again, so nobody else sees any. Its *bases* are documents that rest whole, never overlays: whatever does
not hold the bytes that it is named after is refused, so no chain and no ring can be made. Layout in docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import msgspec

from toolkit.errors import IntegrityError
from toolkit.wire.digest import RAW_BYTES, Digest, from_raw
from toolkit.wire.document import Document, decode_msgpack, encode_msgpack
from toolkit.wire.index import MAX_INDEX_BYTES

MAX_BASES = 8
"""More bases are more to read for one document."""
MAX_OVERLAY_BYTES = 4 * 1024 * 1024
"""What would be larger is stored whole; so a reader never holds very many runs."""
_BEGINNING = b"\x83\xa5bases"
"""A map of three whose first key is `bases`: no index begins so, nor the root of one."""


class Shared(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Bytes that lie one behind the other in a base."""

    base: int
    """Number of the base, from 0."""
    start: int
    length: int


Run = bytes | Shared
"""New bytes as they are, or shared ones."""


class IndexOverlay(Document, frozen=True, kw_only=True):
    """The runs give a document from its first byte to its last."""

    FORMAT: ClassVar[int] = 1
    bases: tuple[bytes, ...]
    """Digests of documents of the same store, raw."""
    runs: tuple[Run, ...]

    @property
    def size(self) -> int:
        """Bytes of the document."""
        return sum(run.length if isinstance(run, Shared) else len(run) for run in self.runs)

    def base_digests(self) -> tuple[Digest, ...]:
        """Give the names of the bases."""
        return tuple(from_raw(raw) for raw in self.bases)

    def laid(self, read: Callable[[Digest], bytes], *, what: str) -> bytes:
        """Give the bytes of the document; who reads them checks whether they have its digest.

        Args:
            read: gives the bytes of a base, proven. One is held at a time.
            what: how to name the document in errors.

        Raises:
            IntegrityError: a run goes beyond the end of its base.
        """
        laid = bytearray(self.size)
        for number, digest in enumerate(self.base_digests()):
            base = memoryview(read(digest))
            at = 0
            for run in self.runs:
                if not isinstance(run, Shared):
                    at += len(run)
                    continue
                if run.base == number:
                    if run.start + run.length > len(base):
                        raise IntegrityError(f"{what} takes more from index {digest[:12]} than there is")
                    laid[at : at + run.length] = base[run.start : run.start + run.length]
                at += run.length
        at = 0
        for run in self.runs:
            if isinstance(run, Shared):
                at += run.length
            else:
                laid[at : at + len(run)] = run
                at += len(run)
        return bytes(laid)


def is_index_overlay(data: bytes) -> bool:
    """Say whether what lies under the name of an index is an overlay."""
    return data.startswith(_BEGINNING)


def encode_index_overlay(overlay: IndexOverlay) -> bytes:
    """Give its bytes."""
    return encode_msgpack(overlay)


def decode_index_overlay(data: bytes, *, what: str) -> IndexOverlay:
    """Read an overlay from anybody. What it gives is not known to be the document before its digest is looked at.

    Raises:
        IntegrityError: it is damaged, too large, or says what cannot be.
    """
    overlay = decode_msgpack(data, IndexOverlay, what=what, limit=MAX_OVERLAY_BYTES)
    bases = overlay.bases
    if not 0 < len(bases) <= MAX_BASES or any(len(raw) != RAW_BYTES for raw in bases):
        raise IntegrityError(f"{what} rests on {len(bases)} bases; 1 to {MAX_BASES} can be")
    for run in overlay.runs:
        if isinstance(run, Shared):
            if not (0 <= run.base < len(bases) and run.start >= 0 and 0 < run.length <= MAX_INDEX_BYTES):
                raise IntegrityError(f"{what} shares bytes that cannot be")
        elif not run:
            raise IntegrityError(f"{what} has a run without bytes")
    if not 0 < overlay.size <= MAX_INDEX_BYTES:
        raise IntegrityError(
            f"{what} would have {overlay.size} bytes; at most {MAX_INDEX_BYTES} are read",
            hint="nothing was put together; look at who wrote it",
        )
    return overlay
