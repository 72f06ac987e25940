"""Names of encrypted objects: each part of a key becomes text that tells nothing of it, and the same text each time.

`packs/9f86…` becomes `packs/k3v0…`. The first of several parts stays: it is one of the few words of the layout, and
object stores have rules that go by it (storage class, lifecycle). Each other part is AES-256-SIV (RFC 5297) of its
text, bound to the parts before it and written in base32hex (RFC 4648 §7) in lower case, which survives file systems
that do not tell cases apart. Encryption must be deterministic so that a key is found by its name; SIV is made for
that: equal names in one folder are equal, and nothing else is told but lengths. A part without its parents' text
does not decrypt, so an object that was moved elsewhere is not in a listing. RFC 5297 §7 asks for far fewer than 2^64
blocks under a key; a store would need as many names. `remotes.encrypted` uses it; the bytes of an object are
`cipher`'s.
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from toolkit.wire.cipher_keys import CipherKey

_KEY_BYTES = 64
"""AES-256-SIV takes two keys of 32 bytes."""
_TAG_BYTES = 16
_PIECE = 199
"""A name that is longer than a part may be goes on in the next one; this many letters and a `+` say so."""
_GOES_ON = "+"
_REMEMBERED = 65_536


class CipherNames:
    """Encrypts and decrypts keys. Usable by several threads."""

    def __init__(self, key: CipherKey) -> None:
        """Derive what names are encrypted with."""
        cipher = AESSIV(key.derive(b"tiers key 1 names", _KEY_BYTES))

        @lru_cache(maxsize=_REMEMBERED)
        def hide(parent: str, part: str) -> str:
            return _text(cipher.encrypt(part.encode(), [_bound_to(parent)]))

        def show(parent: str, text: str) -> str:
            return cipher.decrypt(_sealed(text), [_bound_to(parent)]).decode()

        self._hide, self._show = hide, show

    def encrypt(self, key: str) -> str:
        """Give the name of an object. The key must have passed `check_key`."""
        first, *rest = key.split("/")
        if not rest:
            return self._hide("", first)
        return "/".join((first, *self._hidden(first, rest)))

    def encrypt_prefix(self, prefix: str) -> str:
        """Give what the names of all objects below a folder begin with. The prefix must have passed `check_prefix`."""
        first, *rest = prefix.removesuffix("/").split("/")
        return "/".join((first, *self._hidden(first, rest), "")) if first else ""

    def decrypt(self, name: str) -> str | None:
        """Give the key of an object, or None when the name is not one that this key made."""
        first, *rest = name.split("/")
        readings = [("", [first, *rest])]
        if rest:
            readings.insert(0, (first, rest))
        for parent, pieces in readings:
            key = self._shown(parent, pieces)
            # What was written another way (capitals, a cut in another place) is not ours: one key has one name.
            if key is not None and self.encrypt(key) == name:
                return key
        return None

    def _shown(self, parent: str, pieces: list[str]) -> str | None:
        begun = ""
        try:
            for piece in pieces:
                if piece.endswith(_GOES_ON):
                    begun += piece.removesuffix(_GOES_ON)
                    continue
                part = self._show(parent, begun + piece)
                parent, begun = (f"{parent}/{part}" if parent else part), ""
        except (InvalidTag, ValueError):
            return None
        return None if begun else parent

    def _hidden(self, parent: str, parts: list[str]) -> list[str]:
        names: list[str] = []
        for part in parts:
            names.append(self._hide(parent, part))
            parent += "/" + part
        return names


def _bound_to(parent: str) -> bytes:
    # Never empty: some versions of OpenSSL do not authenticate empty associated data (CVE-2023-2975).
    return b"tiers name 1\0" + parent.encode()


def _text(sealed: bytes) -> str:
    text = base64.b32hexencode(sealed).decode().rstrip("=").lower()
    pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
    return f"{_GOES_ON}/".join(pieces)


def _sealed(text: str) -> bytes:
    try:
        sealed = base64.b32hexdecode(text.upper() + "=" * (-len(text) % 8))
    except binascii.Error as error:
        raise ValueError("not base32") from error
    if len(sealed) <= _TAG_BYTES:
        raise ValueError("too short")
    return sealed
