"""A Ref: the only mutable thing of a Remote, a name that points to an index or a manifest and is written last.

`layouts` store them, the registry and the runs of a route read them. JSON, at most 64 KiB.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from toolkit.wire.digest import Digest, parse_digest
from toolkit.wire.document import Document, decode_json, encode_json


class Ref(Document, frozen=True, kw_only=True):
    """What a name points to."""

    FORMAT: ClassVar[int] = 1
    kind: Literal["index", "manifest"]
    digest: Digest
    """Of the index's bytes, or the artifact's id."""
    written_ms: int = 0
    """When, in milliseconds since 1970; for people and for order, never for safety."""
    path: str = ""
    """kind index: the folder of the storage that the index describes."""
    sequence: int = 0
    """kind index: grows with each change that a route brought."""


def encode_ref(ref: Ref) -> bytes:
    """Give a Ref's JSON."""
    return encode_json(ref)


def decode_ref(data: bytes, *, what: str) -> Ref:
    """Read a Ref.

    Raises:
        IntegrityError: it is damaged, or names no digest.
    """
    ref = decode_json(data, Ref, what=what)
    parse_digest(ref.digest, what=f"{what}: digest")
    return ref
