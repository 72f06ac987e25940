"""The head of a patch: what cannot be is refused before a byte is made."""

from __future__ import annotations

import struct

import msgspec
import pytest
import zstandard

from toolkit.errors import IntegrityError, UnsafePathError
from toolkit.wire.delta import (
    MAX_HEAD_BYTES,
    MAX_OP_BYTES,
    MAX_SPAN_BYTES,
    START_BYTES,
    Copy,
    Op,
    PatchedFile,
    PatchHead,
    Plain,
    Planes,
    Prefix,
    decode_head,
    encode_head,
    head_length,
    open_section,
    store_section,
    stored_bytes,
)

OPS: tuple[Op, ...] = (
    Copy(10, 5),
    Plain(20, 21),
    Prefix(30, 0, 40, 7),
    Planes(8, 16, 2, True, (5, 2)),
)


def read(head: PatchHead, extra: int = 0) -> PatchHead:
    data = encode_head(head)
    length = head_length(data[:START_BYTES])
    sections = sum(stored_bytes(op) for file in head.files for op in file.ops)
    return decode_head(
        data[:START_BYTES], data[START_BYTES : START_BYTES + length], patch_bytes=len(data) + sections + extra
    )


def head_with(*ops: Op, path: bytes = b"model.onnx", base: bytes = b"model.onnx") -> PatchHead:
    return PatchHead(files=(PatchedFile(path, base, sum(op.length for op in ops), ops),))


def test_a_head_is_read_as_it_was_written() -> None:
    head = head_with(*OPS)
    assert read(head) == head


@pytest.mark.parametrize(
    "op",
    [
        Copy(0, 0), Copy(-1, 0), Copy(1, -1),
        Plain(0, 2), Plain(5, 1), Plain(5, 7), Plain(5, -2), Plain(MAX_OP_BYTES + 1, 5),
        Prefix(5, -1, 5, 5), Prefix(5, 0, 0, 5), Prefix(5, 0, MAX_SPAN_BYTES + 1, 5), Prefix(5, 0, 5, 7),
        Prefix(MAX_OP_BYTES + 1, 0, 5, 5),
        Planes(6, 0, 3, False, (2, 2, 2)), Planes(5, 0, 2, False, (2, 2)), Planes(4, 0, 2, False, (2,)),
        Planes(4, 0, 2, False, (2, 4)), Planes(4, 0, 2, False, (1, 3)), Planes(4, -2, 2, False, (2, 2)),
        Planes(MAX_OP_BYTES + 8, 0, 1, True, (5,)),
    ],
)  # fmt: skip
def test_an_operation_that_cannot_be_is_refused(op: Op) -> None:
    with pytest.raises(IntegrityError):
        read(head_with(*OPS, op))


@pytest.mark.parametrize("path", [b"", b"/etc/passwd", b"../x", b"a//b", b"a\0"])
def test_a_path_that_leaves_is_refused(path: bytes) -> None:
    with pytest.raises(UnsafePathError):
        read(head_with(Plain(4, 5), path=path))
    if path:
        with pytest.raises(UnsafePathError):
            read(head_with(Copy(4, 0), base=path))


def test_sizes_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(IntegrityError, match="up to byte"):
        read(head_with(*OPS), extra=1)
    with pytest.raises(IntegrityError, match="another number"):
        read(PatchHead(files=(PatchedFile(b"f", b"f", 11, (Copy(10, 0),)),)))
    with pytest.raises(IntegrityError, match="twice"):
        read(PatchHead(files=head_with(*OPS).files * 2))
    with pytest.raises(IntegrityError, match="does not name"):
        read(head_with(Copy(4, 0), base=b""))


def test_a_head_is_not_read_before_its_size_is_known() -> None:
    packed = zstandard.ZstdCompressor().compress(bytes(MAX_HEAD_BYTES + 1))
    for coded, size in ((len(packed), MAX_HEAD_BYTES + 1), (MAX_HEAD_BYTES + 1, 5), (0, 5)):
        with pytest.raises(IntegrityError, match="at most"):
            head_length(struct.pack(">4sII", b"TDP1", coded, size))
    with pytest.raises(IntegrityError, match="other than 5 bytes"):  # the frame claims two megabytes
        decode_head(struct.pack(">4sII", b"TDP1", len(packed), 5), packed, patch_bytes=12 + len(packed))
    with pytest.raises(IntegrityError, match="no patch"):
        head_length(b"PK\x03\x04".ljust(START_BYTES))


def test_a_newer_format_is_refused_with_the_cure() -> None:
    newer = msgspec.structs.replace(head_with(*OPS), format=2)
    with pytest.raises(IntegrityError, match="has format 2") as caught:
        read(newer)
    assert "update tiers" in caught.value.hint


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"a" * 5000, bytes(range(256)), b"word " * 900])
def test_a_section_holds_its_bytes_and_is_hardly_longer(data: bytes) -> None:
    stored = store_section(data)
    assert len(stored) <= len(data) + 1
    assert open_section(stored, len(data)) == data
    for wrong in (len(data) - 1, len(data) + 1):
        if not (stored[:1] == b"\x02" or wrong < 0):
            with pytest.raises(IntegrityError):
                open_section(stored, wrong)


def test_a_bomb_in_a_section_allocates_nothing() -> None:
    bomb = b"\x01" + zstandard.ZstdCompressor().compress(bytes(1 << 26))
    with pytest.raises(IntegrityError, match="other than 100 bytes"):
        open_section(bomb, 100)
