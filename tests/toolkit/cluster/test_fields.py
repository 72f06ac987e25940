"""Changes are named field by field, and a Secret's values are never shown."""

from __future__ import annotations

import json

from toolkit.cluster.fields import changes


def test_changed_added_and_removed_fields_are_named():
    before = {"spec": {"a": 1, "b": [{"name": "x", "v": 1}, {"name": "y"}], "old": True}}
    after = {"spec": {"a": 2, "b": [{"name": "x", "v": 2}], "new": {"k": "ü"}}}
    assert [str(each) for each in changes(before, after)] == [
        "~ spec.a: 1 → 2",
        "~ spec.b[x].v: 1 → 2",
        '- spec.b[y]: {"name": "y"}',
        '+ spec.new: {"k": "ü"}',
        "- spec.old: true",
    ]


def test_items_without_names_go_by_position():
    assert [str(each) for each in changes({"a": [1, 2]}, {"a": [1, 3, 4]})] == [
        "~ a[0001]: 2 → 3",
        "+ a[0002]: 4",
    ]


def test_equal_objects_have_no_changes():
    assert changes({"a": [{"b": 1}]}, {"a": [{"b": 1}]}) == ()


def test_a_secret_shows_hashes():
    before = {"kind": "Secret", "data": {"k": "aGVsbG8="}, "type": "Opaque"}
    found = changes(before, {"kind": "Secret", "data": {"k": "d29ybGQ="}, "type": "other"})
    assert "aGVsbG8" not in str(found)
    assert "d29ybGQ" not in str(found)
    assert found[0].before.startswith("sha256:")
    assert found[0].before != found[0].after
    assert str(found[1]) == '~ type: "Opaque" → "other"'


def test_a_secret_that_is_created_shows_hashes():
    assert "aGVsbG8" not in str(changes({}, {"kind": "Secret", "data": {"k": "aGVsbG8="}}))


def test_a_long_text_is_shown_by_its_lines():
    before, after = ({"report": report, "upload": "x" * 90} for report in (30, 20))
    (change,) = changes({"data": {"c": json.dumps(before)}}, {"data": {"c": json.dumps(after)}})
    assert change.lines == (
        "~ data.c:",
        "@@",
        "  {",
        '-  "report": 30,',
        '+  "report": 20,',
        '   "upload": "' + "x" * 90 + '"',
    )


def test_a_text_of_lines_that_is_no_json_is_shown_by_its_lines():
    (change,) = changes({"a": "one\ntwo\nthree"}, {"a": "one\n2\nthree"})
    assert change.lines == ("~ a:", "@@", "  one", "- two", "+ 2", "  three")


def test_a_long_secret_stays_a_hash():
    before = {"kind": "Secret", "stringData": {"k": "a\nb\n" * 50}}
    (change,) = changes(before, {"kind": "Secret", "stringData": {"k": "c\nd\n" * 50}})
    assert len(change.lines) == 1
    assert "sha256:" in change.lines[0]
