"""nms@1 against a slow and obvious one."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.serving.stages.boxes import nms
from edge_runtime.serving.stages.refused import StageRefusal
from toolkit.protocol.stage_kinds import Nms


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = width * height if width > 0 and height > 0 else 0.0
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / both if both > 0 else 0.0


def slow_nms(params: Nms, boxes: np.ndarray, scores: np.ndarray) -> list[tuple[float, int, int]]:
    found = []
    for kind in range(scores.shape[0]):
        order = sorted(range(len(boxes)), key=lambda each: (-scores[kind, each], each))
        kept: list[int] = []
        for each in order:
            good = scores[kind, each] >= params.score
            if good and all(overlap(boxes[each], boxes[other]) < params.overlap for other in kept):
                kept.append(each)
        found += [(-float(scores[kind, each]), kind, each) for each in kept]
    return sorted(found)[: params.most]


@pytest.mark.parametrize("seed", range(6))
def test_it_keeps_what_a_slow_one_keeps(seed):
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 40, (2, 60, 2))
    boxes = np.concatenate((low, low + rng.integers(0, 25, (2, 60, 2))), axis=2).astype(np.float32)
    scores = (rng.integers(0, 40, (2, 3, 60)) / 40).astype(np.float32)  # with equal ones
    params = Nms(score=0.3, overlap=0.4, most=25)
    best, how_good, classes = nms(params, boxes, scores)
    assert (best.shape, how_good.shape, classes.shape) == ((2, 25, 4), (2, 25), (2, 25))
    for row in range(2):
        wanted = slow_nms(params, boxes[row], scores[row])
        assert len(wanted) > 5
        count = len(wanted)
        np.testing.assert_array_equal(best[row, :count], [boxes[row, each] for _, _, each in wanted])
        np.testing.assert_array_equal(how_good[row, :count], [-score for score, _, _ in wanted])
        np.testing.assert_array_equal(classes[row, :count], [kind for _, kind, _ in wanted])
        assert (how_good[row, count:] == 0).all()
        assert (classes[row, count:] == -1).all()


def test_a_box_that_overlaps_by_just_as_much_is_a_double():
    boxes = np.array([[[0, 0, 2, 1], [0, 0, 1, 1], [5, 5, 6, 6]]], np.float32)
    scores = np.array([[[0.9, 0.8, 0.7]]], np.float32)
    _, how_good, _ = nms(Nms(overlap=0.5, most=3), boxes, scores)
    np.testing.assert_array_equal(how_good, np.array([[0.9, 0.7, 0.0]], np.float32))


def test_centres_and_sizes_become_corners():
    boxes = np.array([[[10, 20, 4, 6]]], np.float32)
    best, _, _ = nms(Nms(form="centre", most=1), boxes, np.ones((1, 1, 1), np.float32))
    np.testing.assert_array_equal(best[0, 0], [8, 17, 12, 23])


def test_doubles_of_another_class_stay_and_nan_is_no_score():
    boxes = np.array([[[0, 0, 9, 9], [0, 0, 9, 9]]], np.float32)
    scores = np.array([[[0.9, np.nan], [np.nan, 0.8]]], np.float32)
    _, how_good, classes = nms(Nms(most=3), boxes, scores)
    np.testing.assert_array_equal(how_good, np.array([[0.9, 0.8, 0.0]], np.float32))
    np.testing.assert_array_equal(classes, [[0, 1, -1]])


def test_only_the_best_candidates_are_looked_at():
    rng = np.random.default_rng(3)
    low = rng.random((1, 5000, 2)) * 1e6
    boxes = np.concatenate((low, low + 1), axis=2).astype(np.float32)
    scores = rng.random((1, 1, 5000)).astype(np.float32)
    _, how_good, _ = nms(Nms(score=0.0, candidates=50, most=100), boxes, scores)
    assert (how_good > 0).sum() == 50
    assert how_good[0, 0] == scores.max()


def test_scores_of_other_boxes_are_refused():
    with pytest.raises(StageRefusal, match="boxes and"):
        nms(Nms(), np.zeros((1, 5, 4), np.float32), np.zeros((1, 2, 6), np.float32))
