"""picture@1, resize@1 and normalise@1: pictures in NumPy, so that every machine gets the same numbers.

Both work on height × width × channels. Pixels are squares whose middles are at halves, as in ONNX's Resize with
`half_pixel`: place y of the new picture is y' = (y + 0.5) · old / new - 0.5 of the old one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_runtime.engine.base import Array
from edge_runtime.serving.stages.refused import StageRefusal
from toolkit.protocol.stage_kinds import Normalise, Picture, Resize


def take(_: Picture, picture: Array) -> Array:
    """Give the picture on: its form was checked where it came in."""
    return picture


def resize(params: Resize, picture: Array) -> Array:
    """Give the picture another size; bytes are rounded to the nearest, half to even.

    Raises:
        StageRefusal: the picture has no pixels.
    """
    height, width, channels = picture.shape
    if not height or not width:
        raise StageRefusal(f"a picture of {width} × {height}")
    if not params.letterbox:
        return _resized(params, picture, params.height, params.width)
    shrink = min(params.height / height, params.width / width)
    inner = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    top, left = (params.height - inner[0]) // 2, (params.width - inner[1]) // 2
    field = np.full((params.height, params.width, channels), _filling(params, picture), picture.dtype)
    field[top : top + inner[0], left : left + inner[1]] = _resized(params, picture, *inner)
    return field


def _filling(params: Resize, picture: Array) -> float:
    return float(np.clip(round(params.fill), 0, 255)) if picture.dtype == np.uint8 else params.fill


def _resized(params: Resize, picture: Array, height: int, width: int) -> Array:
    if picture.shape[:2] == (height, width):
        return picture
    if params.method == "nearest":
        rows, columns = _nearest(picture.shape[0], height), _nearest(picture.shape[1], width)
        return picture[rows[:, None], columns[None, :]]
    mixed = _mixed(_mixed(picture, height, axis=0), width, axis=1)
    return np.rint(mixed).astype(np.uint8) if picture.dtype == np.uint8 else mixed


def _nearest(old: int, new: int) -> npt.NDArray[np.intp]:
    """Say which old pixel covers the middle of each new one."""
    below: npt.NDArray[np.intp] = np.floor((np.arange(new) + 0.5) * (old / new)).astype(np.intp)
    return np.minimum(below, old - 1)


def _mixed(picture: Array, new: int, *, axis: int) -> npt.NDArray[np.float32]:
    """Mix the two old pixels around the middle of each new one, along one axis."""
    old = picture.shape[axis]
    place = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    before = np.floor(place).astype(np.intp)
    share = (place - before).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    first = picture.take(before, axis).astype(np.float32)
    second: npt.NDArray[np.float32] = picture.take(np.minimum(before + 1, old - 1), axis).astype(np.float32)
    second -= first
    second *= share
    second += first
    return second


def normalise(params: Normalise, picture: Array) -> Array:
    """Give one row of what the model takes: (picture × scale - mean) / std, in its layout and type."""
    if params.dtype == "uint8":
        changed: Array = picture
    else:
        numbers = picture.astype(np.float32) * np.float32(params.scale)
        numbers -= np.array(params.mean, np.float32)
        numbers /= np.array(params.std, np.float32)
        changed = numbers.astype(params.dtype, copy=False)
    if params.layout == "chw":
        changed = changed.transpose(2, 0, 1)
    return np.ascontiguousarray(changed)[None]
