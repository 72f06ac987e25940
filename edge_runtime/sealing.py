"""Keep payloads on the disk unreadable without a key: AES-256-GCM, one random nonce for each (NIST SP 800-38D, 8.2.2).

    stored payload = nonce, 12 bytes | ciphertext | tag, 16 bytes;  bound to epoch, priority and seq

`outbox` seals what it writes and opens what it reads. The key is a file of 32 random bytes that the site puts on the
device; whoever takes the disk alone reads kinds and times, and no payload. 2**32 records may be sealed by one key.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from toolkit.errors import IntegrityError, UsageError
from toolkit.wire.digest import digest_of

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class Seal(Protocol):
    """How payloads rest."""

    @property
    def name(self) -> str:
        """Which key, as a word that tells nothing of it; empty for none."""

    def close(self, payload: bytes, bound: bytes) -> bytes:
        """Give what is stored."""

    def open(self, stored: bytes, bound: bytes) -> bytes:
        """Give the payload.

        Raises:
            IntegrityError: it is damaged, or was sealed by another key or for another record.
        """


class Plain:
    """No seal."""

    name = ""

    def close(self, payload: bytes, _bound: bytes) -> bytes:
        """Give the payload."""
        return payload

    def open(self, stored: bytes, _bound: bytes) -> bytes:
        """Give the payload."""
        return stored


class KeySeal:
    """Sealed by a key."""

    def __init__(self, key: bytes) -> None:
        """Take a key of KEY_BYTES."""
        self._cipher = AESGCM(key)
        self.name = digest_of(b"tiers outbox seal\0" + key)[:16]

    def close(self, payload: bytes, bound: bytes) -> bytes:
        """Seal a payload."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, payload, bound)

    def open(self, stored: bytes, bound: bytes) -> bytes:
        """Open a payload; see `Seal`."""
        try:
            return self._cipher.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], bound)
        except (InvalidTag, ValueError) as error:
            raise IntegrityError("a record cannot be opened with this device's key") from error


def read_seal(key_file: str) -> Seal:
    """Read the key that a configuration names; none where it names no file.

    Raises:
        UsageError: the file cannot be read, or is no key.
    """
    if not key_file:
        return Plain()
    cure = f"make one: openssl rand -out {key_file} {KEY_BYTES}"
    try:
        key = Path(key_file).read_bytes()
    except OSError as error:
        raise UsageError(f"the outbox' key {key_file} cannot be read: {error.strerror}", hint=cure) from error
    if len(key) != KEY_BYTES:
        raise UsageError(f"the outbox' key {key_file} has {len(key)} bytes, not {KEY_BYTES}", hint=cure)
    return KeySeal(key)
