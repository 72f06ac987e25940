"""Indexes: frozen bytes, and a corpus of indexes that an enemy might write."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toolkit.wire.test_chunk import _writer
from toolkit.errors import IntegrityError, UnsafePathError
from toolkit.wire.chunk import MAX_CHUNK_BYTES
from toolkit.wire.digest import digest_of
from toolkit.wire.index import (
    MAX_INDEX_BYTES,
    ChunkRef,
    Entry,
    Index,
    decode_index,
    distinct_chunks,
    encode_index,
    file_entry,
    pack_refs,
)

X, Y = ChunkRef(digest_of(b"x"), 1), ChunkRef(digest_of(b"yy"), 2)


def decoded(*entries: Entry) -> Index:
    digest, data = encode_index(Index(entries=entries))
    return decode_index(data, digest)


def test_the_frozen_index_has_the_same_bytes_today():
    frozen = json.loads((Path(__file__).parent / "vectors/index-1.json").read_text())
    index = _writer().index()
    digest, data = encode_index(index)
    assert (digest, base64.b64encode(data).decode()) == (frozen["digest"], frozen["bytes"])
    assert decode_index(base64.b64decode(frozen["bytes"]), frozen["digest"]) == index


def test_what_was_encoded_is_decoded():
    index = Index(
        entries=(
            Entry(b"a", "folder", 0, 0o755, -1),
            file_entry(b"a/b", [X, Y, X], mode=0o600, mtime_ns=123),
            Entry(b"c", "link", 0, 0o777, 0, b"", b"../../anywhere"),
            file_entry(b"empty", []),
        )
    )
    digest, data = encode_index(index)
    assert decode_index(data, digest) == index
    assert index.total_bytes == 4
    assert list(index.entries[1].refs()) == [X, Y, X]


def test_chunks_are_numbered_by_their_first_appearance():
    index = Index(entries=(file_entry(b"a", [Y, X, Y]), file_entry(b"b", [X, ChunkRef(digest_of(b"z"), 1)])))
    assert [ref.digest for ref in distinct_chunks(index)] == [Y.digest, X.digest, digest_of(b"z")]


def entry(**fields: object) -> Entry:
    return msgspec.structs.replace(file_entry(b"a", [X]), **fields)


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([entry(path=b"b"), entry(path=b"a")], "not sorted"),
        ([entry(), entry()], "not sorted"),
        ([entry(), entry(path=b"a/b")], "below something that is not a folder"),
        (
            [Entry(b"a", "link", 0, 0o777, 0, b"", b"/"), entry(path=b"a/b")],
            "below something that is not a folder",
        ),
        ([entry(), entry(path=b"a-b"), entry(path=b"a/c/d")], "below something that is not a folder"),
        ([entry(size=2)], "has 2 bytes but its chunks have 1"),
        ([entry(size=-1)], "has -1 bytes"),
        ([entry(size=2**62)], "but its chunks have 1"),
        ([entry(mode=0o10000)], "impossible mode"),
        ([entry(mode=-1)], "impossible mode"),
        ([entry(mtime_ns=2**63)], "impossible time"),
        ([entry(chunks=X.digest.encode()[:35])], "chunk list"),
        ([entry(chunks=pack_refs([ChunkRef(X.digest, 0)]), size=0)], "impossible size 0"),
        (
            [entry(chunks=pack_refs([ChunkRef(X.digest, MAX_CHUNK_BYTES + 1)]), size=MAX_CHUNK_BYTES + 1)],
            "impossible size",
        ),
        ([entry(chunks=pack_refs([X, ChunkRef(X.digest, 2)]), size=3)], "impossible size 2"),
        ([entry(kind="folder", size=0)], "chunk list"),
        ([entry(kind="folder", chunks=b"")], "chunk list"),
        ([entry(target=b"x")], "link target"),
        ([Entry(b"a", "link", 0, 0o777, 0)], "link target"),
        ([Entry(b"a", "link", 0, 0o777, 0, b"", b"a\0b")], "link target"),
        ([Entry(b"a", "link", 0, 0o777, 0, b"", b"x" * 5000)], "link target"),
        ([Entry(b"a", "folder", 0, 0o777, 0, b"", b"x")], "link target"),
    ],
)
def test_an_index_that_contradicts_itself_is_refused(entries, complaint):
    with pytest.raises(IntegrityError, match=complaint):
        decoded(*entries)


@pytest.mark.parametrize("path", [b"../a", b"/a", b"a/../b", b"a//b", b"", b"a\0", b".", b"x" * 300])
def test_a_path_that_leaves_is_refused(path):
    with pytest.raises(UnsafePathError):
        decoded(entry(path=path))


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc0", b"\x80", msgspec.msgpack.encode({"format": 1}), msgspec.msgpack.encode({"entries": [], "format": 3}),
     msgspec.msgpack.encode({"entries": [["a"]], "format": 1}), msgspec.msgpack.encode({"entries": 7, "format": 1}),
     msgspec.msgpack.encode({"entries": [[b"a", "device", 0, 0, 0, b"", b""]], "format": 1}),
     msgspec.msgpack.encode({"entries": [[b"a", "file", 0, 0, 0, b"", b"", b"more"]], "format": 1}),
     msgspec.msgpack.encode({"entries": [], "format": 1, "more": 1}), b"\xdd\xff\xff\xff\xff"],
)  # fmt: skip
def test_what_is_no_index_is_refused_though_its_digest_fits(data):
    if data == msgspec.msgpack.encode({"format": 1}):
        assert decode_index(data, digest_of(data)) == Index()
        return
    with pytest.raises(IntegrityError):
        decode_index(data, digest_of(data))


def test_other_bytes_than_named_are_refused():
    digest, data = encode_index(Index(entries=(entry(),)))
    for damaged in (data[:-1], data + b"\0", data[:-1] + b"!", b""):
        with pytest.raises(IntegrityError, match="does not hold the bytes"):
            decode_index(damaged, digest)


def test_nothing_above_the_limit_is_hashed_or_decoded():
    with pytest.raises(IntegrityError, match="at most"):
        decode_index(bytes(MAX_INDEX_BYTES + 1), digest_of(b""))


paths = st.lists(st.sampled_from([b"a", b"b", b"c", b"\xff"]), min_size=1, max_size=3).map(b"/".join)


@settings(max_examples=100, deadline=None)
@given(entries=st.dictionaries(paths, st.lists(st.sampled_from([X, Y]), max_size=4), max_size=6))
def test_an_index_is_taken_if_and_only_if_no_file_lies_below_a_file(entries):
    index = Index(entries=tuple(file_entry(path, refs) for path, refs in sorted(entries.items())))
    digest, data = encode_index(index)
    nested = any(one != two and two.startswith(one + b"/") for one in entries for two in entries)
    if nested:
        with pytest.raises(IntegrityError):
            decode_index(data, digest)
    else:
        assert decode_index(data, digest) == index
