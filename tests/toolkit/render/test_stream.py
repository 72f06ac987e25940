"""The YAML we write means the same to every reader, also to those of YAML 1.1 and of Go."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from toolkit.render.rendered import LAST_RANK, RenderedObject
from toolkit.render.stream import to_stream, to_yaml

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


def wrapped(value):
    return RenderedObject(
        "main", "jobs.x", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": value}
    )


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "No",
        "on",
        "~",
        "null",
        "1e3",
        "0o7",
        "12:30",
        "0x1f",
        "1_000",
        "",
        ".inf",
        "=",
        "- a",
        "a: b",
        "8",
    ],
)
def test_text_that_looks_like_something_else_is_quoted(text):
    line = to_yaml(wrapped({"key": text})).splitlines()[-1]
    assert line == f'  key: "{text}"'


def test_several_lines_are_a_block():
    assert to_yaml(wrapped({"key": "a\nb\n"})).endswith("  key: |\n    a\n    b\n")


def test_equal_parts_are_written_twice():
    labels = {"a": "b"}
    assert "&" not in to_yaml(wrapped([labels, labels]))


@settings(deadline=None)
@given(
    st.recursive(
        st.one_of(TEXT, st.integers(), st.booleans()),
        lambda part: st.lists(part) | st.dictionaries(TEXT, part),
    )
)
@example("a\n\x85b")
@example("a\n\u2028b")
@example("a\r\nb")
def test_any_value_reads_back(value):
    assert yaml.safe_load(to_yaml(wrapped(value)))["data"] == value


def test_a_stream_says_what_each_object_was_made_from():
    stream = to_stream([wrapped({}), wrapped({})])
    assert stream.count("---\n# jobs.x for cluster main\n") == 2
    assert len(list(yaml.safe_load_all(stream))) == 2


def test_a_kind_that_has_no_rank_comes_last():
    body = {"apiVersion": "x/v1", "kind": "Other", "metadata": {"name": "x"}}
    assert RenderedObject("main", "x", body).rank == LAST_RANK
