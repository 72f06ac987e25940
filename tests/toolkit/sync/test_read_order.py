"""Guessing which shard is read next: exact figures for the same order, nearly the same, a new one each epoch."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.sync.read_order import MAX_NAMES, LookAhead, ReadOrder, by_number

SHARDS = [b"shard-%d.tar" % number for number in range(1, 101)]
SIZE = 1000


class Disk:
    """A tier with room for some shards, which lets go of the one that was read longest ago."""

    def __init__(self, order: ReadOrder, *, ahead: int, room: int = 20) -> None:
        self.look = LookAhead(order, dict.fromkeys(SHARDS, SIZE), ahead=ahead, budget_bytes=ahead * SIZE)
        self.room = room
        self.there: dict[bytes, None] = {}
        self.most = 0

    def read(self, name: bytes) -> None:
        is_there = self.there.pop(name, b"") is None
        self.look.read(name, is_there=is_there)
        self.there[name] = None
        while (wanted := self.look.wanted(self.there.__contains__)) is not None:
            self.there[wanted] = None
            self.look.brought(wanted)
            self.most = max(self.most, self.look.waiting_bytes)
        pinned = set(self.look.waiting)
        for each in [each for each in self.there if each not in pinned][: len(self.there) - self.room]:
            del self.there[each]

    def epoch(self, names: list[bytes]) -> int:
        """Read all of them and say how many were there."""
        before = self.look.tally.there
        for name in names:
            self.read(name)
        return self.look.tally.there - before


def shuffled(seed: int) -> list[bytes]:
    return random.Random(seed).sample(SHARDS, len(SHARDS))


def nearly(names: list[bytes], seed: int) -> list[bytes]:
    """Change a tenth of the places with the next one."""
    names, rng = list(names), random.Random(seed)
    for at in rng.sample(range(len(names) - 1), len(names) // 10):
        names[at], names[at + 1] = names[at + 1], names[at]
    return names


def test_names_are_counted_as_people_count():
    names = [b"b", b"a-10.tar", b"a-9.tar", b"a-9/2", b"a-09.tar", b"\xff7", b"", b"7"]
    assert sorted(names, key=by_number)[:2] == [b"", b"7"]
    assert sorted(shuffled(2), key=by_number) == SHARDS


def test_in_the_order_of_the_names_all_but_the_first_are_there():
    disk = Disk(ReadOrder(SHARDS), ahead=4)
    assert [disk.epoch(SHARDS) for _ in range(3)] == [99, 100, 100]
    assert [Disk(ReadOrder(SHARDS), ahead=0).epoch(SHARDS) for _ in range(3)] == [0, 0, 0]
    assert (disk.look.tally.given_up, disk.most) == (0, 4 * SIZE)


def test_an_order_of_its_own_is_known_from_the_second_epoch_on():
    order = shuffled(1)
    disk = Disk(ReadOrder(SHARDS), ahead=4)
    assert [disk.epoch(order) for _ in range(3)] == [16, 100, 100]
    assert disk.most <= 4 * SIZE


def test_an_order_that_was_learnt_serves_the_next_job():
    order = shuffled(1)
    first = ReadOrder(SHARDS)
    for name in order:
        first.read(name)
    assert first.order == order
    assert Disk(ReadOrder(SHARDS, first.order), ahead=4).epoch(order) == 99
    assert ReadOrder(SHARDS, [b"gone", SHARDS[5], SHARDS[5]]).order == [SHARDS[5], *SHARDS[:5], *SHARDS[6:]]


def test_neighbours_that_change_places_do_not_matter():
    disk = Disk(ReadOrder(SHARDS), ahead=4)
    assert [disk.epoch(nearly(SHARDS, seed)) for seed in range(3)] == [99, 100, 100]


def test_two_readers_at_once_do_not_matter():
    both = [name for pair in zip(SHARDS[:50], SHARDS[50:], strict=True) for name in pair]
    disk = Disk(ReadOrder(SHARDS), ahead=4)
    assert [disk.epoch(both) for _ in range(2)] == [53, 100]


def test_a_new_order_each_epoch_wastes_no_more_than_the_budget():
    disk = Disk(ReadOrder(SHARDS), ahead=4)
    hits = [disk.epoch(shuffled(seed)) for seed in range(5)]
    tally = disk.look.tally
    assert hits == [21, 12, 15, 13, 14]
    assert disk.most <= 4 * SIZE
    assert tally.ahead == tally.used + tally.given_up + len(disk.look.waiting)
    assert (tally.ahead, tally.used, tally.given_up) == (78, 74, 0)
    without = Disk(ReadOrder(SHARDS), ahead=0)
    assert sum(without.epoch(shuffled(seed)) for seed in range(5)) == 1


def test_what_nobody_reads_is_brought_once():
    order = ReadOrder([*SHARDS, b"shard-1.readme"])
    disk = Disk(order, ahead=4)
    disk.look = LookAhead(
        order, dict.fromkeys([*SHARDS, b"shard-1.readme"], SIZE), ahead=4, budget_bytes=4 * SIZE
    )
    for _ in range(4):
        disk.epoch(SHARDS)
    assert (disk.look.tally.given_up, disk.look.tally.given_up_bytes) == (1, SIZE)


def test_a_file_larger_than_the_budget_is_left_to_who_asks():
    look = LookAhead(ReadOrder([b"1", b"2"]), {b"1": 1, b"2": 100}, ahead=4, budget_bytes=99)
    look.read(b"1", is_there=False)
    assert look.wanted(lambda _: False) is None


def test_memory_is_bounded():
    order = ReadOrder((b"%d" % number for number in range(150)), most=100)
    assert len(order) == 100
    order.read(b"110")
    assert order.following(b"110", 200) == [b"%d" % number for number in range(100)]
    assert len(order.order) == 100 < MAX_NAMES


@given(st.lists(st.integers(0, 30)), st.integers(1, 9), st.integers(0, 12_000))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_whatever_is_read_the_budget_holds(reads, ahead, budget):
    names = SHARDS[:25]
    look = LookAhead(ReadOrder(names), dict.fromkeys(names, SIZE), ahead=ahead, budget_bytes=budget)
    for number in reads:
        look.read(SHARDS[number], is_there=False)
        while (wanted := look.wanted(lambda _: False)) is not None:
            look.brought(wanted)
        assert look.waiting_bytes <= budget
        assert sorted(look.order.order) == sorted(names)
