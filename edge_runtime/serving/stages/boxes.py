"""nms@1: the best boxes of each picture without their doubles, class by class, in NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_runtime.engine.base import Array
from edge_runtime.serving.stages.refused import StageRefusal
from toolkit.protocol.stage_kinds import Nms

Floats = npt.NDArray[np.float32]


def nms(params: Nms, boxes: Array, scores: Array) -> tuple[Array, Array, Array]:
    """Give boxes, scores and classes, highest score first, filled up with 0 and -1.

    Greedy: of each class the best box stays, and every box that overlaps it by `overlap` or more goes; then the next.

    Raises:
        StageRefusal: there are not as many scores as boxes.
    """
    rows, count = boxes.shape[:2]
    if scores.shape[0] != rows or scores.shape[2] != count:
        raise StageRefusal(f"{boxes.shape} boxes and {scores.shape} scores")
    best = np.zeros((rows, params.most, 4), np.float32)
    how_good = np.zeros((rows, params.most), np.float32)
    classes = np.full((rows, params.most), -1, np.int64)
    for row in range(rows):
        corners = _corners(params, boxes[row].astype(np.float32, copy=False))
        found = [
            (float(scores[row, kind, each]), kind, int(each))
            for kind in range(scores.shape[1])
            for each in _kept(params, corners, scores[row, kind].astype(np.float32, copy=False))
        ]
        found.sort(key=lambda one: (-one[0], one[1], one[2]))
        for place, (score, kind, each) in enumerate(found[: params.most]):
            best[row, place], how_good[row, place], classes[row, place] = corners[each], score, kind
    return best, how_good, classes


def _corners(params: Nms, boxes: Floats) -> Floats:
    if params.form == "corners":
        return boxes
    middle, half = boxes[:, :2], boxes[:, 2:] / 2
    return np.concatenate((middle - half, middle + half), axis=1)


def _kept(params: Nms, corners: Floats, scores: Floats) -> list[int]:
    """Give the boxes of one class that stay, best first; of equal scores the earlier box comes first."""
    good = np.flatnonzero(scores >= params.score)
    left = good[np.argsort(-scores[good], kind="stable")][: min(params.candidates, good.size)]
    kept: list[int] = []
    while left.size and len(kept) < params.most:
        best, left = int(left[0]), left[1:]
        kept.append(best)
        left = left[_overlap(corners[best], corners[left]) < params.overlap]
    return kept


def _overlap(one: Floats, others: Floats) -> Floats:
    """Give intersection over union; two boxes without area overlap by 0."""
    low, high = np.maximum(one[:2], others[:, :2]), np.minimum(one[2:], others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    together = _area(one[None]) + _area(others) - shared
    share: Floats = np.divide(shared, together, out=np.zeros_like(shared), where=together > 0)
    return share


def _area(boxes: Floats) -> Floats:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    area: Floats = sides[:, 0] * sides[:, 1]
    return area
