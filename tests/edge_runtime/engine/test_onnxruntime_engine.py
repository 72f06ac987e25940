from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edge_runtime.engine.onnxruntime_engine import DTYPES, EXACT, OnnxRuntimeEngine
from tests.contracts.engine import EngineContract, buffers, contract_model, feed, save_model, scale_model
from toolkit.errors import EngineError

DIGITS = Path(__file__).resolve().parents[3] / "examples" / "models" / "digits"


class TestOnnxRuntimeEngine(EngineContract):
    @pytest.fixture
    def engine(self, tmp_path):
        return OnnxRuntimeEngine(contract_model(tmp_path / "model.onnx"))


class TestOnnxRuntimeEngineThatBinds(EngineContract):
    """Large buffers are written by ONNX Runtime itself; here every one counts as large."""

    @pytest.fixture
    def engine(self, tmp_path):
        return OnnxRuntimeEngine(contract_model(tmp_path / "model.onnx"), bind_from=0)


@pytest.mark.parametrize("dtype", sorted(DTYPES.values(), key=lambda each: each.__name__))
def test_every_type_goes_through_unchanged(tmp_path, dtype):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    file = save_model(
        tmp_path / "m.onnx",
        [helper.make_node("Identity", ["x"], ["y"])],
        [("x", kind, ["n"])],
        [("y", kind, ["n"])],
    )
    engine = OnnxRuntimeEngine(file)
    x = np.array([0, 1, 1], dtype)
    y = engine.infer({"x": x})["y"]
    assert engine.inputs[0].dtype == y.dtype == dtype
    np.testing.assert_array_equal(y, x)


def test_it_uses_one_thread_and_does_not_spin(tmp_path):
    options = OnnxRuntimeEngine(contract_model(tmp_path / "m.onnx"))._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_shortcuts_that_only_some_processors_take_are_off(tmp_path):
    """They read back from the session that runs, so a name that ONNX Runtime does not take would show here."""
    options = OnnxRuntimeEngine(contract_model(tmp_path / "m.onnx"))._session.get_session_options()
    said = {key: options.get_session_config_entry(key) for key in EXACT}
    assert said == dict(EXACT)
    assert said["mlas.enable_gemm_fastmath_arm64_bfloat16"] == "0"
    assert said["session.x64quantprecision"] == "1"
    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL


def test_products_keep_the_precision_of_float32(tmp_path):
    """1 + 2⁻²⁰ is lost in bfloat16 and in TF32, and in no product of float32."""
    file = save_model(
        tmp_path / "m.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [("x", TensorProto.FLOAT, ["n", 64])],
        [("y", TensorProto.FLOAT, ["n", 64])],
        {"w": np.eye(64, dtype=np.float32)},
    )
    x = np.full((64, 64), 1 + 2.0**-20, np.float32)
    np.testing.assert_array_equal(OnnxRuntimeEngine(file).infer({"x": x})["y"], x)


def test_buffers_that_come_again_are_bound_once_and_inputs_are_let_go(tmp_path):
    engine = OnnxRuntimeEngine(contract_model(tmp_path / "m.onnx"), bind_from=0)
    out = buffers(2)
    engine.infer(feed(2), out)
    kept = engine._bound[1]
    given = feed(2, start=5)
    watch = weakref.ref(given["x"])
    np.testing.assert_array_equal(engine.infer(given, out)["y"], given["x"] * 2)
    assert engine._bound[1] is kept
    del given
    gc.collect()
    assert watch() is None


def test_a_model_with_several_free_axes_is_left_cold(tmp_path):
    """Warming it up with one by one would fail, though the model is sound: it halves its second axis."""
    file = save_model(
        tmp_path / "m.onnx",
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        [("x", TensorProto.FLOAT, ["n", "even"])],
        [("y", TensorProto.FLOAT, ["n", "half", 2])],
        {"shape": np.array([0, -1, 2])},
    )
    engine = OnnxRuntimeEngine(file)
    with pytest.raises(EngineError):
        engine.infer({"x": np.zeros((1, 1), np.float32)})
    engine.warm_up()
    assert engine.infer({"x": np.zeros((1, 6), np.float32)})["y"].shape == (1, 3, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"x": np.ones((1, 4), np.float64)},
        {"x": np.ones((1, 5), np.float32)},
        {"y": np.ones((1, 4), np.float32)},
        {},
    ],
    ids=["type", "shape", "name", "nothing"],
)
def test_inputs_are_looked_at_again_after_others_that_fitted(tmp_path, wrong):
    engine = OnnxRuntimeEngine(scale_model(tmp_path / "m.onnx", 2))
    right = {"x": np.ones((1, 4), np.float32)}
    with pytest.raises(EngineError, match=r"m\.onnx: (no )?input"):
        engine.infer(wrong)
    for _ in range(2):
        np.testing.assert_array_equal(engine.infer(right)["y"], right["x"] * 2)
        with pytest.raises(EngineError, match=r"m\.onnx: (no )?input"):
            engine.infer(wrong)
    assert engine.infer({"x": np.ones((3, 4), np.float32)})["y"].shape == (3, 4)
    engine.close()


