"""A Ref: the only mutable thing of a Remote, a name that points to an index or a manifest and is written last.

`layouts` store them, the registry and the runs of a route read them. JSON, at most 64 KiB.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from toolkit.errors import UnsafePathError
from toolkit.wire.digest import Digest, parse_digest
from toolkit.wire.document import Document, decode_json, encode_json
from toolkit.wire.paths import check_path


class Ref(Document, frozen=True, kw_only=True, omit_defaults=True):
    """What a name points to."""

    FORMAT: ClassVar[int] = 5
    READS: ClassVar[tuple[int, ...]] = (1, 2, 3, 4, 5)
    kind: Literal["index", "manifest"]
    digest: Digest
    """Of the index's bytes, or the artifact's id."""
    written_ms: int = 0
    """When, in milliseconds since 1970; for people and for order, never for safety."""
    path: str = ""
    """kind index: the folder of the storage that the index describes."""
    sequence: int = 0
    """kind index: grows with each change that a route brought."""
    until_ms: int = 0
    """Format 2. When it ends by itself, in milliseconds since 1970; 0 is never. Pins have one."""
    note: str = ""
    """Format 2. Why somebody wrote it, for people."""

    overlays: bool = False
    """Format 3. Something below it rests as an overlay in this store. Who does not know overlays could not read it, and
    a collection that does not would take their bases for garbage; both stop at the number."""
    index_overlays: bool = False
    """Format 4. Its index, or a part of it, may rest as an overlay in this store (`wire.index_overlay`). Who does not
    know those would take it for damaged, and stops at the number instead."""
    drifts: bool = False
    """Format 5. Something below it rests as a drift in this store; the number stops who does not know drifts."""

    def needed_format(self) -> int:
        """Give the first number that had words for what is said."""
        if self.drifts:
            return 5
        if self.index_overlays:
            return 4
        if self.overlays:
            return 3
        return 2 if self.until_ms or self.note else 1


def encode_ref(ref: Ref) -> bytes:
    """Give a Ref's JSON."""
    return encode_json(ref)


def decode_ref(data: bytes, *, what: str) -> Ref:
    """Read a Ref.

    Raises:
        IntegrityError: it is damaged, or names no digest.
        UnsafePathError: its path would leave the storage.
    """
    ref = decode_json(data, Ref, what=what)
    parse_digest(ref.digest, what=f"{what}: digest")
    if ref.path:
        try:
            check_path(ref.path.encode())
        except (UnsafePathError, UnicodeEncodeError) as error:
            raise UnsafePathError(
                f"{what} has the path {ref.path[:80]!r}, which no route has",
                hint="it was not written by tiers, or was changed; remove it there, or point the route elsewhere",
            ) from error
    return ref
