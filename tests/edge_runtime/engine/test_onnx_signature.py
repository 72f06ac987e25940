"""The signature that is read from the file's bytes is the one that ONNX Runtime finds after loading it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_runtime.engine.onnx_signature import ELEMENTS, read_signature
from edge_runtime.engine.onnxruntime_engine import OnnxRuntimeEngine
from tests.contracts.engine import contract_model, save_model
from toolkit.errors import EngineError

DIGITS = Path(__file__).resolve().parents[3] / "examples" / "models" / "digits"


def identity(path, kind, shape=("n", 2)):
    node = helper.make_node("Identity", ["x"], ["y"])
    return save_model(path, [node], [("x", kind, shape)], [("y", kind, shape)])


@pytest.mark.parametrize("version", ["", "v1", "v2"])
def test_it_is_what_onnx_runtime_finds(tmp_path, version):
    file = DIGITS / f"{version}.onnx" if version else contract_model(tmp_path / "m.onnx")
    engine, signature = OnnxRuntimeEngine(file), read_signature(file)
    assert (signature.inputs, signature.outputs) == (engine.inputs, engine.outputs)


@pytest.mark.parametrize("kind", sorted(ELEMENTS))
def test_every_type_is_read(tmp_path, kind):
    signature = read_signature(identity(tmp_path / "m.onnx", kind))
    assert signature.inputs[0].dtype == helper.tensor_dtype_to_np_dtype(kind)
    assert signature.inputs[0].shape == (None, 2)
    assert signature.half == (kind == TensorProto.FLOAT16)


def test_weights_that_old_models_list_as_inputs_are_none(tmp_path):
    model = onnx.load(contract_model(tmp_path / "m.onnx"))
    model.graph.input.append(helper.make_tensor_value_info("two", TensorProto.FLOAT, []))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert [spec.name for spec in read_signature(tmp_path / "m.onnx").inputs] == ["x", "k"]


def test_formats_of_numbers_are_found(tmp_path):
    weights = {"w": np.ones(2, np.float16)}
    half = save_model(
        tmp_path / "half.onnx",
        [
            helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16),
            helper.make_node("Mul", ["h", "w"], ["m"]),
            helper.make_node("Cast", ["m"], ["y"], to=TensorProto.FLOAT),
        ],
        [("x", TensorProto.FLOAT, ["n", 2])],
        [("y", TensorProto.FLOAT, ["n", 2])],
        weights,
    )
    quantized = save_model(
        tmp_path / "int8.onnx",
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
        ],
        [("x", TensorProto.FLOAT, ["n", 2])],
        [("y", TensorProto.FLOAT, ["n", 2])],
        {"s": np.array(0.1, np.float32), "z": np.array(0, np.int8)},
    )
    plain = contract_model(tmp_path / "plain.onnx")
    found = {file.stem: read_signature(file) for file in (half, quantized, plain)}
    assert {name: (each.half, each.quantized) for name, each in found.items()} == {
        "half": (True, False),
        "int8": (False, True),
        "plain": (False, False),
    }


@pytest.mark.parametrize("kind", [TensorProto.STRING, TensorProto.BFLOAT16, TensorProto.COMPLEX64])
def test_types_that_cannot_be_served_are_refused(tmp_path, kind):
    with pytest.raises(EngineError, match="tensor 'x' is of a kind that this device cannot serve"):
        read_signature(identity(tmp_path / "m.onnx", kind))


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x3a\x05\x5a\x03\x0a\x01x"])
def test_what_is_no_model_is_an_error(tmp_path, data):
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(EngineError, match=r"m\.onnx"):
        read_signature(tmp_path / "m.onnx")
