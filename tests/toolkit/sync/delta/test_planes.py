"""Each bit comes back, whatever the numbers are; and small drift makes small patches."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import IntegrityError
from toolkit.sync.delta.planes import decode_planes, encode_planes

FLOATS = {2: np.float16, 4: np.float32, 8: np.float64}


@st.composite
def two_versions(draw: st.DrawFn) -> tuple[int, bytes, bytes]:
    """Numbers of any bits, and others that are equal, near, or anything."""
    width = draw(st.sampled_from([1, 2, 4, 8]))
    count = draw(st.integers(0, 50))
    base = draw(st.binary(min_size=count * width, max_size=count * width))
    near = np.frombuffer(base, f"<u{width}") + np.array(
        draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)), f"<u{width}"
    )
    anything = st.binary(min_size=count * width, max_size=count * width)
    return width, base, draw(st.one_of(st.just(base), st.just(near.tobytes()), anything))


@given(two_versions(), st.booleans())
def test_every_bit_comes_back(versions: tuple[int, bytes, bytes], floats: bool) -> None:
    width, base, target = versions
    sections = encode_planes(base, target, width, floats=floats)
    assert len(sections) == width
    assert decode_planes(base, sections, floats=floats) == target


@pytest.mark.parametrize("width", [2, 4, 8])
def test_numbers_that_are_none_and_zeros_of_either_sign_come_back(width: int) -> None:
    kind = FLOATS[width]
    tiny = np.finfo(kind).smallest_subnormal
    values = np.array([0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, tiny, -tiny, 1, -1], kind)
    payload = np.frombuffer(b"\x01" * width + b"\xff" * width, kind)  # NaN with other bits than NumPy's own
    for base in (values, np.roll(values, 3)):
        for target in (np.concatenate([values, payload]), np.concatenate([np.roll(values, 5), payload])):
            before = np.concatenate([base, payload[::-1]]).tobytes()
            sections = encode_planes(before, target.tobytes(), width, floats=True)
            assert decode_planes(before, sections, floats=True) == target.tobytes()


@pytest.mark.parametrize(("width", "most"), [(2, 0.30), (4, 0.56), (8, 0.80)])
def test_floats_that_drift_a_little_make_a_small_patch(width: int, most: float) -> None:
    draw = np.random.default_rng(3)
    base = draw.standard_normal(100_000) * 0.05
    target = base + draw.standard_normal(100_000) * 0.05e-3
    before, after = (each.astype(FLOATS[width]).tobytes() for each in (base, target))
    sections = encode_planes(before, after, width, floats=True)
    share = sum(map(len, sections)) / len(after)
    assert share < most, share
    assert share < sum(map(len, encode_planes(before, after, width, floats=False))) / len(after)


def test_equal_numbers_take_two_bytes_a_plane() -> None:
    assert [len(each) for each in encode_planes(b"abcd" * 100, b"abcd" * 100, 4, floats=True)] == [2] * 4


@pytest.mark.parametrize("damage", [b"", b"\x00", b"\x00ab", b"\x01ab", b"\x02", b"\x02ab", b"\x07a"])
def test_a_damaged_section_is_refused(damage: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_planes(b"abcd", [damage], floats=False)


def test_without_numpy_it_names_what_brings_it() -> None:
    program = (
        "import sys; sys.modules['numpy'] = None\n"
        "from toolkit.errors import MissingExtraError\n"
        "from toolkit.sync.delta.planes import encode_planes\n"
        "try: encode_planes(b'a', b'b', 1, floats=False)\n"
        "except MissingExtraError as error: print(error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "pip install 'tiers[edge]'"
