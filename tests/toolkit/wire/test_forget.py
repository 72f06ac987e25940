"""What devices shall forget: patterns that a network sends, and documents that are none."""

from __future__ import annotations

import fnmatch
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import IntegrityError
from toolkit.wire.document import encode_json
from toolkit.wire.forget import LONGEST_LABEL, MOST_LABELS, Forget, decode_forget, matches

MARK = "0123456789abcdef"
TEXT = st.text("ab*", max_size=12)


@given(pattern=TEXT, text=st.text("ab", max_size=12))
def test_a_star_stands_for_any_characters(pattern, text):
    assert matches(pattern, text) == fnmatch.fnmatchcase(text, pattern)


def test_a_hostile_pattern_takes_no_time():
    assert not matches("a*" * (LONGEST_LABEL // 2) + "b", "a" * LONGEST_LABEL)


def test_no_label_is_meant_by_all_only():
    assert Forget(mark=MARK).means("")
    assert not Forget(mark=MARK, pattern="*").means("")
    assert Forget(mark=MARK, labels=("a",), pattern="b*").means("bc")
    assert not Forget(mark=MARK, labels=("a",), pattern="b*").means("c")


def test_it_is_read_as_it_was_written():
    forget = Forget(mark=MARK, after="f" * 16, labels=("study-7",), pattern="ct-*")
    assert decode_forget(encode_json(forget), what="it") == forget


@pytest.mark.parametrize(
    "changed",
    [
        {"mark": "x" * 16},
        {"mark": "0" * 15},
        {"after": "0"},
        {"labels": ["a"] * (MOST_LABELS + 1)},
        {"labels": [""]},
        {"labels": ["a" * (LONGEST_LABEL + 1)]},
        {"pattern": "a" * (LONGEST_LABEL + 1)},
        {"format": 2},
        {"more": 1},
        {"labels": "a"},
    ],
    ids=str,
)
def test_what_is_none_is_refused(changed):
    good = {"format": 1, "mark": MARK, "after": "", "labels": [], "pattern": ""}
    decode_forget(json.dumps(good).encode(), what="it")
    with pytest.raises(IntegrityError):
        decode_forget(json.dumps({**good, **changed}).encode(), what="it")
