"""Chunks as drifts: the kind of numbers is found, what is no drift goes whole, and nothing damaged comes out."""

from __future__ import annotations

import numpy as np
import pytest
import zstandard

from toolkit.errors import IntegrityError
from toolkit.sync.delta.drift import encode_drifted, open_drifted
from toolkit.wire.digest import digest_of
from toolkit.wire.drift import decode_drift

COUNT = 40_000


def weights(kind: str, drift: float = 1e-3, seed: int = 1) -> tuple[bytes, bytes]:
    """Give numbers and what they became."""
    draw = np.random.default_rng(seed)
    before = draw.standard_normal(COUNT) * 0.05
    after = before * (1 + drift * draw.standard_normal(COUNT))
    if kind == "bf16":
        return tuple(
            (each.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes() for each in (before, after)
        )
    if kind == "int8":
        return tuple(np.round(each * 500).astype("i1").tobytes() for each in (before, after))
    return before.astype(kind).tobytes(), after.astype(kind).tobytes()


def opened(stored: bytes, base: bytes, data: bytes) -> bytes:
    return open_drifted(stored, digest_of(data), len(data), base)


@pytest.mark.parametrize(
    ("kind", "most", "width"),
    [("<f2", 0.22, 2), ("bf16", 0.15, 2), ("<f4", 0.53, 4), ("<f8", 0.77, 8), ("int8", 0.06, 1)],
)
def test_weights_that_drifted_become_small_and_come_back(kind, most, width):
    base, data = weights(kind)
    stored = encode_drifted(base, data)
    assert stored is not None
    assert len(stored) < most * len(data)
    assert decode_drift(stored, digest_of(data), len(data)).width == width
    assert opened(stored, base, data) == data
    assert opened(memoryview(stored), memoryview(base), data) == data


@pytest.mark.parametrize("lead", range(5))
@pytest.mark.parametrize(("more", "fewer"), [(0, 0), (999, 0), (0, 2222)])
def test_numbers_may_begin_anywhere_and_the_chunk_may_grow_or_shrink(lead, more, fewer):
    base, data = weights("<f4")
    base, data = b"<" * lead + base, b">" * lead + data + b"!" * more
    data = data[: len(data) - fewer]
    stored = encode_drifted(base, data)
    assert stored is not None
    assert decode_drift(stored, digest_of(data), len(data)).start == lead % 4
    assert len(stored) < 0.54 * len(data)
    assert opened(stored, base, data) == data


def test_what_saves_too_little_is_no_drift():
    base, data = weights("<f4")
    draw = np.random.default_rng(7)
    other = draw.standard_normal(COUNT).astype("<f4").tobytes()
    assert encode_drifted(base, other) is None
    assert encode_drifted(draw.bytes(len(data)), data) is None
    assert encode_drifted(base[:1000], data) is None
    assert encode_drifted(base[: len(base) // 5], data) is None, "most of it has no base"
    words = b"what compresses well as it is. " * 5000
    assert encode_drifted(base, words[: len(base)]) is None
    moved = (np.frombuffer(words, "u1") + draw.integers(0, 4, len(words), "u1")).tobytes()
    assert encode_drifted(words, moved) is not None
    assert encode_drifted(moved, words) is None, "whole it is smaller than any drift"


def test_another_base_or_any_changed_byte_gives_no_other_chunk():
    base, data = weights("<f2")
    base, data = b"x" + base, b"y" + data
    stored = encode_drifted(base, data)
    assert stored is not None
    for wrong in (base[:-1] + b"?", base[:-5], b""):
        with pytest.raises(IntegrityError, match=digest_of(data)[:12]):
            opened(stored, wrong, data)
    refused = []
    for at in [*range(60), *range(60, len(stored), 499), len(stored) - 1]:
        try:
            came = opened(stored[:at] + bytes([stored[at] ^ 0x10]) + stored[at + 1 :], base, data)
        except IntegrityError as error:
            refused.append(error.message)
        else:
            assert came == data, "only what nobody looks at, such as the window of a frame, may be anything"
    assert len(refused) > 80
    assert all(digest_of(data)[:12] in message for message in refused)
    with pytest.raises(IntegrityError):
        open_drifted(stored, digest_of(data), len(data) + 1, base)


def test_a_reader_written_from_the_formats_page_gives_the_same():
    base, data = weights("<f2")
    base, data = base[:33_333], data[:33_334]
    stored = encode_drifted(base, data)
    assert stored is not None
    width, floats, start = stored[1:4]
    length, at = int.from_bytes(stored[4:8], "big"), 8 + 4 * width
    planes = []
    for number in range(width):
        end = at + int.from_bytes(stored[8 + 4 * number : 12 + 4 * number], "big")
        coding, body = stored[at], stored[at + 1 : end]
        planes.append(
            {0: lambda b: b, 1: zstandard.decompress, 2: lambda b: b * (length // width)}[coding](body)
        )
        at = end
    top = 1 << (8 * width - 1)
    olds = [int.from_bytes(base[i : i + width], "little") for i in range(start, start + length, width)]
    order = (
        sorted(range(len(olds)), key=lambda i: (olds[i] >> (8 * width - 9)) & 255)
        if floats
        else range(len(olds))
    )
    numbers = [b""] * len(olds)
    for i, places in zip(order, zip(*planes, strict=True), strict=True):
        zigzag = int.from_bytes(bytes(places), "little")
        old = olds[i] ^ (2 * top - 1 if olds[i] & top else top) if floats else olds[i]
        new = (old + (zigzag >> 1 ^ -(zigzag & 1))) % (2 * top)
        new ^= (top if new & top else 2 * top - 1) if floats else 0
        numbers[i] = new.to_bytes(width, "little")
    others = stored[at + 1 :]
    assert stored[at] == 0
    assert others[:start] + b"".join(numbers) + others[start:] == data
