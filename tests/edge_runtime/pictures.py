"""A small model that looks at pictures of 2 × 2 grey pixels, its stages, and golden examples that are PNG files."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from toolkit.wire.stages import Stage, Stages

WEIGHTS = np.array([[4, 0, 1], [0, 4, 1], [1, 1, 1], [0, 1, 2]], np.float32)
STAGES = Stages(
    pre=(
        Stage(name="decode-image", of=("image",), params={"channels": 1}),
        Stage(name="resize", of=("image",), params={"height": 2, "width": 2, "method": "nearest"}),
        Stage(name="normalise", of=("image",), into=("x",), params={"scale": 1 / 64}),
    ),
    post=(Stage(name="argmax", of=("scores",), into=("label",), keep=True),),
)
ROWS_STAGES = Stages(post=STAGES.post)


def picture_model(weights: np.ndarray = WEIGHTS) -> bytes:
    """ONNX: scores = the four pixels of x float32[n, 1, 2, 2] @ weights."""
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "W"], ["scores"])],
        "pictures",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 2, 2])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(weights.astype(np.float32), "W")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(11).integers(0, 256, (count, 2, 2)).astype(np.uint8)


def png(grey: np.ndarray, times: int = 1) -> bytes:
    """A PNG whose pixels are so many times larger than those of `grey`."""
    buffer = io.BytesIO()
    Image.fromarray(grey.repeat(times, axis=0).repeat(times, axis=1)).save(buffer, "PNG")
    return buffer.getvalue()


def filled(files: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Files of different lengths as one array with filling behind, and their lengths."""
    lengths = np.array([len(each) for each in files])
    rows = [np.frombuffer(each.ljust(lengths.max(), b"\xaa"), np.uint8) for each in files]
    return np.stack(rows), lengths


def answers(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores = grey.reshape(len(grey), 4).astype(np.float32) / 64 @ WEIGHTS
    return scores, scores.argmax(axis=1)


def golden_pictures(count: int = 6, **changes: np.ndarray) -> bytes:
    """A golden file of PNGs of different sizes."""
    grey = pixels(count)
    scores, labels = answers(grey)
    files, lengths = filled([png(each, 1 + number % 3) for number, each in enumerate(grey)])
    arrays = {
        "input.image": files, "length.input.image": lengths,
        "output.scores": scores, "output.label": labels, "labels": labels,
    }  # fmt: skip
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, **{**arrays, **{name.replace("__", "."): each for name, each in changes.items()}}
    )
    return buffer.getvalue()
