"""Who was let in: the register of a site's certificates, one JSON document beside the authority's key.

`fleet.enroll` writes an entry before the certificate leaves, so a certificate that is out there is always here. The
revocation list is made from it alone. Only public facts stand in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import msgspec

from toolkit.errors import StoreError, UsageError
from toolkit.sync.whole import write_whole
from toolkit.wire.document import Document, decode_json, encode_json

REGISTER_FILE = "register.json"
REGISTER_LIMIT = 64 * 1024 * 1024
"""Bytes of a register: a hundred thousand devices with two certificates each."""


class Enrolled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One certificate. Times are Unix seconds."""

    name: str
    serial: str
    """Number of the certificate, hexadecimal."""
    key: str
    """Digest of its public key (SubjectPublicKeyInfo in DER)."""
    not_before: int
    not_after: int
    revoked_at: int = 0
    """0 while it holds."""
    reason: str = ""


class Register(Document, frozen=True, kw_only=True):
    """All certificates that the authority of a site has signed."""

    FORMAT: ClassVar[int] = 1
    site: str
    entries: tuple[Enrolled, ...] = ()
    list_number: int = 0
    """Number of the last revocation list; it grows (RFC 5280, 5.2.3)."""

    def of(self, name: str) -> Iterator[Enrolled]:
        """Give the certificates of somebody, oldest first."""
        return (each for each in self.entries if each.name == name)


def read_register(folder: Path) -> Register:
    """Read the register of an authority.

    Raises:
        UsageError: there is none, or it cannot be read.
        IntegrityError: it is damaged.
    """
    file = folder / REGISTER_FILE
    try:
        with file.open("rb") as stream:
            data = stream.read(REGISTER_LIMIT + 1)
    except OSError as error:
        hint = (
            f"tiers device authority {folder} makes a new authority; else name the folder: --authority FOLDER"
        )
        raise UsageError(f"there is no authority in {folder}: {error.strerror}", hint=hint) from error
    return decode_json(data, Register, what=str(file), limit=REGISTER_LIMIT)


def write_register(folder: Path, register: Register) -> None:
    """Write the register in one step.

    Raises:
        StoreError: the disk did not take it; the old one is untouched.
    """
    try:
        write_whole(folder / REGISTER_FILE, encode_json(register) + b"\n", mode=0o644)
    except OSError as error:
        raise StoreError(f"{folder / REGISTER_FILE} cannot be written: {error.strerror}") from error
