"""softmax@1, argmax@1 and mask-to-rle@1: what a model's scores say, in fewer numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_runtime.engine.base import Array
from toolkit.protocol.stage_kinds import Argmax, MaskToRle, Softmax


def softmax(params: Softmax, scores: Array) -> Array:
    """Give exp(score) / sum of exp along the axis; the highest score is subtracted first, so nothing overflows."""
    wide = scores.astype(np.float64)
    wide -= wide.max(axis=params.axis, keepdims=True, initial=-np.inf)
    np.exp(wide, out=wide)
    wide /= wide.sum(axis=params.axis, keepdims=True)
    return wide.astype(scores.dtype)


def argmax(params: Argmax, scores: Array) -> Array:
    """Give the number of the highest score along the axis; the first of equal ones."""
    highest: Array = scores.argmax(axis=params.axis).astype(np.int64, copy=False)
    return highest


def mask_to_rle(params: MaskToRle, masks: Array) -> Array:
    """Give lengths of runs, as COCO's uncompressed counts: down the columns, beginning with zeros (maybe none of them).

    https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.h. Masks follow each other: the runs of each
    sum up to height × width, which tells where the next one begins.
    """
    chosen = masks != 0 if params.value is None else masks == params.value
    runs = [_runs(np.ravel(mask, order="F")) for mask in chosen]
    return np.concatenate(runs) if runs else np.zeros(0, np.uint32)


def _runs(flat: Array) -> npt.NDArray[np.uint32]:
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    borders = np.concatenate(([0], changes, [flat.size]))
    lengths = np.diff(borders)
    if flat.size and flat[0]:
        lengths = np.concatenate(([0], lengths))
    return lengths.astype(np.uint32)
