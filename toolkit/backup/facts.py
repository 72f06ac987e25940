"""What a backup says of itself: the document `backup.json` in it. `take` writes it, `shelf` reads it.

It lies in the index that the backup's Ref names by digest, so nothing of it or beside it can change unnoticed.
"""

from __future__ import annotations

from typing import ClassVar

from toolkit.errors import IntegrityError
from toolkit.wire.document import Document, Sparse, decode_json, encode_json

FACTS_FILE = "backup.json"
MAX_FACTS_BYTES = 1024 * 1024
_LAST_MS = 253_402_300_799_000
"""The end of the year 9999."""


class PartFacts(Sparse, frozen=True, kw_only=True):
    """One part of a backup."""

    name: str
    """registry, files, broker, revisions, storages or keys."""
    files: int = 0
    total_bytes: int = 0
    skipped: str = ""
    """Why it, or some of it, is not here; empty when all of it is."""


class Facts(Document, frozen=True, kw_only=True):
    """What a backup holds, of whom, and since when."""

    FORMAT: ClassVar[int] = 1
    site: str
    made_ms: int
    """When, in milliseconds since 1970, by the clock of who made it; for people."""
    made_with: str
    """Version of tiers."""
    registry: str
    """URL that the registry had."""
    parts: tuple[PartFacts, ...]
    tiers_files: tuple[str, ...] = ("tiers.yaml",)
    """Names of the files of the part `files` that are the topology, in the order in which they are merged."""


def encode_facts(facts: Facts) -> bytes:
    """Give the document's JSON."""
    return encode_json(facts)


def decode_facts(data: bytes, *, what: str) -> Facts:
    """Read the document.

    Raises:
        IntegrityError: it is none, or of a format that is not read here.
    """
    facts = decode_json(data, Facts, what=what, limit=MAX_FACTS_BYTES)
    names = [part.name for part in facts.parts]
    if len(set(names)) != len(names):
        raise IntegrityError(f"{what} names a part twice", hint="it was written by something else")
    if not 0 <= facts.made_ms <= _LAST_MS:
        raise IntegrityError(
            f"{what} was made at no time: {facts.made_ms}", hint="it was written by something else"
        )
    return facts
