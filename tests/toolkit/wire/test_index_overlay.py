"""An index as an overlay: it gives its bytes again, and what cannot be is refused before anything is put together."""

from __future__ import annotations

import msgspec
import pytest

from toolkit.errors import IntegrityError
from toolkit.wire.digest import digest_of, to_raw
from toolkit.wire.index import MAX_INDEX_BYTES, Index, encode_index
from toolkit.wire.index_overlay import (
    MAX_BASES,
    MAX_OVERLAY_BYTES,
    IndexOverlay,
    Shared,
    decode_index_overlay,
    encode_index_overlay,
    is_index_overlay,
)
from toolkit.wire.tree import Root

ONE, TWO = b"0123456789" * 9, b"abcdefghij" * 9
STORE = {digest_of(each): each for each in (ONE, TWO)}
BASES = tuple(to_raw(digest) for digest in STORE)


def written(*runs: object, bases: object = BASES, number: int = 1) -> bytes:
    return msgspec.msgpack.encode({"bases": bases, "format": number, "runs": runs})


def laid(data: bytes) -> bytes:
    return decode_index_overlay(data, what="index x").laid(STORE.__getitem__, what="index x")


def test_runs_of_bases_and_new_bytes_give_the_document():
    runs = (Shared(0, 80, 10), b"new", Shared(1, 0, 3), Shared(0, 0, 5), b"end")
    data = encode_index_overlay(IndexOverlay(bases=BASES, runs=runs))
    assert is_index_overlay(data)
    assert laid(data) == b"0123456789newabc01234end"
    assert decode_index_overlay(data, what="x").size == 24
    assert data == written([0, 80, 10], b"new", [1, 0, 3], [0, 0, 5], b"end"), "as docs/formats.md says"


def test_no_index_and_no_root_looks_like_one():
    assert not is_index_overlay(encode_index(Index())[1])
    assert not is_index_overlay(msgspec.msgpack.encode(Root(parts=()), order="sorted"))
    assert not is_index_overlay(b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (written(b"x", bases=()), "rests on 0 bases"),
        (written(b"x", bases=[bytes(32)] * (MAX_BASES + 1)), "rests on 9 bases"),
        (written(b"x", bases=[b"short"]), "rests on 1 bases"),
        (written([2, 0, 1]), "cannot be"),
        (written([-1, 0, 1]), "cannot be"),
        (written([0, -1, 1]), "cannot be"),
        (written([0, 0, 0]), "cannot be"),
        (written([0, 0, MAX_INDEX_BYTES + 1]), "cannot be"),
        (written(*[[0, 0, MAX_INDEX_BYTES // 2]] * 3), "at most 67108864 are read"),
        (written(b""), "a run without bytes"),
        (written(), "would have 0 bytes"),
        (written([0, 0]), "is not a IndexOverlay"),
        (written([0, 0, 1, 1]), "is not a IndexOverlay"),
        (written("text"), "is not a IndexOverlay"),
        (written(b"x", number=2), "format 2"),
        (written(bytes(MAX_OVERLAY_BYTES)), "at most 4194304 are read"),
        (written([0, 0, 1])[:-1], "is not a IndexOverlay"),
    ],
)
def test_what_cannot_be_is_refused(data, reason):
    with pytest.raises(IntegrityError, match=reason) as caught:
        decode_index_overlay(data, what="index x")
    assert "index x" in caught.value.message


def test_a_run_beyond_the_end_of_its_base_is_refused_and_the_base_named():
    assert laid(written([0, 0, 90])) == ONE
    with pytest.raises(IntegrityError, match=f"index x takes more from index {digest_of(ONE)[:12]}"):
        laid(written([0, 1, 90]))
