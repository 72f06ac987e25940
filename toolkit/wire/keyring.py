"""Whom we trust, and for what. A device gets its keyring at enrolment; the registry and the depot have theirs.

Only public keys are here. Private keys are Ed25519 in PKCS#8 PEM files, read by the commands that sign.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from toolkit.errors import IntegrityError
from toolkit.wire.digest import digest_of
from toolkit.wire.document import Document, decode_json

Role = Literal["registry", "operator", "builder", "receiver"]
"""registry signs manifests, operator signs what devices shall run, builder signs TensorRT plans, receiver signs the
answers after which a device deletes what it has sent (format 2)."""

PUBLIC_KEY_BYTES = 32


class TrustedKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Ed25519 public key and what it may sign."""

    public: bytes
    """32 bytes; base64 in JSON."""
    roles: tuple[Role, ...]
    name: str = ""
    """For people: whose key it is."""


class Keyring(Document, frozen=True, kw_only=True):
    """The keys that a device or a depot trusts."""

    FORMAT: ClassVar[int] = 2
    READS: ClassVar[tuple[int, ...]] = (1, 2)
    keys: tuple[TrustedKey, ...] = ()

    def needed_format(self) -> int:
        """Give 2 where a key has the role receiver."""
        return 2 if self.names("receiver") else 1

    def names(self, role: Role) -> bool:
        """Say whether there is anybody who may act in this role."""
        return any(role in key.roles for key in self.keys)

    def find(self, key_id: str, role: Role) -> TrustedKey | None:
        """Give the key of this id if it may act in this role."""
        for key in self.keys:
            if key_id_of(key.public) == key_id and role in key.roles:
                return key
        return None


def key_id_of(public: bytes) -> str:
    """Name a public key: the first 16 hexadecimal characters of its digest."""
    return digest_of(public)[:16]


def decode_keyring(data: bytes, *, what: str = "keyring") -> Keyring:
    """Read a keyring.

    Raises:
        IntegrityError: it is damaged, or a key does not have 32 bytes.
    """
    return check_keyring(decode_json(data, Keyring, what=what), what=what)


def check_keyring(keyring: Keyring, *, what: str) -> Keyring:
    """Return a keyring whose keys have the right size.

    Raises:
        IntegrityError: a key does not have 32 bytes.
    """
    for key in keyring.keys:
        if len(key.public) != PUBLIC_KEY_BYTES:
            raise IntegrityError(
                f"{what}: key {key.name!r} has {len(key.public)} bytes, an Ed25519 key has 32"
            )
    return keyring
