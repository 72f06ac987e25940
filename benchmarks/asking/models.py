"""The models that the serving benchmarks ask, written as ONNX, and an image for each.

Two sizes, each for inputs of 4 kB and of 256 kB: *tiny* has two convolutions (6 kB of weights, some 20 µs), *real* has
four on 128×128 (some ms on one core), as a small segmentation network has. `build` writes one file; `asking.bodies`
puts an image of it into a request, and every server of `serving.py` loads the same file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OUTPUT = "scores"
CLASSES = 4
LOUDNESS = 100.0
"""Scores stay far below it, and version n adds n times this to each: an answer proves which version gave it."""


@dataclass(frozen=True)
class Shape:
    """One model: what it takes, and its convolutions as (channels out, kernel, stride)."""

    name: str
    channels: int
    side: int
    convolutions: tuple[tuple[int, int, int], ...]
    small: bool = False
    """Takes bytes 0 to 255 at half the side, and makes floats of twice the side of them itself."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Axes of one image, without the batch."""
        side = self.side // 2 if self.small else self.side
        return (self.channels, side, side)

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Element type of an image."""
        return np.dtype(np.uint8 if self.small else np.float32)

    @property
    def input_bytes(self) -> int:
        """Bytes of one image."""
        return int(np.prod(self.input_shape)) * self.dtype.itemsize


REAL = ((32, 3, 1), (64, 3, 2), (64, 3, 1), (96, 3, 2))
SHAPES = {
    each.name: each
    for each in (
        Shape("tiny, 4 kB", 1, 32, ((8, 3, 1), (16, 3, 1))),
        Shape("tiny, 256 kB", 1, 256, ((8, 8, 8), (16, 3, 1))),
        Shape("real, 4 kB", 1, 128, REAL, small=True),
        Shape("real, 256 kB", 4, 128, REAL),
    )
}


def image_of(shape: Shape, seed: int = 0) -> np.ndarray:
    """Give one image with a batch axis; each seed has another one."""
    draw = np.random.default_rng(seed)
    axes = (1, *shape.input_shape)
    return draw.integers(0, 256, axes, np.uint8) if shape.small else draw.random(axes, np.float32)


def build(shape: Shape, path: Path, version: int = 0) -> Path:
    """Write the model of this shape; versions differ in what they add to their scores."""
    draw = np.random.default_rng(1)
    constants, nodes, last, channels = [], [], "image", shape.channels
    if shape.small:
        constants += [
            numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "zoom"),
            numpy_helper.from_array(np.array(1 / 255, np.float32), "unit"),
        ]
        nodes += [
            helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["floats", "unit"], ["scaled"]),
            helper.make_node("Resize", ["scaled", "", "zoom"], ["large"], mode="nearest"),
        ]
        last = "large"
    for number, (width, kernel, stride) in enumerate(shape.convolutions):
        fan = channels * kernel * kernel
        weights = draw.standard_normal((width, channels, kernel, kernel), dtype=np.float32) / fan**0.5
        constants.append(numpy_helper.from_array(weights.astype(np.float32), f"w{number}"))
        pads = [0] * 4 if kernel == stride else [kernel // 2] * 4
        nodes += [
            helper.make_node(
                "Conv", [last, f"w{number}"], [f"c{number}"], strides=[stride, stride], pads=pads
            ),
            helper.make_node("Relu", [f"c{number}"], [f"r{number}"]),
        ]
        last, channels = f"r{number}", width
    head = draw.standard_normal((channels, CLASSES), dtype=np.float32) / channels**0.5
    constants += [
        numpy_helper.from_array(head.astype(np.float32), "head"),
        numpy_helper.from_array(np.full(CLASSES, version * LOUDNESS, np.float32), "loudness"),
    ]
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head", "loudness"], [OUTPUT]),
    ]
    kind = TensorProto.UINT8 if shape.small else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "bench",
        [helper.make_tensor_value_info("image", kind, ["batch", *shape.input_shape])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", CLASSES])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def version_of(scores: np.ndarray) -> int:
    """Give the version whose model gave these scores."""
    return round(float(scores.reshape(-1)[0]) / LOUDNESS)
