"""A table of digests says what a dict would say, and takes little memory."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from toolkit.sync.digest_table import DigestTable


def digests(seed: int, count: int) -> list[bytes]:
    draw = random.Random(seed)
    return [draw.randbytes(32) for _ in range(count)]


@pytest.mark.parametrize("alike", [0, 3, 31])
def test_it_says_what_a_dict_says(alike):
    """Also when digests share their first bytes, as somebody might choose them to."""
    draw = random.Random(alike)
    keys = [(bytes(alike) + raw)[:32] for raw in digests(1, 300)]
    table, model = DigestTable(beside=4), dict[bytes, bytes]()
    for _ in range(4000):
        raw, beside = draw.choice(keys), draw.randbytes(4)
        if draw.random() < 0.3:
            assert table.discard(raw) == (model.pop(raw, None) is not None)
        else:
            assert table.put(raw, beside) == (raw not in model)
            model[raw] = beside
        assert table.get(raw) == model.get(raw)
        assert len(table) == len(model)
    assert {raw: table.get(raw) for raw in table} == model
    assert all((raw in table) == (raw in model) for raw in keys)


def test_bytes_across_two_records_are_no_digest():
    first, second = b"abc" + bytes(13) + b"abc" + bytes(13), b"abc" + bytes(range(29))
    across = first[16:] + second[:16]
    table = DigestTable()
    assert table.put(first)
    assert table.put(second)
    assert bytes(first + second).find(across) == 16  # they lie one behind the other
    assert across not in table
    assert table.put(across)
    assert not table.put(across)
    assert len(table) == 3


def test_a_record_of_another_size_is_refused():
    table = DigestTable(beside=4)
    for raw, beside in ((bytes(32), b""), (bytes(31), bytes(5)), (bytes(36), b"")):
        with pytest.raises(ValueError, match="no record"):
            table.put(raw, beside)


def test_a_record_takes_little_more_than_its_bytes():
    """After buckets were split; a dict of bytes takes some 170 bytes, one of objects 300 and more."""
    count = 40_000
    draw = random.Random(5)
    tracemalloc.start()
    try:
        table = DigestTable(beside=16)
        for _ in range(count):
            table.put(draw.randbytes(32), bytes(16))
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(table) == count
    assert now / count < 85
    assert peak / count < 140
