"""Names of bytes. A digest is the BLAKE3-256 of the bytes, written as 64 lower-case hexadecimal characters.

Everything immutable is named by its digest: chunks, indexes, manifests. Comes before `chunk` and `index`.
"""

from __future__ import annotations

import re
from typing import NewType

from blake3 import blake3

from toolkit.errors import IntegrityError

Digest = NewType("Digest", str)
"""64 lower-case hexadecimal characters; safe as a file name because only `digest_of` and `parse_digest` make one."""

RAW_BYTES = 32
_HEX = re.compile(r"[0-9a-f]{64}")


def digest_of(data: bytes | bytearray | memoryview) -> Digest:
    """Name some bytes."""
    return Digest(blake3(data).hexdigest())


def raw_digest_of(data: bytes | bytearray | memoryview) -> bytes:
    """Name some bytes the way an index holds names: 32 bytes."""
    return blake3(data).digest()


def parse_digest(text: str, *, what: str = "digest") -> Digest:
    """Take a digest from outside.

    Raises:
        IntegrityError: it is not 64 lower-case hexadecimal characters (so it could not be a safe file name either).
    """
    if not _HEX.fullmatch(text):
        raise IntegrityError(f"{what} {text[:80]!r} is not 64 lower-case hexadecimal characters")
    return Digest(text)


def to_raw(digest: Digest) -> bytes:
    """Give the 32 bytes of a digest, as indexes hold it."""
    return bytes.fromhex(digest)


def from_raw(raw: bytes | memoryview) -> Digest:
    """Read a digest from its 32 bytes.

    Raises:
        IntegrityError: there are not 32 bytes.
    """
    if len(raw) != RAW_BYTES:
        raise IntegrityError(f"a digest has {RAW_BYTES} bytes, not {len(raw)}")
    return Digest(bytes(raw).hex())
