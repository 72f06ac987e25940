"""What scores say, against obvious implementations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_runtime.serving.stages.scores import argmax, mask_to_rle, softmax
from toolkit.protocol.stage_kinds import Argmax, MaskToRle, Softmax


def test_softmax_sums_up_to_one_and_does_not_overflow():
    scores = np.array([[1000.0, 1001.0, 999.0], [0.0, 0.0, 0.0]], np.float32)
    shares = softmax(Softmax(), scores)
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(shares[0], np.exp([-1, 0, -2]) / np.exp([-1, 0, -2]).sum(), rtol=1e-6)
    np.testing.assert_allclose(shares[1], 1 / 3, rtol=1e-6)


def test_argmax_takes_the_first_of_the_highest_along_its_axis():
    scores = np.array([[[1, 5], [7, 5], [7, 2]]], np.float16)
    np.testing.assert_array_equal(argmax(Argmax(), scores), [[1, 0]])
    np.testing.assert_array_equal(argmax(Argmax(axis=2), scores), [[1, 0, 0]])
    assert argmax(Argmax(), scores).dtype == np.int64


def slow_runs(mask: np.ndarray) -> list[int]:
    """COCO's counts, pixel by pixel, down the columns."""
    counts, inside, length = [], False, 0
    for x in range(mask.shape[1]):
        for y in range(mask.shape[0]):
            if bool(mask[y, x]) != inside:
                counts.append(length)
                inside, length = not inside, 0
            length += 1
    return [*counts, length]


@given(
    arrays(
        np.int64,
        st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
        elements=st.integers(0, 2),
    )
)
def test_runs_are_cocos_and_tell_where_the_next_mask_begins(masks):
    runs = mask_to_rle(MaskToRle(), masks)
    assert runs.dtype == np.uint32
    assert runs.tolist() == [count for mask in masks for count in slow_runs(mask != 0)]
    assert runs.sum() == masks.size
    chosen = mask_to_rle(MaskToRle(value=2), masks)
    assert chosen.tolist() == [count for mask in masks for count in slow_runs(mask == 2)]


@pytest.mark.parametrize(
    ("mask", "runs"),
    [
        ([[0, 0], [0, 0]], [4]),
        ([[1, 1], [1, 1]], [0, 4]),
        ([[0, 1], [1, 0]], [1, 2, 1]),
        ([[0, 1], [0, 1]], [2, 2]),
    ],
)
def test_runs_go_down_the_columns_and_begin_with_zeros(mask, runs):
    assert mask_to_rle(MaskToRle(), np.array([mask])).tolist() == runs


def test_no_masks_have_no_runs():
    assert mask_to_rle(MaskToRle(), np.zeros((0, 2, 2), bool)).shape == (0,)
