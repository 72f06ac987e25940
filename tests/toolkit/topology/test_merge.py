from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import Place
from toolkit.topology.findings import Findings
from toolkit.topology.merge import merge
from toolkit.topology.nodes import Entry, Fields, Items, Scalar, find_entry, place_of, plain
from toolkit.topology.read import read

scalars = st.one_of(st.integers(), st.text(max_size=4), st.booleans())
trees = st.recursive(
    scalars | st.lists(scalars, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abcdef"), inner, max_size=4),
    max_leaves=12,
)
documents = st.dictionaries(st.sampled_from("abcdef"), trees, max_size=4)

# In tiers.yaml a key is either always a mapping or never one; here a and b are, the others are not.
leaves = {key: scalars | st.lists(scalars, max_size=3) for key in "cdef"}
regular = st.fixed_dictionaries(
    {}, optional={**leaves, **{key: st.fixed_dictionaries({}, optional=leaves) for key in "ab"}}
)


def fields(value: dict, file: str = "f") -> Fields:
    def node(part):
        here = Place(file, 1, 1)
        if isinstance(part, dict):
            return Fields({key: Entry(here, node(inner)) for key, inner in part.items()}, here)
        if isinstance(part, list):
            return Items(tuple(node(inner) for inner in part), here)
        return Scalar(part, here, str(part))

    built = node(value)
    assert isinstance(built, Fields)
    return built


def by_hand(base, over):
    """Merge plain values: the few lines that the documentation promises."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return {key: by_hand(base[key], over[key]) if key in base and key in over else over.get(key, base.get(key))
            for key in [*base, *(key for key in over if key not in base)]}  # fmt: skip


def tuples(value):
    if isinstance(value, dict):
        return {key: tuples(inner) for key, inner in value.items()}
    return tuple(tuples(inner) for inner in value) if isinstance(value, list) else value


@given(documents)
def test_nothing_merged_over_a_file_changes_nothing(document):
    base = fields(document)
    assert merge(base, fields({})) == base
    assert plain(merge(fields({}), base)) == plain(base)


@given(documents, documents)
def test_mappings_merge_by_key_and_all_else_replaces(base, over):
    merged = plain(merge(fields(base), fields(over)))
    assert merged == tuples(by_hand(base, over))
    assert list(merged) == list(by_hand(base, over))


@given(regular, regular, regular)
def test_it_does_not_matter_which_two_files_are_merged_first(one, two, three):
    first, second, third = fields(one), fields(two), fields(three)
    left = merge(merge(first, second), third)
    right = merge(first, merge(second, third))
    assert plain(left) == plain(right)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), scalars, max_size=3), min_size=3, max_size=3))
def test_files_that_share_no_key_merge_in_any_order(documents_):
    one, two, three = (
        fields({f"{key}{number}": value for key, value in document.items()})
        for number, document in enumerate(documents_)
    )
    assert merge(merge(one, two), three) == merge(one, merge(two, three))
    assert plain(merge(one, two)) == plain(merge(two, one))


@given(documents)
def test_a_file_merged_over_itself_stays(document):
    assert plain(merge(fields(document), fields(document))) == plain(fields(document))


def test_each_value_keeps_its_place_and_remembers_what_it_replaced():
    base = read("alerts:\n  p99: 500ms\n  queue: 100\n", "tiers.yaml", Findings())
    site = read("\nalerts: {queue: 50}\n", "site.yaml", Findings())
    lab = read("alerts:\n  queue: 20\n", "lab.yaml", Findings())
    merged = merge(merge(base, site), lab)
    assert place_of(merged, ("alerts", "p99")) == Place("tiers.yaml", 2, 8)
    assert place_of(merged, ("alerts", "queue")) == Place("lab.yaml", 2, 10)
    entry = find_entry(merged, ("alerts", "queue"))
    assert entry.replaced.node.place == Place("site.yaml", 2, 17)
    assert entry.replaced.replaced.node.place == Place("tiers.yaml", 3, 10)
    assert entry.replaced.replaced.replaced is None


def test_where_a_secret_is_kept_is_replaced_as_one_thing():
    base = fields({"key": {"secret": "archive-key"}, "env": {"A": "1"}})
    merged = merge(base, fields({"key": {"file": "own.key"}, "env": {"B": "2"}}, "own.yaml"))
    assert plain(merged) == {"key": {"file": "own.key"}, "env": {"A": "1", "B": "2"}}
    replaced = merged.entries["key"].replaced
    assert replaced is not None
    assert plain(replaced.node) == {"secret": "archive-key"}
    nested = fields({"job": {"env": {"A": "1"}}})
    assert plain(merge(nested, fields({"job": {"env": {"B": "2"}}}))) == {
        "job": {"env": {"A": "1", "B": "2"}}
    }
