"""The bitmap says which chunks are here, and refuses bytes that cannot be one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import IntegrityError
from toolkit.protocol.bitmap import Bitmap


@given(
    st.integers(0, 300).flatmap(
        lambda size: st.tuples(st.just(size), st.sets(st.integers(0, max(size - 1, 0))))
    )
)
def test_it_holds_what_was_set(drawn: tuple[int, set[int]]) -> None:
    size, numbers = drawn
    numbers = {number for number in numbers if number < size}
    bitmap = Bitmap.empty(size).with_set(numbers)
    assert {number for number in range(-3, size + 3) if number in bitmap} == numbers
    assert bitmap.count == len(numbers)
    assert bitmap.full == (len(numbers) == size)
    assert list(bitmap.missing()) == sorted(set(range(size)) - numbers)
    assert list(bitmap.missing(size // 2)) == sorted(set(range(size // 2, size)) - numbers)
    assert bitmap.without(numbers) == Bitmap.empty(size)
    assert Bitmap.load(size, bitmap.raw) == bitmap


@pytest.mark.parametrize(("size", "raw"), [(8, b""), (8, b"\0\0"), (9, b"\0\2"), (0, b"\0")])
def test_bytes_that_do_not_fit_are_refused(size: int, raw: bytes) -> None:
    with pytest.raises(IntegrityError, match="cannot be"):
        Bitmap.load(size, raw)
