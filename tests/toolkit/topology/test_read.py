from __future__ import annotations

import pytest

from toolkit.errors import Place
from toolkit.topology.findings import Findings
from toolkit.topology.nodes import Fields, find, place_of, plain
from toolkit.topology.read import read


def read_one(text):
    findings = Findings()
    node = read(text, "f.yaml", findings)
    return node, [f"{each.place.line}:{each.place.column} {each.code}" for each in findings.found]


def test_every_key_and_value_knows_its_place():
    node, found = read_one('a:\n  b: [1, "two"]\n  "c d": {e: true}\n')
    assert found == []
    assert plain(node) == {"a": {"b": (1, "two"), "c d": {"e": True}}}
    assert place_of(node, ("a", "b", 1)) == Place("f.yaml", 2, 10)
    assert place_of(node, ("a", "c d"), key=True) == Place("f.yaml", 3, 3)
    assert place_of(node, ("a", "c d", "e")) == Place("f.yaml", 3, 14)
    assert place_of(node, ("a", "nowhere", "below")) == Place("f.yaml", 1, 1)


def test_columns_count_characters_not_bytes():
    node, _ = read_one("ä: {größe: 1}\n")
    assert place_of(node, ("ä", "größe")) == Place("f.yaml", 1, 12)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: 1\na: 2\n", ["2:1 E0102"]),
        ("{a: 1, a: 2, a: 3}", ["1:8 E0102", "1:14 E0102"]),
        ("a:\n\tb: 1\n", ["2:1 E0103"]),
        ("a: 1\n---\nb: 2\n---\nc: 3\n", ["2:1 E0104"]),
        ("a: &x {b: 1}\nc: *x\n", ["1:4 E0109", "2:4 E0109"]),
        ("<<: {a: 1}\nb: 2\n", ["1:1 E0109"]),
        ("*x : 1\n", ["1:1 E0109"]),
        ("a: !secret b\n", ["1:4 E0110"]),
        ("? [a, b]\n: 1\n", ["1:3 E0111"]),
        ('"": 1\n', ["1:1 E0111"]),
        ("yes: 1\n", ["1:1 E0105"]),
        ("a: [no, 010, 1:30]\n", ["1:5 E0105", "1:9 E0107", "1:14 E0106"]),
        ("a: 'no'\nb: \"010\"\nc: |\n  yes\n", []),
        ("a: [1\n", ["2:1 E0101"]),
        ("a: 'open\n", ["2:1 E0101"]),
        ("a: b: c\n", ["1:5 E0101"]),
        ("- @a\n", ["1:3 E0101"]),
        ("a: \x01\n", ["1:4 E0112"]),
        ("a: 1\nb: \ud800\n", ["2:4 E0112"]),
    ],
)
def test_what_is_refused_and_where(text, found):
    assert read_one(text)[1] == found


def test_the_value_of_a_refused_key_is_left_out_and_the_rest_is_read():
    node, found = read_one("a: 1\na: {b: [1, 2]}\n? {x: y}\n: [3]\nc: 4\n")
    assert found == ["2:1 E0102", "3:3 E0111"]
    assert plain(node) == {"a": 1, "c": 4}


def test_a_fault_in_one_line_does_not_hide_the_next():
    node, found = read_one("a: no\nb: 010\nc: 12:30\n")
    assert found == ["1:4 E0105", "2:4 E0107", "3:4 E0106"]
    assert isinstance(node, Fields)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "~\n", "\ufeff"])
def test_an_empty_file_is_an_empty_mapping(text):
    assert plain(read_one(text)[0]) == {}


def test_a_quote_around_a_variable_in_braces_is_the_cure_of_a_broken_line():
    findings = Findings()
    assert read("a: {b: ${X}}\n", "f.yaml", findings) is None
    assert [each.cure for each in findings.found] == ['inside { } and [ ] put quotes around "${NAME}"']


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_without_running_out_of_stack(opening):
    node, found = read_one(opening * 100_000)
    assert node is None
    assert len(found) == 1
    assert found[0].split()[1] in {"E0112", "E0101"}


def test_a_huge_file_is_refused_before_it_is_parsed():
    assert read_one("#" * (4 * 2**20 + 1)) == (None, ["1:1 E0112"])


def test_find_gives_nothing_where_nothing_is():
    node, _ = read_one("a: [1]\n")
    assert find(node, ("a", 1)) is None
    assert find(node, ("a", "b")) is None
    assert find(node, ("b",)) is None
