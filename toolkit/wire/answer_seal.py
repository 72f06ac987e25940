"""Seal an answer on which a device deletes what it has: the answers to records and to store calls.

`fleet.records` and `fleet.inbox` seal, `edge_runtime.drain` and `sync.remotes.link` open. Whoever can publish on a
device's topics could otherwise say "it is stored" and make it forget what never arrived. Unlike what `signature`
seals, these are many, short-lived and may carry data, so they are MessagePack; each holds for one question. Signed is

    tiers/1 answer NUL topic NUL about NUL payload

with the topic that the answer comes on, so that it cannot pass for one to another device or site, and the digest of
what was asked, so that it cannot pass for one to another question.

A device takes sealed answers only as soon as its keyring names a key with the role receiver. Before that it takes both
kinds and verifies neither, so that a receiver may begin to seal before the keyrings have travelled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from toolkit.errors import SignatureError
from toolkit.wire.document import Document, decode_msgpack, encode_msgpack
from toolkit.wire.keyring import Keyring, key_id_of
from toolkit.wire.learnt import learn

SEAL_BYTES = 160
"""What a seal adds to an answer, at most."""
_HINT = "seal them over there (--key), with a key of role receiver: tiers keyring show keyring.json"


class SealedAnswer(Document, frozen=True, kw_only=True):
    """An answer with its signature."""

    FORMAT: ClassVar[int] = 1
    key: str
    """Id of the key that signed."""
    value: bytes
    payload: bytes


@dataclass(frozen=True)
class Received:
    """An answer as it came; `payload` may be looked at, and is to be obeyed after `check` only."""

    payload: bytes
    sealed: SealedAnswer | None = None

    def check(self, topic: str, about: str, keyring: Keyring) -> None:
        """Return if this device may obey it.

        Args:
            topic: on which it came.
            about: digest of what was asked; "" where an answer says itself what it is to.
            keyring: whom the device trusts.

        Raises:
            SignatureError: it may not.
        """
        if not keyring.names("receiver"):
            return
        if self.sealed is None:
            message = "the answer is not sealed, and this device's keyring names who must seal it"
            raise SignatureError(message, hint=_HINT)
        trusted = keyring.find(self.sealed.key, "receiver")
        if trusted is None:
            message = f"the answer is sealed by {self.sealed.key[:16]}, which is not trusted as receiver here"
            raise SignatureError(message, hint=_HINT)
        try:
            public = Ed25519PublicKey.from_public_bytes(trusted.public)
            public.verify(self.sealed.value, _signed_bytes(topic, about, self.payload))
        except InvalidSignature:
            message = f"the seal of key {self.sealed.key} does not hold for this answer, topic and question"
            raise SignatureError(message, hint="it was changed on its way, or is one to another") from None


def seal_answer(payload: bytes, topic: str, about: str, key: Ed25519PrivateKey) -> bytes:
    """Sign an answer that is published on `topic`; `about` as in `Received.check`."""
    value = key.sign(_signed_bytes(topic, about, payload))
    return encode_msgpack(
        SealedAnswer(key=key_id_of(key.public_key().public_bytes_raw()), value=value, payload=payload)
    )


def receive_answer(data: bytes, *, limit: int) -> Received:
    """Take an answer that may or may not be sealed; of at most `limit` bytes without its seal.

    Raises:
        IntegrityError: it is too large, or a seal of a format that is not read here.
    """
    try:
        whole = len(data) <= limit + SEAL_BYTES
        looks = msgspec.msgpack.decode(data, type=learn(_Looks)) if whole else _Looks()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        looks = _Looks()
    if looks.value is None:
        return Received(data)
    sealed = decode_msgpack(data, SealedAnswer, what="sealed answer", limit=limit + SEAL_BYTES)
    return Received(sealed.payload, sealed)


class _Looks(msgspec.Struct):
    value: object = None


def _signed_bytes(topic: str, about: str, payload: bytes) -> bytes:
    return b"\0".join((b"tiers/1 answer", topic.encode(), about.encode(), payload))
