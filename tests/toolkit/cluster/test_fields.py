"""Changes are named field by field, and a Secret's values are never shown."""

from __future__ import annotations

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
