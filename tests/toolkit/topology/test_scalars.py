from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from toolkit.topology.scalars import resolve, surprise

WORDS = st.text(alphabet="0123456789abcefnotyx:._-+~%> /", min_size=0, max_size=12)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("yes", "E0105"), ("No", "E0105"), ("ON", "E0105"), ("off", "E0105"),
        ("12:30", "E0106"), ("08:00", "E0106"), ("1:20:30", "E0106"), ("-1:30", "E0106"),
        ("010", "E0107"), ("0o17", "E0107"), ("0x1F", "E0107"), ("0b11", "E0107"), ("1_000", "E0107"),
        ("1e3", "E0107"), ("00", "E0107"), ("9" * 41, "E0107"),
        ("2026-11-21", "E0108"), ("2026-11-21 10:00:00", "E0108"),
    ],
)  # fmt: skip
def test_a_word_that_readers_understand_differently_is_named(text, code):
    found = surprise(text)
    assert found is not None
    assert found[0] == code
    assert f"'{text}'" in found[1]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("true", True), ("False", False),
        ("0", 0), ("-7", -7), ("8.7", 8.7), (".5", 0.5), ("1.5e3", 1500.0),
        ("25%", "25%"), ("30m", "30m"), ("1.4.0", "1.4.0"), (".inf", ".inf"), ("y", "y"), ("host:8883", "host:8883"),
        ("a@1.0", "a@1.0"), ("=", "="), ("-", "-"),
    ],
)  # fmt: skip
def test_plain_words(text, value):
    assert surprise(text) is None
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@given(WORDS)
def test_what_is_accepted_means_the_same_to_pyyaml(text):
    """Either a word is refused as a surprise, or PyYAML (YAML 1.1) reads it as we do."""
    try:
        theirs = yaml.safe_load(f"[{text}\n]")
    except (yaml.YAMLError, ValueError):
        return
    if theirs is None or len(theirs) != 1 or not isinstance(theirs[0], str | int | float | None):
        return
    if (
        text != text.strip()
        or "#" in text
        or surprise(text) is not None
        or ": " in text
        or text.endswith(":")
    ):
        return
    ours = resolve(text)
    assert type(ours) is type(theirs[0])
    assert ours == theirs[0]
