"""Seal a document with Ed25519 (RFC 8032) and open it only for a trusted key.

The seal is over `tiers/1 TYPE NUL payload`, so that a document of one type can never pass for another. The payload
travels as the bytes that were signed; nothing is decoded before a signature holds. Comes between `manifest`,
`desired` or `rollout` and the link.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from toolkit.errors import IntegrityError, SignatureError
from toolkit.wire.document import MAX_DOCUMENT_BYTES, Document, decode_json, encode_json
from toolkit.wire.keyring import Keyring, Role, key_id_of

SealedType = Literal["manifest", "desired", "rollout", "course", "plan"]
MAX_SIGNATURES = 8

_ROLE_OF: dict[SealedType, Role] = {
    "manifest": "registry",
    "desired": "operator",
    "rollout": "operator",
    "course": "operator",
    "plan": "builder",
}


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One signature and the id of the key that made it."""

    key: str
    value: bytes


class Sealed(Document, frozen=True, kw_only=True):
    """A payload with its signatures; what stands retained on a topic and beside a Ref."""

    FORMAT: ClassVar[int] = 1
    type: SealedType
    payload: bytes
    signatures: tuple[Signature, ...]


def seal(payload: bytes, kind: SealedType, key: Ed25519PrivateKey) -> bytes:
    """Sign a payload and give the bytes of the sealed document."""
    public = key.public_key().public_bytes_raw()
    signature = Signature(key=key_id_of(public), value=key.sign(_signed_bytes(kind, payload)))
    return encode_json(Sealed(type=kind, payload=payload, signatures=(signature,)))


def unseal(data: bytes, kind: SealedType, keyring: Keyring, *, what: str) -> bytes:
    """Give the payload if a trusted key signed it for this type.

    Args:
        data: the sealed document as received.
        kind: the type it must have.
        keyring: whom we trust; the key must have the role that belongs to the type.
        what: how to name the document in an error.

    Raises:
        IntegrityError: it is not a sealed document.
        SignatureError: no trusted key signed it.
    """
    # Base64 grows the payload by a third; the payload itself is limited again when it is decoded.
    sealed = decode_json(data, Sealed, what=what, limit=2 * MAX_DOCUMENT_BYTES)
    if sealed.type != kind:
        raise SignatureError(f"{what} is sealed as a {sealed.type}, not as a {kind}")
    for signature in sealed.signatures[:MAX_SIGNATURES]:
        trusted = keyring.find(signature.key, _ROLE_OF[kind])
        if trusted is None:
            continue
        try:
            public = Ed25519PublicKey.from_public_bytes(trusted.public)
            public.verify(signature.value, _signed_bytes(kind, sealed.payload))
        except InvalidSignature:
            raise SignatureError(
                f"{what}: the signature of key {signature.key} does not hold",
                hint="the document was changed after it was signed; push it again from the registry",
            ) from None
        if encode_json(sealed) != data:
            # Base64 has bits that mean nothing; a bit that turned there would make a store look whole that is not.
            raise IntegrityError(
                f"{what} is not written as it was sealed", hint="it was damaged, or rewritten"
            )
        return sealed.payload
    keys = ", ".join(signature.key[:16] for signature in sealed.signatures[:MAX_SIGNATURES]) or "nobody"
    raise SignatureError(
        f"{what} is signed by {keys}, which is not trusted as {_ROLE_OF[kind]} here",
        hint="add the public key to the keyring of this device, or sign with a key that is in it",
    )


def _signed_bytes(kind: SealedType, payload: bytes) -> bytes:
    return b"tiers/1 " + kind.encode() + b"\0" + payload
