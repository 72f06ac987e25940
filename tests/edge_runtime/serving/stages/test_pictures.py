"""Pictures get the size and the numbers that others compute too: ONNX's Resize, and a slow obvious loop."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from edge_runtime.engine.onnxruntime_engine import OnnxRuntimeEngine
from edge_runtime.serving.stages.pictures import normalise, resize
from edge_runtime.serving.stages.refused import StageRefusal
from tests.contracts.engine import save_model
from toolkit.protocol.stage_kinds import Normalise, Resize


def picture(height: int, width: int, channels: int = 3, kind: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, channels)).astype(kind)


def onnx_resize(folder, source: np.ndarray, height: int, width: int, mode: str) -> np.ndarray:
    node = helper.make_node(
        "Resize", ["x", "", "", "size"], ["y"], mode=mode,
        coordinate_transformation_mode="half_pixel", nearest_mode="round_prefer_ceil",
    )  # fmt: skip
    axes = ["h", "w", "c"]
    file = save_model(
        folder / "resize.onnx", [node], [("x", TensorProto.FLOAT, axes)], [("y", TensorProto.FLOAT, axes)],
        {"size": np.array([height, width, source.shape[2]], np.int64)},
    )  # fmt: skip
    return OnnxRuntimeEngine(file).infer({"x": source.astype(np.float32)})["y"]


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 30), (17, 3), (13, 21), (1, 1)])
def test_bilinear_is_what_onnx_computes(tmp_path, height, width):
    source = picture(13, 9, kind=np.float32)
    ours = resize(Resize(height=height, width=width), source)
    np.testing.assert_allclose(ours, onnx_resize(tmp_path, source, height, width, "linear"), atol=1e-3)
    whole = resize(Resize(height=height, width=width), picture(13, 9))
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(whole, np.rint(ours))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 30), (17, 3)])
def test_nearest_takes_the_pixel_that_lies_under_the_middle(height, width):
    source = picture(13, 9)
    ours = resize(Resize(height=height, width=width, method="nearest"), source)
    for y in range(height):
        for x in range(width):
            assert (ours[y, x] == source[int((y + 0.5) * 13 / height), int((x + 0.5) * 9 / width)]).all()


def test_a_letterbox_keeps_proportions_in_the_middle_of_its_filling():
    params = Resize(height=40, width=20, method="nearest", letterbox=True, fill=7)
    ours = resize(params, picture(10, 10))
    assert ours.shape == (40, 20, 3)
    assert (ours[:10] == 7).all()
    assert (ours[30:] == 7).all()
    np.testing.assert_array_equal(ours[10:30], np.repeat(np.repeat(picture(10, 10), 2, axis=0), 2, axis=1))
    thin = resize(Resize(height=4, width=4, letterbox=True, fill=300.0), picture(1, 400))
    assert (thin[0] == 255).all()
    assert not (thin[1] == 255).all()


def test_the_same_size_is_the_same_picture_and_none_is_refused():
    np.testing.assert_array_equal(resize(Resize(height=4, width=5), picture(4, 5)), picture(4, 5))
    with pytest.raises(StageRefusal, match="picture of 0 × 4"):
        resize(Resize(height=4, width=5), np.zeros((4, 0, 3), np.uint8))


def test_normalising_is_scale_mean_and_deviation_channel_by_channel():
    params = Normalise(scale=1 / 255, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    source, ours = picture(3, 2), normalise(params, picture(3, 2))
    assert ours.shape == (1, 3, 3, 2)
    assert ours.dtype == np.float32
    assert ours.flags.c_contiguous
    for c, (mean, std) in enumerate(zip(params.mean, params.std, strict=True)):
        np.testing.assert_allclose(ours[0, c], (source[:, :, c] / 255 - mean) / std, atol=1e-5)


def test_a_model_may_want_bytes_halves_or_the_other_layout():
    source = picture(3, 2)
    np.testing.assert_array_equal(normalise(Normalise(dtype="uint8", layout="hwc"), source)[0], source)
    halves = normalise(Normalise(dtype="float16", scale=0.5), source)
    assert halves.dtype == np.float16
    np.testing.assert_array_equal(halves[0], source.transpose(2, 0, 1) * 0.5)
    before = source.copy()
    normalise(Normalise(scale=3.0, mean=(1.0,)), source.astype(np.float32))
    np.testing.assert_array_equal(source, before)
