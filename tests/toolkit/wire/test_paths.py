"""Paths of an index: plain names only."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import UnsafePathError
from toolkit.wire.paths import check_path, local, shown


@pytest.mark.parametrize(
    "path", [b"a", b"a/b", b".hidden", b"...", b"a b", b"\xff\xfe", b"a\nb", b"-rf", b"c:\\x", b"x" * 255]
)
def test_plain_names_are_taken(path):
    assert check_path(path) == path
    assert os.fsencode(local(path)) == path


@pytest.mark.parametrize(
    "path",
    [b"", b"/", b"/etc", b"a//b", b"a/", b"./a", b"a/.", b"..", b"../a", b"a/../b", b"a/..", b"a\0b", b"a/\0",
     b"x" * 256, b"a/" * 2048 + b"a"],
)  # fmt: skip
def test_what_could_leave_is_refused(path):
    with pytest.raises(UnsafePathError) as caught:
        check_path(path)
    assert caught.value.exit_code == 6


@given(st.binary(max_size=40))
def test_what_is_taken_stays_below_any_root(path):
    try:
        text = local(path)
    except UnsafePathError:
        return
    whole = os.path.normpath(os.path.join("/srv/folder", text))  # noqa: PTH118
    assert whole.startswith("/srv/folder/")
    assert os.path.relpath(whole, "/srv/folder") == text


def test_a_name_that_is_not_utf8_can_be_shown():
    assert shown(b"a\xffb") == "a\\xffb"
    shown(b"\xff").encode()
