"""The plane codec: numbers as differences from the numbers of another version, split into byte planes.

When all weights of a network drift a little, no chunk stays and no string matches, but each number is close to the one
in its place before. Floats are mapped to integers in the same order (sign-magnitude to two's complement, so -0.0 and
NaN are numbers like any other), subtracted modulo 2^n, the sign moved to the lowest bit ("zigzag", so small differences
of either sign have upper bytes of zero), and each byte of the numbers becomes a plane. Differences of floats grow with
the size of the number, so floats stand in the order of the base's exponents: a stable sort, which the reader repeats.
Every step is a bijection on the bits. Used by `encode` and `replay`; the only room of the floor that needs NumPy.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from toolkit.errors import MissingExtraError
from toolkit.wire.delta import open_section, store_section

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.unsignedinteger[Any]]

_LEVEL = 1
"""zstd's level 1 beats level 3 on planes: what is left in them is entropy, not repetition."""


def encode_planes(
    base: bytes | memoryview, target: bytes | memoryview, width: int, *, floats: bool
) -> list[bytes]:
    """Give the sections of `target`, one a byte of the numbers, as differences from `base` of the same length.

    Raises:
        MissingExtraError: NumPy is not installed.
    """
    numpy = _numpy()
    before, after = numpy.frombuffer(base, f"<u{width}"), numpy.frombuffer(target, f"<u{width}")
    if floats:
        order = _order(numpy, before, width)
        before, after = _ascending(before[order], width), _ascending(after[order], width)
    difference = after - before
    sign = _signed(difference, width) >> (8 * width - 1)
    zigzag = (difference << 1) ^ sign.view(difference.dtype)
    places = zigzag.view(numpy.uint8).reshape(-1, width)
    return [
        store_section(numpy.ascontiguousarray(places[:, place]).data, level=_LEVEL) for place in range(width)
    ]


def decode_planes(base: bytes | memoryview, sections: list[bytes], *, floats: bool) -> bytes:
    """Give back what `encode_planes` made sections of.

    Raises:
        IntegrityError: a section was damaged.
        MissingExtraError: NumPy is not installed.
    """
    numpy = _numpy()
    width = len(sections)
    before = numpy.frombuffer(base, f"<u{width}")
    places = numpy.empty((len(before), width), numpy.uint8)
    for place, section in enumerate(sections):
        places[:, place] = numpy.frombuffer(open_section(section, len(before)), numpy.uint8)
    zigzag = places.reshape(-1).view(before.dtype)
    difference = (zigzag >> 1) ^ (~(zigzag & 1) + 1)
    if not floats:
        return bytes((before + difference).tobytes())
    order = _order(numpy, before, width)
    after = numpy.empty_like(before)
    after[order] = _descending(_ascending(before[order], width) + difference, width)
    return bytes(after.tobytes())


def is_possible() -> bool:
    """Tell whether NumPy is here."""
    try:
        _numpy()
    except MissingExtraError:
        return False
    return True


def _order(numpy: ModuleType, numbers: Numbers, width: int) -> NDArray[np.intp]:
    """Sort by the eight bits below the sign; stable, so both sides get the same order."""
    magnitude = (numbers >> (8 * width - 9)) if width > 1 else numbers << 1
    order: NDArray[np.intp] = numpy.argsort(magnitude.astype(numpy.uint8), kind="stable")
    return order


def _ascending(numbers: Numbers, width: int) -> Numbers:
    """Map the bits of floats to unsigned integers in the same order: negative ones inverted, others above them."""
    mask = (_signed(numbers, width) >> (8 * width - 1)).view(numbers.dtype) | _top_bit(numbers, width)
    mapped: Numbers = numbers ^ mask
    return mapped


def _descending(numbers: Numbers, width: int) -> Numbers:
    """Invert `_ascending`."""
    mask = (_signed(~numbers, width) >> (8 * width - 1)).view(numbers.dtype) | _top_bit(numbers, width)
    mapped: Numbers = numbers ^ mask
    return mapped


def _signed(numbers: Numbers, width: int) -> NDArray[np.signedinteger[Any]]:
    view: NDArray[np.signedinteger[Any]] = numbers.view(f"<i{width}")
    return view


def _top_bit(numbers: Numbers, width: int) -> np.unsignedinteger[Any]:
    bit: np.unsignedinteger[Any] = numbers.dtype.type(1 << (8 * width - 1))
    return bit


def _numpy() -> ModuleType:
    try:
        return import_module("numpy")
    except ImportError as error:
        raise MissingExtraError("what is stored as differences of weights", extra="edge") from error
