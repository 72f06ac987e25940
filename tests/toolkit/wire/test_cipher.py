"""Encrypted objects: against the vectors, against a second reader written from docs/formats.md, and sizes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from tests.toolkit.wire.vectors.write import data
from toolkit.errors import IntegrityError
from toolkit.wire.cipher import (
    HEAD_BYTES,
    SEGMENT_BYTES,
    decrypt_object,
    encrypt_object,
    plain_size,
    sealed_size,
)
from toolkit.wire.cipher_keys import CipherKey, CipherKeys, decode_keys
from toolkit.wire.digest import digest_of

VECTOR = json.loads((Path(__file__).parent / "vectors/cipher-1.json").read_text())
KEYS = decode_keys(VECTOR["key"], what="vector")
SALT = bytes.fromhex(VECTOR["salt"])


def hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, written out."""
    extracted = hmac.digest(salt, secret, hashlib.sha256)
    block = expanded = b""
    while len(expanded) < length:
        block = hmac.digest(extracted, block + info + bytes([len(expanded) // 32 + 1]), hashlib.sha256)
        expanded += block
    return expanded[:length]


def read_by_the_page(secret: bytes, name: bytes, sealed: bytes) -> bytes:
    """What somebody writes who has docs/formats.md and nothing else."""
    assert sealed[:4] == b"TEO1"
    assert sealed[4:12] == hkdf(secret, bytes(32), b"tiers key 1 id", 8)
    gcm = AESGCM(hkdf(secret, sealed[12:44], b"tiers object 1\0" + name, 32))
    segments = [sealed[start : start + 65552] for start in range(44, len(sealed), 65552)]
    return b"".join(
        gcm.decrypt(
            bytes(7) + number.to_bytes(4, "big") + bytes([number == len(segments) - 1]),
            segment,
            sealed[:44] + name,
        )
        for number, segment in enumerate(segments)
    )


@pytest.mark.parametrize("case", VECTOR["objects"], ids=lambda case: f"{case['name']}-{case['size']}")
def test_the_vectors(case):
    plain = data("random", case["size"])
    sealed = encrypt_object(plain, KEYS.newest, case["name"], SALT)
    assert digest_of(sealed) == case["digest"]
    if "sealed" in case:
        assert base64.b64decode(case["sealed"]) == sealed
    assert decrypt_object(sealed, KEYS, case["name"], what="vector") == plain
    assert read_by_the_page(KEYS.newest.secret, case["name"].encode(), sealed) == plain


@pytest.mark.parametrize(("name", "encrypted"), VECTOR["names"].items())
def test_the_names_of_the_vector_are_those_of_the_page(name, encrypted):
    siv = AESSIV(hkdf(KEYS.names.secret, bytes(32), b"tiers key 1 names", 64))
    first, *rest = name.split("/")
    parent, parts = (first, rest) if rest else ("", [first])
    written = [first] if rest else []
    for part in parts:
        text = base64.b32hexencode(siv.encrypt(part.encode(), [b"tiers name 1\0" + parent.encode()]))
        text = text.decode().rstrip("=").lower()
        written += [piece + "+" for piece in (text[:199],) if len(text) > 199] + [text[199:] or text]
        parent = f"{parent}/{part}" if parent else part
    assert "/".join(written) == encrypted


@pytest.mark.parametrize(
    "size", [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 5 * SEGMENT_BYTES]
)
def test_sizes_are_known_without_reading(size):
    sealed = encrypt_object(bytes(size), KEYS.newest, "a", SALT)
    assert sealed_size(size) == len(sealed)
    assert plain_size(len(sealed)) == size


@pytest.mark.parametrize("size", range(HEAD_BYTES + 16))
def test_no_size_of_something_cut_is_negative(size):
    assert plain_size(size) == 0


def test_an_object_that_goes_on_with_an_empty_segment_is_refused():
    # Nobody without the key can make one; a writer that did would give two forms of the same bytes.
    cipher = AESGCM(KEYS.newest.derive(b"tiers object 1\0a", 32, salt=SALT))
    head = b"TEO1" + bytes.fromhex(KEYS.newest.key_id) + SALT
    plain = bytes(SEGMENT_BYTES)
    first = cipher.encrypt(bytes(12), plain, head + b"a")
    empty = cipher.encrypt(bytes(10) + b"\x01\x01", b"", head + b"a")
    with pytest.raises(IntegrityError, match="segment 1"):
        decrypt_object(head + first + empty, KEYS, "a", what="it")


def test_a_newer_format_is_said_to_be_one():
    sealed = encrypt_object(b"x", KEYS.newest, "a", SALT)
    with pytest.raises(IntegrityError) as caught:
        decrypt_object(b"TEO2" + sealed[4:], KEYS, "a", what="it")
    assert "update tiers" in caught.value.hint
    with pytest.raises(IntegrityError) as caught:
        decrypt_object(b"TPK1" + sealed[4:], KEYS, "a", what="it")
    assert "update" not in caught.value.hint


def test_a_key_that_is_not_there_is_named_and_nothing_of_it_told():
    sealed = encrypt_object(b"x", KEYS.newest, "a", SALT)
    other = CipherKey(bytes(32))
    with pytest.raises(IntegrityError, match=KEYS.newest.key_id) as caught:
        decrypt_object(sealed, CipherKeys((other,)), "a", what="it")
    assert other.key_id in caught.value.message
    assert KEYS.newest.secret.hex() not in repr(KEYS)
