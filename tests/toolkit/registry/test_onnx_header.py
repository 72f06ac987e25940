from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from tests.toolkit.registry.making import make_model
from toolkit.errors import IntegrityError, RegistryError
from toolkit.registry.onnx_header import parse_onnx_header, read_onnx_header


def test_reads_what_the_onnx_package_wrote(tmp_path: Path) -> None:
    model, _ = make_model(tmp_path, ir=9, opset=17)
    header = read_onnx_header(model)
    assert (header.ir_version, header.opset) == (9, 17)
    assert (header.inputs, header.outputs) == (("x",), ("y",))


def test_weights_among_the_inputs_need_no_feeding_and_domains_are_told_apart(tmp_path: Path) -> None:
    model = onnx.load(make_model(tmp_path)[0])
    model.graph.input.append(helper.make_tensor_value_info("body", onnx.TensorProto.FLOAT, [4, 20_000]))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    header = parse_onnx_header(model.SerializeToString(), what="it")
    assert header.inputs == ("x",)
    assert header.opsets == {"": 20, "com.microsoft": 1}


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",
        b"hello world",
        b"\x08\x0a",
        b"\xff" * 64,
        b"\x08" + b"\x80" * 20,
        b"\x3a\xff\xff\xff\xff\x0f",
        b"PK\x03\x04",
    ],
)
def test_other_bytes_are_refused_with_the_name_of_the_file(data: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"m\.onnx is not an ONNX model"):
        parse_onnx_header(data, what="m.onnx")


def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    model, _ = make_model(tmp_path)
    model.write_bytes(model.read_bytes()[:-1000])
    with pytest.raises(IntegrityError, match="cut off"):
        read_onnx_header(model)


def test_an_empty_and_a_missing_file(tmp_path: Path) -> None:
    empty = tmp_path / "empty.onnx"
    empty.write_bytes(b"")
    with pytest.raises(IntegrityError, match="empty"):
        read_onnx_header(empty)
    with pytest.raises(RegistryError, match="No such file"):
        read_onnx_header(tmp_path / "none.onnx")


@given(st.binary(max_size=300))
def test_arbitrary_bytes_give_a_header_or_our_error(data: bytes) -> None:
    with suppress(IntegrityError):
        assert parse_onnx_header(data, what="it").outputs


def test_types_and_shapes_are_told_as_far_as_the_file_tells_them(tmp_path: Path) -> None:
    model = onnx.load(make_model(tmp_path)[0])
    more = [
        helper.make_tensor_value_info("half", onnx.TensorProto.FLOAT16, [2, None, "rows"]),
        helper.make_tensor_value_info("scalar", onnx.TensorProto.INT64, []),
        helper.make_tensor_value_info("text", onnx.TensorProto.STRING, [2]),
        helper.make_tensor_value_info("shapeless", onnx.TensorProto.FLOAT, None),
    ]
    model.graph.output.extend(more)
    forms = parse_onnx_header(model.SerializeToString(), what="it").forms
    assert {name: str(form) for name, form in forms.items()} == {
        "x": "float32[?, 4]",
        "y": "float32[?, 3]",
        "half": "float16[2, ?, ?]",
        "scalar": "int64[]",
    }
