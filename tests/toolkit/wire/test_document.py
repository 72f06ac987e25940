"""The rules that all documents share."""

from __future__ import annotations

from typing import ClassVar

import pytest

from toolkit.errors import IntegrityError
from toolkit.wire.document import Document, Sparse, decode_json, decode_msgpack, encode_json, encode_msgpack


class Note(Document, frozen=True, kw_only=True):
    FORMAT: ClassVar[int] = 2
    READS: ClassVar[tuple[int, ...]] = (1, 2)

    zebra: str = ""
    apple: dict[str, int] = {}  # noqa: RUF012 -- msgspec copies it


class Part(Sparse, frozen=True, kw_only=True):
    share: float = 0.5
    name: str = "none at all"


class Whole(Document, frozen=True, kw_only=True, omit_defaults=True):
    FORMAT: ClassVar[int] = 1
    part: Part = Part()
    seconds: float = 30.0
    parts: tuple[Part, ...] = ()


def test_equal_values_give_equal_bytes():
    one, two = Note(apple={"b": 1, "a": 2}), Note(apple={"a": 2, "b": 1})
    assert encode_json(one) == encode_json(two) == b'{"apple":{"a":2,"b":1},"format":2,"zebra":""}'
    assert encode_msgpack(one) == encode_msgpack(two)


def test_the_present_format_and_the_one_before_are_read():
    assert decode_json(b'{"format":2}', Note, what="note") == Note()
    assert decode_json(b'{"format":1,"zebra":"x"}', Note, what="note").zebra == "x"


@pytest.mark.parametrize(
    ("number", "cure"), [(3, "update tiers"), (0, "write it again"), (-1, "write it again")]
)
def test_others_are_refused_with_the_cure(number, cure):
    with pytest.raises(IntegrityError, match=f"format {number}; this version reads Note 1, 2") as caught:
        decode_json(b'{"format":%d,"new":1}' % number, Note, what="note")
    assert cure in caught.value.hint


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"null", b"[]", b"1", b"{}", b'{"format":2,"unknown":1}', b'{"format":"2"}', b'{"format":2,"zebra":1}',
     b"\xff\xfe", b'{"format":2,"zebra":"\xff"}', b"[" * 50_000, b'{"format":2,"apple":' + b"[" * 10_000],
)  # fmt: skip
def test_damage_is_an_integrity_error_not_a_crash(data):
    with pytest.raises(IntegrityError, match="note"):
        decode_json(data, Note, what="note", limit=100_000)


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\x81", b"\x90", b"\xdf\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff", b"\x91" * 9999]
)
def test_damaged_messagepack_too(data):
    with pytest.raises(IntegrityError, match="note"):
        decode_msgpack(data, Note, what="note", limit=100_000)


def test_nothing_is_decoded_above_the_limit():
    large = encode_json(Note(zebra="x" * 1000))
    assert decode_json(large, Note, what="note", limit=len(large)).zebra == "x" * 1000
    with pytest.raises(IntegrityError, match=f"has {len(large)} bytes; at most {len(large) - 1}"):
        decode_json(large, Note, what="note", limit=len(large) - 1)


def test_a_default_is_not_written_whoever_made_the_value():
    """An older machine knows no such key, and the document has its number."""

    computed = Part(share=float("0.5"), name=str(b"none at all", "ascii"))
    assert encode_json(Whole(part=computed, seconds=float("30"))) == b'{"format":1}'
    written = b'{"format":1,"part":{"share":0.5},"parts":[{"share":0.5},{"share":1.0}],"seconds":30.0}'
    again = encode_json(decode_json(written, Whole, what="the document"))
    assert again == b'{"format":1,"parts":[{},{"share":1.0}]}'
