"""The keys that a storage is encrypted with: 32 random bytes each, written as a line of text. Text in, keys out.

    tiers-key-1 ID BASE64

The ID is derived from the key (HKDF-SHA256, RFC 5869), so it tells nothing about it, names the key in errors and at
the head of each object, and finds a letter that was mistyped when somebody copies a key from paper. A file may hold
several: the first one encrypts the names of objects for as long as a store lives, the last one encrypts what is
written now, all of them read. `sync.key_file` reads and writes the file; `cipher` and `cipher_names` work with the
keys.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from toolkit.errors import IntegrityError

KEY_BYTES = 32
ID_BYTES = 8
MAX_KEYS = 64
"""More keys than this in one file are an accident."""
_WORD = "tiers-key-1"


@dataclass(frozen=True)
class CipherKey:
    """One key. Its secret is left out of what is shown."""

    secret: bytes = field(repr=False)

    def derive(self, purpose: bytes, length: int, *, salt: bytes | None = None) -> bytes:
        """Give `length` bytes for one purpose (RFC 5869); other purposes and salts give unrelated bytes.

        Args:
            purpose: HKDF's info; each use of a key has its own, so none weakens another.
            length: how many bytes.
            salt: HKDF's salt; None stands for zeros, which is fine for a key that is uniformly random (§3.1).
        """
        return HKDF(SHA256(), length, salt, purpose).derive(self.secret)

    @property
    def key_id(self) -> str:
        """Its public name: 16 hexadecimal characters."""
        return self.derive(b"tiers key 1 id", ID_BYTES).hex()


@dataclass(frozen=True)
class CipherKeys:
    """The keys of one storage, the oldest first. At least one."""

    keys: tuple[CipherKey, ...]

    @property
    def names(self) -> CipherKey:
        """The key that names of objects are encrypted with: the oldest, so that names outlive a rotation."""
        return self.keys[0]

    @property
    def newest(self) -> CipherKey:
        """The key that new objects are encrypted with."""
        return self.keys[-1]

    def find(self, key_id: str) -> CipherKey | None:
        """Give the key of this id, if it is one of these."""
        return next((key for key in self.keys if key.key_id == key_id), None)


def encode_key(key: CipherKey) -> str:
    """Write a key as the line that a key file holds, without an end of line. It is the secret itself."""
    return f"{_WORD} {key.key_id} {base64.b64encode(key.secret).decode()}"


def decode_keys(text: str, *, what: str) -> CipherKeys:
    """Read the lines of a key file; empty lines and those that begin with `#` are for people.

    No message repeats what stands in a line: it could be a key with one wrong letter.

    Raises:
        IntegrityError: there is no key, a line is none, or its ID does not belong to it.
    """
    keys: list[CipherKey] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            keys.append(_decode_line(words, f"{what}, line {number}"))
    if not keys:
        raise IntegrityError(f"{what} holds no key", hint="tiers sync keygen FILE makes one")
    if len(keys) > MAX_KEYS or len({key.key_id for key in keys}) != len(keys):
        raise IntegrityError(f"{what} holds a key twice, or more than {MAX_KEYS} keys")
    return CipherKeys(tuple(keys))


def _decode_line(words: list[str], where: str) -> CipherKey:
    if words[0] != _WORD and words[0].startswith("tiers-key-"):
        raise IntegrityError(f"{where}: a key of another format", hint="update tiers on this machine")
    try:
        word, key_id, text = words
        key = CipherKey(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error) as error:
        raise IntegrityError(
            f"{where} is not a key", hint=f"a line is `{_WORD} ID BASE64`; tiers sync keygen FILE makes one"
        ) from error
    if word != _WORD or len(key.secret) != KEY_BYTES or key_id != key.key_id:
        raise IntegrityError(
            f"{where}: the ID does not belong to the key", hint="a letter is wrong; copy the line again"
        )
    return key
