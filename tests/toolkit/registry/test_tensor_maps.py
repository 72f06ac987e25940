"""Where a map says that a tensor lies, its numbers lie; what is no model has no map."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.toolkit.registry.making import make_model
from toolkit.registry.tensor_maps import tensors_of


def safetensors(header: dict[str, object], data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_the_weights_of_an_onnx_file_are_found_in_it(tmp_path: Path) -> None:
    file, _ = make_model(tmp_path, width=100)
    data, weights = file.read_bytes(), onnx.load(file).graph.initializer
    found = tensors_of(file)
    assert [(each.name, each.shape, each.width, each.floats) for each in found] == [
        ("body", (4, 100), 4, True),
        ("head", (100, 3), 4, True),
    ]
    for tensor, weight in zip(found, weights, strict=True):
        assert data[tensor.offset : tensor.offset + tensor.length] == numpy_helper.to_array(weight).tobytes()


def test_every_type_of_number_and_tensors_of_constant_nodes_are_found(tmp_path: Path) -> None:
    kinds = {
        TensorProto.FLOAT16: (2, True), TensorProto.BFLOAT16: (2, True), TensorProto.INT8: (1, False),
        TensorProto.INT64: (8, False), TensorProto.DOUBLE: (8, True), TensorProto.FLOAT8E4M3FN: (1, True),
    }  # fmt: skip
    weights = [
        helper.make_tensor(f"w{kind}", kind, [3, 5], bytes(range(15 * width)), raw=True)
        for kind, (width, _) in kinds.items()
    ]
    weights.append(helper.make_tensor("packed", TensorProto.FLOAT, [2], [1.5, -2.5]))
    inside = numpy_helper.from_array(np.arange(40, dtype=np.float32), "inside")
    node = helper.make_node("Constant", [], ["y"], value=inside)
    graph = helper.make_graph(
        [node], "g", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [40])], weights
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    found = {each.name: each for each in tensors_of(tmp_path / "m.onnx")}
    for kind, expected in kinds.items():
        assert (found[f"w{kind}"].width, found[f"w{kind}"].floats) == expected
        assert found[f"w{kind}"].length == 15 * expected[0]
    data = (tmp_path / "m.onnx").read_bytes()
    packed, constant = found["packed"], found["node 0/inside"]
    assert data[packed.offset : packed.offset + packed.length] == struct.pack("<2f", 1.5, -2.5)
    assert (
        data[constant.offset : constant.offset + constant.length] == np.arange(40, dtype=np.float32).tobytes()
    )


def test_the_tensors_of_a_safetensors_file_are_found_in_it(tmp_path: Path) -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "b": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [8, 20]},
        "a": {"dtype": "I8", "shape": [8], "data_offsets": [0, 8]},
    }
    (tmp_path / "m").write_bytes(safetensors(header, bytes(range(20))))
    first, second = tensors_of(tmp_path / "m")
    data = (tmp_path / "m").read_bytes()
    assert (first.name, first.width, first.floats) == ("a", 1, False)
    assert (second.name, second.shape, second.width, second.floats) == ("b", (2, 3), 2, True)
    assert data[second.offset : second.offset + second.length] == bytes(range(8, 20))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"hello", struct.pack("<Q", 2**63) + b"{", struct.pack("<Q", 5) + b"{",
        safetensors({"a": {"dtype": "I8", "shape": [8]}}, b""),
        safetensors({"a": {"dtype": "I8", "shape": [8], "data_offsets": [0, 9]}}, bytes(8)),
        safetensors({"a": {"dtype": "I8", "shape": [8], "data_offsets": [5, 3]}}, bytes(8)),
        b"\x3a\x05\x2a\x03\x0a\x01",
    ],
)  # fmt: skip
def test_what_is_no_model_has_no_map(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m").write_bytes(data)
    assert tensors_of(tmp_path / "m") == ()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.binary(max_size=200), st.integers(0, 2000), st.integers(0, 255))
def test_no_bytes_bring_it_down_and_no_tensor_leaves_its_file(
    tmp_path: Path, noise: bytes, place: int, byte: int
) -> None:
    if not (tmp_path / "good").exists():
        make_model(tmp_path, width=20)[0].rename(tmp_path / "good")
    good = bytearray((tmp_path / "good").read_bytes())
    good[place % len(good)] = byte
    for data in (noise, bytes(good)):
        (tmp_path / "m").write_bytes(data)
        assert all(
            0 <= each.offset <= each.offset + each.length <= len(data) for each in tensors_of(tmp_path / "m")
        )
