"""The bytes of an encrypted object: a head, then segments of 64 KiB that can be read one by one. Bytes in, bytes out.

    magic "TEO1" | id of the key, 8 bytes | salt, 32 bytes
    AES-256-GCM of 64 KiB and its tag of 16 bytes, again and again; the last segment may be shorter, never longer

This is STREAM (Hoang, Reyhanitabar, Rogaway, Vizar: Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance, CRYPTO 2015, §7): the nonce of a segment is its number and whether it is the last, so that
segments that are cut off, moved, repeated or added do not decrypt. Each object has a key of its own, HKDF-SHA256
(RFC 5869) of the storage's key with the object's salt and, as info, its name; the head and the name are also the
associated data of every segment. So an object that lies under another name, or in the place of another, does not
decrypt either.

Limits. A nonce must never come twice under one key (NIST SP 800-38D §8): the salt has 256 random bits, so two
objects under one key come into being with probability 2^-129 after 2^64 objects, and within an object the number
counts up (deterministic construction, §8.2.1). One object has at most 1025 invocations of the 2^32 of §8.3 and
segments far below 2^39 - 256 bits (§5.2.1.1). Under the storage's key itself only HKDF runs, so no count of objects
asks for a rotation. Tags have their full 128 bits (§5.2.1.2). Not hidden are sizes, times, and that the same name
was written again; not found is an old object put back in the place of a newer one of the same name (a Ref has a
sequence that its reader may compare).

`remotes.encrypted` uses it, with `cipher_names` for the names of objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from toolkit.errors import IntegrityError
from toolkit.wire.cipher_keys import ID_BYTES, KEY_BYTES, CipherKey, CipherKeys

SEGMENT_BYTES = 64 * 1024
"""Plain bytes of a segment."""
SALT_BYTES = 32
TAG_BYTES = 16
SEALED_SEGMENT_BYTES = SEGMENT_BYTES + TAG_BYTES
_MAGIC = b"TEO1"
HEAD_BYTES = len(_MAGIC) + ID_BYTES + SALT_BYTES


class ObjectCipher(NamedTuple):
    """What the segments of one object are sealed with."""

    gcm: AESGCM
    associated: bytes
    what: str

    def seal(self, data: bytes) -> Iterator[bytes]:
        """Give the segments of an object."""
        view = memoryview(data)
        last = max(0, len(data) - 1) // SEGMENT_BYTES
        for number in range(last + 1):
            piece = view[number * SEGMENT_BYTES : (number + 1) * SEGMENT_BYTES]
            yield self.gcm.encrypt(_nonce(number, last=number == last), piece, self.associated)

    def open(self, sealed: bytes | memoryview, *, first: int, ends: bool) -> bytes:
        """Give the plain bytes of some segments that lie behind each other.

        Args:
            sealed: whole segments.
            first: the number of the first one.
            ends: the last one of them is the last of the object.

        Raises:
            IntegrityError: one of them is not what was written there.
        """
        view = memoryview(sealed)
        count = -(-len(view) // SEALED_SEGMENT_BYTES)
        if ends and not count:
            raise self._damaged(first)
        if count == 1:
            return self._opened(view, first, last=ends)
        with BytesIO() as plain:  # a join would hold every segment twice
            for position in range(count):
                piece = view[position * SEALED_SEGMENT_BYTES : (position + 1) * SEALED_SEGMENT_BYTES]
                plain.write(self._opened(piece, first + position, last=ends and position == count - 1))
            return plain.getvalue()

    def _opened(self, piece: memoryview, number: int, *, last: bool) -> bytes:
        try:
            opened = self.gcm.decrypt(_nonce(number, last=last), piece, self.associated)
        except (InvalidTag, ValueError) as error:
            raise self._damaged(number) from error
        if not opened and number:
            raise self._damaged(number)  # no writer of ours ends with an empty segment
        return opened

    def _damaged(self, number: int) -> IntegrityError:
        return IntegrityError(
            f"{self.what} is not what was written there: segment {number} does not decrypt",
            hint="it was damaged, cut, or put there by somebody else",
        )


def encrypt_object(data: bytes, key: CipherKey, name: str, salt: bytes) -> bytes:
    """Encrypt an object.

    Args:
        data: its plain bytes.
        key: of the storage.
        name: the plain name of the object, which a reader must know.
        salt: SALT_BYTES random bytes that are never used again.
    """
    head = _MAGIC + bytes.fromhex(key.key_id) + salt
    with BytesIO(head) as sealed:  # a join would hold every segment twice
        sealed.seek(len(head))
        sealed.writelines(_cipher(key, head, name, "").seal(data))
        return sealed.getvalue()


def open_head(head: bytes, keys: CipherKeys, name: str, *, what: str) -> ObjectCipher:
    """Read the first HEAD_BYTES of an object and give what its segments are opened with.

    Args:
        head: the bytes.
        keys: those that may be needed.
        name: the plain name of the object.
        what: how to name it in an error.

    Raises:
        IntegrityError: it is not an encrypted object, or none of the keys is the one that it needs.
    """
    if len(head) < HEAD_BYTES or not head.startswith(_MAGIC):
        newer = head[:3] == _MAGIC[:3] and head[3:4].isdigit() and head[3:4] != b"0"
        raise IntegrityError(
            f"{what} is not an encrypted object that this version reads",
            hint="update tiers on this machine" if newer else "it was damaged, or written without the key",
        )
    key_id = head[len(_MAGIC) : len(_MAGIC) + ID_BYTES].hex()
    key = keys.find(key_id)
    if key is None:
        have = ", ".join(each.key_id for each in keys.keys)
        raise IntegrityError(
            f"{what} is encrypted with key {key_id}, which is not in the key file (it holds {have})",
            hint="add the line of that key to the key file; old keys stay in it",
        )
    return _cipher(key, head[:HEAD_BYTES], name, what)


def decrypt_object(sealed: bytes, keys: CipherKeys, name: str, *, what: str) -> bytes:
    """Give the plain bytes of a whole object.

    Raises:
        IntegrityError: it is damaged or cut, belongs under another name, or needs another key.
    """
    cipher = open_head(sealed[:HEAD_BYTES], keys, name, what=what)
    return cipher.open(memoryview(sealed)[HEAD_BYTES:], first=0, ends=True)


def sealed_size(plain: int) -> int:
    """Give how many bytes an object of `plain` bytes takes once encrypted."""
    return HEAD_BYTES + plain + TAG_BYTES * max(1, -(-plain // SEGMENT_BYTES))


def plain_size(sealed: int) -> int:
    """Give how many bytes an encrypted object of `sealed` bytes holds; 0 for one that is cut too short to hold any."""
    body = max(0, sealed - HEAD_BYTES)
    return max(0, body - TAG_BYTES * -(-body // SEALED_SEGMENT_BYTES))


def _cipher(key: CipherKey, head: bytes, name: str, what: str) -> ObjectCipher:
    salt, bound = head[-SALT_BYTES:], name.encode()
    secret = key.derive(b"tiers object 1\0" + bound, KEY_BYTES, salt=salt)
    return ObjectCipher(AESGCM(secret), head + bound, what)


def _nonce(number: int, *, last: bool) -> bytes:
    """Twelve bytes: seven zeros (the key is the object's own), the number of the segment, whether it is the last."""
    return bytes(7) + number.to_bytes(4, "big") + bytes([last])
