"""Where each piece of a draft comes from, and how the work is shared out; both without a disk."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.sync.layouts.pieces import Piece, Place, differing, lacking, staying, tasks
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef, file_entry

CHUNKS = [ChunkRef(digest_of(bytes([number])), 3_000_000 + number) for number in range(5)]
A, B, C, D, E = CHUNKS


def sources(drafts, have):
    """For each piece: where from, in order: a path, 'source', or later:path."""
    lacks = lacking(drafts, have)
    told = {
        entry.path: [(piece.offset, piece.place.path if piece.place else b"source") for piece in pieces]
        for entry, pieces in lacks.first
    }
    for entry, pieces in lacks.then:
        told[entry.path] += [(piece.offset, b"later:" + piece.place.path) for piece in pieces]
    return told, lacks.moving


def test_each_chunk_moves_once_and_copies_come_from_the_first_place():
    drafts = [
        (file_entry(b"1", [A, B, A]), Place(b"p1", 0), set()),
        (file_entry(b"2", [B, C]), Place(b"p2", 0), set()),
    ]
    told, moving = sources(drafts, {C.digest: Place(b"old", 7)})
    assert moving == {A.digest: A.size, B.digest: B.size}
    assert told[b"1"] == [(0, b"source"), (A.size, b"source"), (A.size + B.size, b"later:p1")]
    assert told[b"2"] == [(B.size, b"old"), (0, b"later:p1")]


def test_what_a_draft_holds_already_is_neither_moved_nor_copied_and_serves_others():
    drafts = [
        (file_entry(b"1", [A, B]), Place(b"p1", 0), set()),
        (file_entry(b"2", [C, A]), Place(b"p2", 0), {C.size}),
    ]
    told, moving = sources(drafts, {})
    assert moving == {B.digest: B.size, C.digest: C.size}
    assert told[b"1"] == [(0, b"p2"), (A.size, b"source")]
    assert told[b"2"] == [(0, b"source")]


def test_what_the_last_version_has_at_the_same_offset_is_taken_from_there():
    elsewhere = Place(b"other", 5)
    pieces = [Piece(0, A, elsewhere), Piece(A.size, B, None), Piece(A.size + B.size, C, elsewhere)]
    before = [(0, A), (A.size, B), (7, C)]
    assert [piece.place for piece in staying(pieces, b"last", before)] == [Place(b"last", 0), None, elsewhere]


def test_an_empty_file_is_work_too():
    lacks = lacking([(file_entry(b"1", []), Place(b"p1", 0), set())], {})
    assert [[entry.path for entry, _ in task] for task in tasks(lacks.first)] == [[b"1"]]


files = st.lists(st.lists(st.sampled_from(CHUNKS), max_size=6), max_size=150)


@settings(deadline=None)
@given(files=files, known=st.sets(st.sampled_from(CHUNKS)))
def test_every_piece_has_one_origin_and_every_task_its_share(files, known):
    drafts = [
        (file_entry(b"%d" % number, refs), Place(b"p%d" % number, 0), set())
        for number, refs in enumerate(files)
    ]
    lacks = lacking(drafts, {ref.digest: Place(b"old", 0) for ref in known})
    pieces = [
        (entry.path, piece.offset)
        for stage in (lacks.first, lacks.then)
        for entry, ps in stage
        for piece in ps
    ]
    assert len(pieces) == len(set(pieces)) == sum(len(refs) for refs in files)
    assert lacks.moving.keys() == {ref.digest for refs in files for ref in refs} - {
        ref.digest for ref in known
    }
    shares = list(tasks(lacks.first))
    shared = [(entry.path, piece.offset) for task in shares for entry, ps in task for piece in ps]
    assert sorted(shared) == sorted((entry.path, piece.offset) for entry, ps in lacks.first for piece in ps)
    assert {entry.path for task in shares for entry, _ in task} == {entry.path for entry, _, _ in drafts}
    assert all(len(task) <= 64 for task in shares)


@settings(deadline=None)
@given(
    size=st.integers(0, 20_000),
    offset=st.integers(0, 10_000),
    changes=st.sets(st.integers(0, 19_999), max_size=6),
    cut=st.integers(0, 20_000),
)
def test_blocks_that_differ_are_those_of_the_file_that_hold_a_change(size, offset, changes, cut):
    old = bytes(size)
    new = bytearray(old)
    for change in changes:
        if change < size:
            new[change] = 1
    have = old[: min(cut, size)]
    ranges = differing(memoryview(new), memoryview(have), offset)
    wanted = {
        (offset + place) // 4096 for place in range(size) if place >= len(have) or new[place] != have[place]
    }
    found = {(offset + place) // 4096 for start, end in ranges for place in (start, end - 1)}
    assert {
        block
        for start, end in ranges
        for block in range((offset + start) // 4096, (offset + end - 1) // 4096 + 1)
    } == wanted
    assert found <= wanted
    assert all(before[1] < after[0] for before, after in itertools.pairwise(ranges))
