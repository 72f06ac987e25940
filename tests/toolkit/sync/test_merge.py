"""What a target keeps from before."""

from __future__ import annotations

import random

import msgspec
import pytest

from toolkit.sync.merge import merged, parents_of, placed, without
from toolkit.wire.digest import digest_of
from toolkit.wire.extras import Extras
from toolkit.wire.index import ChunkRef, Entry, Index, decode_index, encode_index, file_entry
from toolkit.wire.tree import Tree, tree_of


def index(*paths: bytes, content: bytes = b"x") -> Index:
    ref = ChunkRef(digest_of(content), len(content))
    entries = [
        Entry(path[:-1], "folder", 0, 0o755, 0) if path.endswith(b"/") else file_entry(path, [ref])
        for path in sorted(paths)
    ]
    return Index(entries=tuple(entries))


@pytest.mark.parametrize(
    ("new", "old", "left_out", "keep_all", "paths"),
    [
        ([b"a"], [b"a", b"b"], [], False, [b"a"]),
        ([b"a"], [b"a", b"b"], [b"b"], False, [b"a", b"b"]),
        ([b"a"], [b"b", b"c/d"], [], True, [b"a", b"b", b"c/d"]),
        ([], [b"c/", b"c/d", b"c/e", b"f"], [b"c"], False, [b"c", b"c/d", b"c/e"]),
        ([b"a/b"], [b"a"], [], True, [b"a/b"]),
        ([b"a"], [b"a/", b"a/b", b"a/c/d"], [], True, [b"a"]),
        ([b"a/", b"a/b"], [b"a"], [b"a"], False, [b"a", b"a/b"]),
    ],
)
def test_what_is_put_together(new, old, left_out, keep_all, paths):
    together = merged(
        index(*new), index(*old, content=b"old"), left_out=frozenset(left_out), keep_all=keep_all
    )
    assert [entry.path for entry in together.entries] == paths
    digest, data = encode_index(together)
    assert decode_index(data, digest) == together


def test_the_new_entry_wins():
    together = merged(index(b"a"), index(b"a", content=b"old"), left_out=frozenset([b"a"]), keep_all=True)
    assert together == index(b"a")


def test_leaving_out():
    assert without(index(b"a", b"b"), {b"a"}) == index(b"b")
    assert without(index(b"a"), frozenset()) == index(b"a")


def test_folders_above_and_places_inside():
    assert parents_of(b"a/b/c") == [b"a/b", b"a"]
    assert parents_of(b"a") == []
    refs = [ChunkRef(digest_of(b"1"), 5), ChunkRef(digest_of(b"2"), 7)]
    assert list(placed(file_entry(b"a", refs))) == [(0, refs[0]), (5, refs[1])]


def large(seed: int, share: float, *, content: bytes) -> Tree:
    """Make an index in parts of files, folders and links, some where another one has something else."""
    draw = random.Random(seed)
    ref = ChunkRef(digest_of(content), len(content))
    entries: dict[bytes, Entry] = {}
    for number in range(9000):
        path = b"%03d/%04d" % (number // 90, number)
        if draw.random() > share:
            continue
        kind = draw.random()
        if kind < 0.02:
            entries[path] = Entry(path, "link", 0, 0o777, 0, b"", b"there")
        elif kind < 0.05:
            entries[path] = Entry(path, "folder", 0, 0o755, 0)
            entries[path + b"/x"] = file_entry(path + b"/x", [ref])
        elif kind < 0.06:
            entries[path + b"/deep/y"] = file_entry(path + b"/deep/y", [ref])
        else:
            entries[path] = file_entry(path, [ref])
    return tree_of(entries[path] for path in sorted(entries))


def plain(tree: Tree) -> Index:
    return Index(entries=tuple(tree.entries))


@pytest.mark.parametrize("keep_all", [False, True])
@pytest.mark.parametrize(("ours", "theirs"), [(0.9, 0.9), (0.03, 0.9), (0.9, 0.03)])
def test_large_indexes_are_put_together_as_small_ones_are(ours, theirs, keep_all):
    new, old = large(1, ours, content=b"new"), large(2, theirs, content=b"old")
    assert not (new.whole and old.whole)
    assert (new.whole or old.whole) == (ours != theirs)
    left_out = frozenset(random.Random(3).sample([entry.path for entry in old.entries], 40)) | {
        b"017",
        b"055",
    }
    expected = tree_of(merged(plain(new), plain(old), left_out=left_out, keep_all=keep_all).entries)
    together = merged(new, old, left_out=left_out, keep_all=keep_all)
    assert isinstance(together, Tree)
    assert together == expected
    assert list(together.entries) == list(expected.entries)
    assert together not in (new, old)


def test_large_indexes_are_left_out_of_as_small_ones_are():
    tree = large(1, 0.9, content=b"x")
    paths = {entry.path for entry in tree.entries if entry.path.endswith((b"3", b"/x"))} | {b"not there"}
    less = without(tree, paths)
    assert isinstance(less, Tree)
    assert less == tree_of(without(plain(tree), paths).entries)
    assert less.leaves < tree.leaves


@pytest.mark.parametrize("keep_all", [False, True])
def test_large_indexes_keep_the_names_of_a_file_together(keep_all):
    """When the first name leaves, the next one takes its place, also where an index is in parts."""
    tree = large(1, 0.9, content=b"x")
    files = [entry for entry in tree.entries if entry.kind == "file"]
    names = {entry.path for entry in (files[10], files[4000], files[-5])}
    first = min(names)
    linked = tree_of(
        msgspec.structs.replace(entry, extras=Extras(same=first)) if entry.path in names else entry
        for entry in tree.entries
    )
    assert list(without(linked, {first}).entries) == list(without(plain(linked), {first}).entries)
    less = without(linked, {first})
    expected = merged(plain(tree_of(less.entries)), plain(linked), left_out={first}, keep_all=keep_all)
    together = merged(tree_of(less.entries), linked, left_out={first}, keep_all=keep_all)
    assert list(together.entries) == list(expected.entries)


def test_what_lies_below_a_path_is_found_in_an_index_in_parts():
    tree = large(1, 0.9, content=b"x")
    paths = [entry.path for entry in tree.entries]
    ways = {way for path in paths for way in parents_of(path)}
    assert ways.isdisjoint(entry.path for entry in tree.entries if entry.kind != "folder")
    for path in (*ways, *paths[::7], b"", b"000", b"0", b"zzz", b"100/9999"):
        assert tree.has_below(path) == (path in ways)