def test_a_warm_up_that_fails_is_an_error(tmp_path):
    file = save_model(
        tmp_path / "m.onnx",
        [helper.make_node("Gather", ["table", "k"], ["y"])],
        [("k", TensorProto.INT64, ["n"])],
        [("y", TensorProto.FLOAT, ["n"])],
        {"table": np.zeros(0, np.float32)},
    )
    with pytest.raises(EngineError, match=r"m\.onnx: the model failed"):
        OnnxRuntimeEngine(file).warm_up()


def test_it_may_be_loaded_and_used_by_different_threads(tmp_path):
    engine = OnnxRuntimeEngine(scale_model(tmp_path / "m.onnx", 3))
    found = []
    thread = threading.Thread(
        target=lambda: found.append(engine.infer({"x": np.ones((1, 4), np.float32)})["y"])
    )
    thread.start()
    thread.join(60)
    np.testing.assert_array_equal(found[0], np.full((1, 4), 3, np.float32))


def newer_ir(good: onnx.ModelProto) -> bytes:
    good.ir_version = 99
    return good.SerializeToString()


def newer_opset(good: onnx.ModelProto) -> bytes:
    good.opset_import[0].version = 999
    return good.SerializeToString()


def unknown_node(good: onnx.ModelProto) -> bytes:
    good.graph.node[0].op_type = "Frobnicate"
    return good.SerializeToString()


BROKEN = {
    "empty": (lambda _: b"", "cannot be read"),
    "text": (lambda _: b"this is not a model", "not an ONNX file"),
    "cut": (lambda good: good.SerializeToString()[:-5], "not an ONNX file"),
    "nothing in it": (lambda _: onnx.ModelProto().SerializeToString() or b"\x08\x0a", "cannot load it"),
    "newer IR": (newer_ir, "IR"),
    "newer opset": (newer_opset, "opset"),
    "unknown node": (unknown_node, "Frobnicate"),
}


@pytest.mark.parametrize("case", list(BROKEN))
def test_a_file_that_does_not_load_is_named_with_the_reason(tmp_path, case):
    make, reason = BROKEN[case]
    file = tmp_path / "broken.onnx"
    file.write_bytes(make(onnx.load(contract_model(tmp_path / "good.onnx"))))
    with pytest.raises(EngineError, match=reason) as caught:
        OnnxRuntimeEngine(file)
    assert str(file) in caught.value.message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EngineError, match=r"gone\.onnx: cannot be read as a model"):
        OnnxRuntimeEngine(tmp_path / "gone.onnx")


def test_tensors_of_text_are_refused_with_the_cure(tmp_path):
    file = save_model(
        tmp_path / "m.onnx",
        [helper.make_node("Identity", ["words"], ["y"])],
        [("words", TensorProto.STRING, ["n"])],
        [("y", TensorProto.STRING, ["n"])],
    )
    with pytest.raises(EngineError, match=r"'words' is a tensor\(string\)") as caught:
        OnnxRuntimeEngine(file)
    assert "plain tensors" in caught.value.hint


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_carried_models_give_what_they_gave_at_home(version):
    engine = OnnxRuntimeEngine(DIGITS / f"{version}.onnx")
    engine.warm_up()
    golden = np.load(DIGITS / f"{version}.golden.npz")
    logits = engine.infer({"image": golden["input.image"]})["logits"]
    np.testing.assert_allclose(logits, golden["output.logits"], rtol=1e-3, atol=1e-3)
    alone = [engine.infer({"image": image[None]})["logits"] for image in golden["input.image"]]
    np.testing.assert_allclose(logits, np.concatenate(alone), rtol=1e-4, atol=1e-5)
