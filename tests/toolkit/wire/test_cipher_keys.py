"""The line that a key is written as: what is read, and that no error repeats a secret."""

from __future__ import annotations

import base64

import pytest

from toolkit.errors import IntegrityError
from toolkit.wire.cipher_keys import CipherKey, decode_keys, encode_key

FIRST, SECOND = CipherKey(bytes(range(32))), CipherKey(bytes(32))


def test_what_is_written_is_read():
    text = f"# made for the archive\n\n{encode_key(FIRST)}\n  {encode_key(SECOND)}  \r\n"
    keys = decode_keys(text, what="it")
    assert keys.keys == (FIRST, SECOND)
    assert (keys.names, keys.newest) == (FIRST, SECOND)
    assert keys.find(SECOND.key_id) == SECOND
    assert keys.find("0" * 16) is None


def test_the_id_and_what_is_shown_tell_nothing():
    assert len(FIRST.key_id) == 16
    assert bytes.fromhex(FIRST.key_id) not in FIRST.secret
    assert "secret" not in repr(FIRST)


@pytest.mark.parametrize(
    ("text", "says", "cure"),
    [
        ("", "holds no key", "keygen"),
        ("# only a comment", "holds no key", "keygen"),
        ("hello", "line 1 is not a key", "keygen"),
        (f"\n{encode_key(FIRST)} more", "line 2 is not a key", "keygen"),
        (encode_key(FIRST).replace("key-1", "key-2"), "another format", "update tiers"),
        (encode_key(FIRST).replace("AAEC", "AAED"), "does not belong", "copy the line again"),
        (f"tiers-key-1 {FIRST.key_id} {base64.b64encode(bytes(16)).decode()}", "does not belong", "copy"),
        (f"{encode_key(FIRST)}\n{encode_key(FIRST)}", "a key twice", ""),
    ],
)
def test_what_is_no_key_is_explained_without_showing_it(text, says, cure):
    with pytest.raises(IntegrityError, match=says) as caught:
        decode_keys(text, what="archive.key")
    assert cure in caught.value.hint
    assert "archive.key" in caught.value.message
    assert "AECAwQ" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("position", range(len(encode_key(FIRST))))
def test_every_letter_that_is_mistyped_is_found(position):
    line = encode_key(FIRST)
    letter = "x" if line[position] != "x" else "y"
    with pytest.raises(IntegrityError):
        decode_keys(line[:position] + letter + line[position + 1 :], what="it")
