"""Seals: only a trusted key, for its role, over exactly these bytes."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.toolkit.wire.test_chunk import _writer
from toolkit.errors import IntegrityError, SignatureError
from toolkit.wire.keyring import Keyring, TrustedKey, decode_keyring, key_id_of
from toolkit.wire.manifest import decode_manifest, encode_manifest
from toolkit.wire.signature import seal, unseal

KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32) for seed in (1, 2))
PAYLOAD = b'{"format":1}'


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def trusting(key: Ed25519PrivateKey, *roles: str) -> Keyring:
    return Keyring(keys=(TrustedKey(public=public(key), roles=roles, name="test"),))


def changed(sealed: bytes, **fields: object) -> bytes:
    return json.dumps({**json.loads(sealed), **fields}, sort_keys=True, separators=(",", ":")).encode()


def test_the_frozen_seal_still_opens_and_is_made_the_same():
    frozen = json.loads((Path(__file__).parent / "vectors/sealed-1.json").read_text())
    keyring = Keyring(keys=(TrustedKey(public=base64.b64decode(frozen["public"]), roles=("registry",)),))
    payload = unseal(frozen["sealed"].encode(), "manifest", keyring, what="manifest")
    artifact, manifest = decode_manifest(payload)
    assert artifact == frozen["artifact"]
    assert manifest == _writer().manifest()
    assert encode_manifest(manifest) == (artifact, payload)
    key = Ed25519PrivateKey.from_private_bytes(_writer().SEED)
    assert seal(payload, "manifest", key) == frozen["sealed"].encode()


def test_a_trusted_key_opens_it():
    sealed = seal(PAYLOAD, "manifest", KEY)
    assert unseal(sealed, "manifest", trusting(KEY, "operator", "registry"), what="m") == PAYLOAD


def test_a_stranger_does_not():
    with pytest.raises(SignatureError, match="not trusted as registry") as caught:
        unseal(seal(PAYLOAD, "manifest", OTHER), "manifest", trusting(KEY, "registry"), what="m")
    assert "keyring" in caught.value.hint
    assert caught.value.exit_code == 6


def test_a_key_of_another_role_does_not():
    with pytest.raises(SignatureError, match="not trusted as operator"):
        unseal(seal(PAYLOAD, "desired", KEY), "desired", trusting(KEY, "registry"), what="d")


def test_a_document_of_one_type_cannot_pass_for_another():
    everything = trusting(KEY, "registry", "operator", "builder")
    sealed = seal(PAYLOAD, "manifest", KEY)
    with pytest.raises(SignatureError, match="sealed as a manifest"):
        unseal(sealed, "desired", everything, what="d")
    with pytest.raises(SignatureError, match="does not hold"):
        unseal(changed(sealed, type="desired"), "desired", everything, what="d")


def test_other_bytes_do_not_hold():
    sealed = seal(PAYLOAD, "manifest", KEY)
    other = base64.b64encode(b'{"format":2}').decode()
    with pytest.raises(SignatureError, match="does not hold"):
        unseal(changed(sealed, payload=other), "manifest", trusting(KEY, "registry"), what="m")


def test_nobody_signed_it():
    sealed = changed(seal(PAYLOAD, "manifest", KEY), signatures=[])
    with pytest.raises(SignatureError, match="signed by nobody"):
        unseal(sealed, "manifest", trusting(KEY, "registry"), what="m")


def test_one_trusted_signature_among_others_is_enough_but_not_behind_too_many():
    mine = json.loads(seal(PAYLOAD, "manifest", KEY))["signatures"]
    theirs = json.loads(seal(PAYLOAD, "manifest", OTHER))["signatures"]
    keyring = trusting(KEY, "registry")
    sealed = seal(PAYLOAD, "manifest", KEY)
    assert unseal(changed(sealed, signatures=theirs * 7 + mine), "manifest", keyring, what="m") == PAYLOAD
    with pytest.raises(SignatureError):
        unseal(changed(sealed, signatures=theirs * 8 + mine), "manifest", keyring, what="m")


@pytest.mark.parametrize(
    "value", ["", "AAAA", base64.b64encode(bytes(64)).decode(), base64.b64encode(bytes(5000)).decode()]
)
def test_a_signature_that_is_none_does_not_hold(value):
    sealed = changed(
        seal(PAYLOAD, "manifest", KEY), signatures=[{"key": key_id_of(public(KEY)), "value": value}]
    )
    with pytest.raises(SignatureError, match="does not hold"):
        unseal(sealed, "manifest", trusting(KEY, "registry"), what="m")


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"x" * 200_000, b'{"format":1,"type":"other","payload":"","signatures":[]}']
)
def test_what_is_not_sealed_is_refused(data):
    with pytest.raises(IntegrityError):
        unseal(data, "manifest", trusting(KEY, "registry"), what="m")


def test_a_keyring_checks_its_keys():
    good = msgspec.json.encode(trusting(KEY, "registry"))
    assert decode_keyring(good) == trusting(KEY, "registry")
    bad = Keyring(keys=(TrustedKey(public=b"short", roles=("registry",), name="mine"),))
    with pytest.raises(IntegrityError, match="'mine' has 5 bytes"):
        decode_keyring(msgspec.json.encode(bad))
    with pytest.raises(IntegrityError):
        decode_keyring(good.replace(b"registry", b"emperor"))


def test_bytes_that_say_the_same_in_another_way_are_refused():
    """Each sealed document is one string of bytes; else a turned bit in a store could go unseen."""
    key = Ed25519PrivateKey.generate()
    trusted = TrustedKey(public=key.public_key().public_bytes_raw(), roles=("registry",))
    data = seal(b"four", "manifest", key)
    padded = data.replace(b'"Zm91cg=="', b'"Zm91ch=="')
    assert padded != data, "the last character has four bits that mean nothing"
    assert unseal(data, "manifest", Keyring(keys=(trusted,)), what="it") == b"four"
    for changed in (padded, data.replace(b",", b", ", 1), data + b"\n"):
        with pytest.raises(IntegrityError, match="not written as it was sealed"):
            unseal(changed, "manifest", Keyring(keys=(trusted,)), what="it")
