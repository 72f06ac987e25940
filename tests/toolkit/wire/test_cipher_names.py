"""Encrypted names: what they tell, and that every key comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.sync.remotes.remote import check_key
from toolkit.wire.cipher_keys import CipherKey
from toolkit.wire.cipher_names import CipherNames

NAMES = CipherNames(CipherKey(bytes(range(32))))
PARTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+@=-]{0,199}", fullmatch=True)


@given(st.lists(PARTS, min_size=1, max_size=6).map("/".join))
def test_every_key_comes_back_and_its_name_is_a_key(key):
    name = NAMES.encrypt(key)
    assert check_key(name) == name
    assert NAMES.decrypt(name) == key


@given(st.lists(PARTS, min_size=2, max_size=6))
def test_a_name_begins_with_that_of_its_folder(parts):
    prefix = "/".join(parts[:-1]) + "/"
    assert NAMES.encrypt("/".join(parts)).startswith(NAMES.encrypt_prefix(prefix))


@given(st.text(alphabet="abv019+/", min_size=1, max_size=80))
def test_what_we_did_not_write_is_nobodys_name(name):
    assert NAMES.decrypt(name) is None


def test_equal_parts_in_other_folders_have_other_names():
    names = {NAMES.encrypt(key).rpartition("/")[2] for key in ("a/x", "b/x", "a/b/x", "x", "a/x/x")}
    assert len(names) == 5


def test_another_key_gives_other_names():
    other = CipherNames(CipherKey(bytes(32)))
    assert other.encrypt("refs/a") != NAMES.encrypt("refs/a")
    assert other.decrypt(NAMES.encrypt("refs/a")) is None


def test_no_prefix_is_no_prefix():
    assert NAMES.encrypt_prefix("") == ""


@pytest.mark.parametrize("position", range(len(NAMES.encrypt("refs/abc"))))
def test_a_letter_that_changed_makes_it_nobodys_name(position):
    name = NAMES.encrypt("refs/abc")
    changed = name[:position] + ("0" if name[position] != "0" else "1") + name[position + 1 :]
    if position < len("refs"):
        changed = f"r{changed}"
    assert NAMES.decrypt(changed) is None
