"""What a new index shares with older ones: whatever changed, the overlay gives the new bytes, and it is small."""

from __future__ import annotations

import random

import pytest

from toolkit.sync.layouts.list_runs import LONG_LIST_BYTES, Known, has_long_list, overlay_of
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.entry import PACKED, Entry
from toolkit.wire.index import Index, encode_index
from toolkit.wire.index_overlay import Shared, decode_index_overlay

MANY = 16_000
"""Chunks of a file of 1 GiB."""


def record(draw: random.Random) -> bytes:
    return PACKED.pack(draw.randbytes(32), 65_536)


def records(draw: random.Random, count: int) -> list[bytes]:
    return [record(draw) for _ in range(count)]


def document(*files: list[bytes], mtime_ns: int = 1) -> bytes:
    entries = [
        Entry(b"%03d" % number, "file", 65_536 * len(each), 0o644, mtime_ns, b"".join(each))
        for number, each in enumerate(files)
    ]
    return encode_index(Index(entries=tuple(entries)))[1]


def opened(form: bytes | None, *bases: bytes) -> bytes:
    assert form is not None, "it rests whole"
    by_digest = {digest_of(base): base for base in bases}
    return decode_index_overlay(form, what="x").laid(by_digest.__getitem__, what="x")


def known(data: bytes, form: bytes | None = None) -> Known:
    overlay = decode_index_overlay(form, what="x") if form else None
    return Known(digest_of(data), data, overlay)


CHANGES = {
    "1 MiB inserted": (lambda new, of: of[:100] + new(17) + of[101:], 900),
    "4 KiB overwritten": (lambda new, of: of[:9000] + new(1) + of[9001:], 200),
    "more at the beginning": (lambda new, of: new(20) + of, 1000),
    "more at the end": (lambda new, of: of + new(20), 1000),
    "less at the beginning": (lambda _, of: of[5000:], 200),
    "less at the end": (lambda _, of: of[:5000], 200),
    "halves exchanged": (lambda _, of: of[8000:] + of[:8000], 200),
    "every 50th another one": (
        lambda new, of: [new(1)[0] if at % 50 == 7 else each for at, each in enumerate(of)],
        25_000,
    ),
    "every 50th begins as before": (
        lambda new, of: [each[:20] + new(1)[0][20:] if at % 50 == 7 else each for at, each in enumerate(of)],
        25_000,
    ),
    "every 50th gone": (lambda _, of: [each for at, each in enumerate(of) if at % 50], 10_000),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_a_large_file_is_small(name):
    change, most = CHANGES[name]
    draw = random.Random(1)
    old = records(draw, MANY)
    before = document(old)
    after = document(change(lambda count: records(draw, count), old), mtime_ns=2**60)
    form = overlay_of(after, [known(before)])
    assert opened(form, before) == after
    assert len(form) <= most


@pytest.mark.parametrize("seed", range(8))
def test_whatever_changes_the_new_bytes_come_out(seed):
    draw = random.Random(seed)
    few = records(draw, 5)  # runs of one chunk, as of zeros
    old = [
        [draw.choice(few) if draw.random() < seed / 10 else record(draw) for _ in range(draw.randrange(9000))]
        for _ in range(6)
    ]
    new = [list(each) for each in old]
    for _ in range(draw.randrange(60)):
        file = draw.choice(new)
        at, many = draw.randrange(len(file) + 1), draw.randrange(200)
        file[at : at + draw.randrange(many + 1)] = draw.choice([records(draw, many), file[:many], few])
    draw.shuffle(new)
    before, after = document(*old), document(*new, mtime_ns=-5)
    form = overlay_of(after, [known(before)])
    assert form is None or opened(form, before) == after


def test_an_overlay_of_an_overlay_rests_on_what_rests_whole():
    draw = random.Random(2)
    of = records(draw, MANY)
    base = document(of)
    last, form = base, None
    for step in range(12):
        of[1000 * step + 3 : 1000 * step + 5] = records(draw, 9)
        after = document(of, mtime_ns=step)
        form = overlay_of(after, [known(last, form)])
        assert opened(form, base) == after
        last = after


def test_parts_of_two_documents_may_be_in_one():
    draw = random.Random(3)
    one, two, three = (records(draw, 4000) for _ in range(3))
    first, second = document(one, two), document(three)
    after = document(one, [*two, *three[:2000]], three[1:])
    form = overlay_of(after, [known(first), known(second)])
    assert opened(form, first, second) == after
    assert len(form) < 500


def test_what_shares_little_rests_whole():
    draw = random.Random(4)
    old = records(draw, MANY)
    assert overlay_of(document(records(draw, MANY)), [known(document(old))]) is None
    half = [record(draw) if at % 2 else each for at, each in enumerate(old)]
    assert overlay_of(document(half), [known(document(old))]) is None


def test_overlays_that_have_grown_give_way_to_a_whole_one():
    """A hundred inserts of 1 MiB: on average far less is written than a list, and no overlay becomes large."""
    draw = random.Random(5)
    of = records(draw, MANY)
    last, form = document(of), None
    written: list[int] = []
    whole = 0
    for step in range(100):
        at = draw.randrange(len(of))
        of[at:at] = records(draw, 17)
        after = document(of, mtime_ns=step)
        form = overlay_of(after, [known(last, form)])
        written.append(len(form or after))
        whole += form is None
        last = after
    assert 1 <= whole <= 3
    assert sum(written) / len(written) < 40_000


def test_a_document_of_small_files_has_no_long_list():
    draw = random.Random(6)
    assert not has_long_list(document(*[records(draw, 3) for _ in range(900)]))
    count = LONG_LIST_BYTES // PACKED.size
    assert not has_long_list(document(records(draw, count)))
    assert has_long_list(document(records(draw, count + 1)))


def test_what_is_taken_from_an_overlay_is_what_it_lays():
    draw = random.Random(7)
    of = records(draw, 3000)
    base = document(of)
    of[5:7], of[2000:2900] = records(draw, 3), records(draw, 1)
    after = document(of)
    form = overlay_of(after, [known(base)])
    assert form is not None
    over = known(after, form)
    assert any(isinstance(run, Shared) for run in over.overlay.runs)
    for _ in range(200):
        start = draw.randrange(len(after))
        length = draw.randrange(1, len(after) - start + 1)
        parts = [
            base[each[1] : each[1] + each[2]] if not isinstance(each, bytes) else each
            for each in over.take(start, length)
        ]
        assert b"".join(parts) == after[start : start + length]
    assert {each[0] for each in over.take(0, len(after)) if not isinstance(each, bytes)} == {
        Digest(digest_of(base))
    }
