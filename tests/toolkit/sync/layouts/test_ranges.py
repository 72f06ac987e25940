"""Ranges hold every place that was asked for, few and large, and not much else; chunks are found in what was read."""

from __future__ import annotations

import random

import pytest

from toolkit.sync.layouts.pack import PackEntry
from toolkit.sync.layouts.places import Place
from toolkit.sync.layouts.ranges import GAP_BYTES, NOTHING, Brought, Range, ranges_of
from toolkit.wire.digest import digest_of

A, B = digest_of(b"a"), digest_of(b"b")


def place(pack, start, length):
    return Place(pack, PackEntry(digest_of(b"%d" % start), start, length, length))


def test_neighbours_and_what_lies_near_become_one_range():
    near = 100_000 + GAP_BYTES
    places = [place(A, near, 50_000), place(A, 0, 100_000), place(B, 50_000, 10), place(A, 0, 100_000)]
    assert ranges_of(places) == sorted([Range(A, 0, near + 50_000), Range(B, 50_000, 10)])
    assert ranges_of([place(A, 0, 200_000), place(A, 200_001 + GAP_BYTES, 10)]) == [
        Range(A, 0, 200_000),
        Range(A, 200_001 + GAP_BYTES, 10),
    ]


def test_gaps_are_no_more_than_half_of_what_is_wanted():
    places = [place(A, number * 10_000, 100) for number in range(1000)]
    ranges = ranges_of(places)
    assert sum(each.length for each in ranges) <= 1.5 * 100_000
    assert len(ranges) > 900


@pytest.mark.parametrize("seed", range(5))
def test_every_place_is_in_a_range(seed):
    draw = random.Random(seed)
    packs = {pack: draw.randbytes(500_000) for pack in (A, B)}
    places = [
        place(draw.choice((A, B)), draw.randrange(400_000), draw.randrange(1, 9000)) for _ in range(200)
    ]
    ranges = ranges_of(places)
    brought = Brought(
        (each, packs[each.pack][each.start : each.start + each.length]) for each in reversed(ranges)
    )
    for pack, entry in places:
        assert (
            brought.get(pack, entry.offset, entry.length)
            == packs[pack][entry.offset : entry.offset + entry.length]
        )


def test_what_is_not_here_as_a_whole_is_not_given():
    brought = Brought([(Range(A, 100, 10), b"0123456789"), (Range(A, 200, 10), b"cut")])
    assert brought.get(A, 100, 10) == b"0123456789"
    assert brought.get(A, 109, 1) == b"9"
    for start, length in ((99, 2), (100, 11), (109, 2), (110, 1), (200, 3)):
        assert brought.get(A, start, length) is None
    assert brought.get(B, 100, 10) is None
    assert NOTHING.get(A, 0, 0) is None
