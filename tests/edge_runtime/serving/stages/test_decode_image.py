"""PNG and JPEG in, pixels out; whatever else comes is refused in words, before memory is taken for it."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge_runtime.serving.stages.decode_image import decode_image
from edge_runtime.serving.stages.refused import StageRefusal
from toolkit.protocol.stage_kinds import DecodeImage

COLOURS = np.random.default_rng(1).integers(0, 256, (6, 9, 3)).astype(np.uint8)
GREY = COLOURS[:, :, 0]


def packed(pixels: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> np.ndarray:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return np.frombuffer(buffer.getvalue(), np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(side: int) -> np.ndarray:
    """A PNG of a few hundred bytes that claims side × side pixels."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100_000), 9)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", data), chunk(b"IEND", b""))
    return np.frombuffer(b"\x89PNG\r\n\x1a\n" + b"".join(parts), np.uint8)


def test_what_went_into_a_png_comes_out():
    np.testing.assert_array_equal(decode_image(DecodeImage(), packed(COLOURS)), COLOURS)
    np.testing.assert_array_equal(decode_image(DecodeImage(channels=1), packed(GREY))[:, :, 0], GREY)
    np.testing.assert_array_equal(decode_image(DecodeImage(), packed(GREY)), np.dstack([GREY] * 3))


def test_a_jpeg_comes_out_nearly():
    smooth = np.dstack([np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8) * 2] * 3)
    ours = decode_image(DecodeImage(), packed(smooth, "JPEG", quality=95))
    assert np.abs(ours.astype(int) - smooth).max() < 10


def test_palettes_and_transparency_become_colours_and_what_follows_the_end_is_left():
    picture = Image.fromarray(COLOURS).convert("P")
    np.testing.assert_array_equal(
        decode_image(DecodeImage(), packed(picture)), np.asarray(picture.convert("RGB"))
    )
    see_through = np.dstack((COLOURS, GREY))
    np.testing.assert_array_equal(decode_image(DecodeImage(), packed(see_through)), COLOURS)
    filled = np.concatenate((packed(COLOURS), np.zeros(100, np.uint8)))
    np.testing.assert_array_equal(decode_image(DecodeImage(), filled), COLOURS)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (np.zeros(0, np.uint8), "neither a PNG nor a JPEG"),
        (np.frombuffer(b"hello world" * 9, np.uint8), "neither a PNG nor a JPEG"),
        (packed(COLOURS, "BMP"), "neither a PNG nor a JPEG"),
        (packed(COLOURS)[:-30], "damaged or cut off"),
        (packed(COLOURS, "JPEG")[:300], "neither|damaged or cut off"),
        (packed(Image.fromarray(GREY.astype(np.uint16) * 256)), "more than 8 bits"),
        (packed(np.zeros((1, 101, 3), np.uint8)), "a picture of 101 × 1; at most 100"),
    ],
)
def test_what_is_no_picture_for_us_is_refused(data, says):
    with pytest.raises(StageRefusal, match=says):
        decode_image(DecodeImage(most_pixels=100), data)


@pytest.mark.parametrize("side", [6_000, 10_000, 12_000, 60_000, 0x7FFFFFFF])
def test_a_bomb_is_refused_by_what_it_claims(side):
    with pytest.raises(StageRefusal, match=r"at most 33554432|neither"):
        decode_image(DecodeImage(), bomb(side))


@given(st.integers(0, 400), st.binary(min_size=1, max_size=8), st.sampled_from(["PNG", "JPEG"]))
def test_damage_gives_a_picture_or_our_refusal(at, bytes_, kind):
    data = packed(COLOURS, kind).copy()
    at %= data.size
    data[at : at + len(bytes_)] = np.frombuffer(bytes_, np.uint8)[: data.size - at]
    with suppress(StageRefusal):
        assert decode_image(DecodeImage(most_pixels=10_000), data).shape[2] == 3
