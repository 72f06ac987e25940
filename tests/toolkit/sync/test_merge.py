"""What a target keeps from before."""

from __future__ import annotations

import pytest

from toolkit.sync.merge import merged, parents_of, placed, without
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef, Entry, Index, decode_index, encode_index, file_entry


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
