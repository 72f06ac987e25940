"""The reader must see every file that a model can make the engine open; the onnx package writes the models."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edge_runtime.engine.onnx_file import check_external_data
from edge_runtime.engine.onnxruntime_engine import OnnxRuntimeEngine
from tests.contracts.engine import contract_model
from toolkit.errors import EngineError

WEIGHTS = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)


def outside(location: str, name: str = "w") -> onnx.TensorProto:
    """A tensor whose data lies in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=WEIGHTS.shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(WEIGHTS.nbytes))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def model_of(nodes, initializers=(), functions=(), sparse=()) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64])],
        list(initializers),
        sparse_initializer=list(sparse),
    )
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, ir_version=10, opset_imports=imports, functions=list(functions))


def constant(location):
    return helper.make_node("Constant", [], ["w"], value=outside(location))


MATMUL = helper.make_node("MatMul", ["x", "w"], ["y"])


def branch(location):
    graph = helper.make_graph(
        [constant(location), helper.make_node("Identity", ["w"], ["o"])],
        "b",
        [],
        [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)],
    )
    return helper.make_node("If", ["c"], ["w"], then_branch=graph, else_branch=graph)


def function(location):
    return helper.make_function(
        "own", "F", ["x"], ["y"], [constant(location), MATMUL], [helper.make_opsetid("", 20)]
    )


def sparse(location):
    values = outside(location, "s")
    indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    return onnx.SparseTensorProto(values=values, indices=indices, dims=[64, 64])


def training(location):
    model = model_of([MATMUL], [outside("w.bin")])
    info = model.training_info.add()
    info.algorithm.CopyFrom(helper.make_graph([constant(location)], "t", [], []))
    return model


HIDING_PLACES = {
    "initializer": lambda at: model_of([MATMUL], [outside(at)]),
    "second initializer": lambda at: model_of([MATMUL], [outside("w.bin", "first"), outside(at)]),
    "constant": lambda at: model_of([constant(at), MATMUL]),
    "tensors of an attribute": lambda at: model_of(
        [helper.make_node("Own", [], ["w"], many=[outside(at)]), MATMUL]
    ),
    "branch": lambda at: model_of([branch(at), MATMUL]),
    "function": lambda at: model_of([helper.make_node("F", ["x"], ["y"], domain="own")], [], [function(at)]),
    "sparse": lambda at: model_of([MATMUL], [], [], [sparse(at)]),
    "training": training,
}
ESCAPES = ("../secret.bin", "/etc/hostname", "a/../../secret.bin", "link.bin", "linked/secret.bin")


@pytest.fixture
def folder(tmp_path):
    """A model's folder with weights in it, a secret outside, and links that lead there."""
    (tmp_path / "secret.bin").write_bytes(WEIGHTS.tobytes())
    model = tmp_path / "model"
    (model / "a").mkdir(parents=True)
    (model / "w.bin").write_bytes(WEIGHTS.tobytes())
    (model / "a" / "w.bin").write_bytes(WEIGHTS.tobytes())
    (model / "link.bin").symlink_to("../secret.bin")
    (model / "linked").symlink_to("..")
    return model


@pytest.mark.parametrize("place", list(HIDING_PLACES))
@pytest.mark.parametrize("location", ESCAPES)
def test_data_outside_the_folder_is_refused_wherever_it_is_named(folder, place, location):
    file = folder / "m.onnx"
    file.write_bytes(HIDING_PLACES[place](location).SerializeToString())
    with pytest.raises(EngineError, match="leaves the model's folder") as caught:
        check_external_data(file)
    assert str(file) in caught.value.message
    assert location in caught.value.message
    with pytest.raises(EngineError, match="leaves the model's folder"):
        OnnxRuntimeEngine(file)


@pytest.mark.parametrize("place", list(HIDING_PLACES))
@pytest.mark.parametrize("location", ["w.bin", "a/w.bin", "a/../w.bin"])
def test_data_beside_the_model_is_fine(folder, place, location):
    file = folder / "m.onnx"
    file.write_bytes(HIDING_PLACES[place](location).SerializeToString())
    check_external_data(file)


def test_a_model_with_data_beside_it_runs(folder):
    file = folder / "m.onnx"
    file.write_bytes(HIDING_PLACES["initializer"]("w.bin").SerializeToString())
    x = np.ones((2, 64), np.float32)
    np.testing.assert_allclose(OnnxRuntimeEngine(file).infer({"x": x})["y"], x @ WEIGHTS, rtol=1e-5)


def test_a_location_with_a_zero_byte_is_refused(folder):
    file = folder / "m.onnx"
    file.write_bytes(HIDING_PLACES["initializer"]("w.bin\0").SerializeToString())
    with pytest.raises(EngineError, match="leaves the model's folder"):
        check_external_data(file)


def test_nesting_has_an_end(tmp_path):
    """A node in a graph in a node in a graph…: each level wraps the one before."""
    inner = b""
    for _ in range(400):
        for key in (0x32, 0x2A, 0x0A):  # attribute.g = 6, node.attribute = 5, graph.node = 1
            inner = bytes([key]) + _length(inner) + inner
    file = tmp_path / "deep.onnx"
    file.write_bytes(b"\x3a" + _length(inner) + inner)  # model.graph = 7
    with pytest.raises(EngineError, match="nested too deeply"):
        check_external_data(file)


def _length(data: bytes) -> bytes:
    out, rest = bytearray(), len(data)
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*out, rest])


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200), st.integers(0, 10_000), st.integers(0, 200))
def test_damaged_files_never_do_more_than_be_refused(tmp_path, noise, at, cut):
    good = bytearray(contract_model(tmp_path / "good.onnx").read_bytes())
    at %= len(good)
    good[at : at + cut] = noise
    file = tmp_path / "noise.onnx"
    file.write_bytes(good)
    try:
        check_external_data(file)
    except EngineError as exc:
        assert str(file) in exc.message  # noqa: PT017 - most damage is seen, some is harmless
