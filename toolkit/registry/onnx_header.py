"""Read what an ONNX file says of itself - IR version, opsets, inputs, outputs - without the onnx package.

`push` refuses a model here that no device could load. ONNX files are protocol buffers (onnx/onnx.proto, message
ModelProto), which `protobuf` walks over without reading the weights.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.errors import IntegrityError, RegistryError
from toolkit.protocol.stage_kinds import Form
from toolkit.registry.protobuf import Message, NotProtobufError

_MAX_OPSETS = 64
_MAX_VALUES = 100_000

_MODEL_IR_VERSION, _MODEL_GRAPH, _MODEL_OPSET_IMPORT = 1, 7, 8
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_TENSOR_NAME, _TENSOR_LOCATION, _VALUE_NAME = 8, 14, 1
_OUTSIDE = 1
_VALUE_TYPE, _TYPE_TENSOR, _TENSOR_ELEMENT, _TENSOR_SHAPE, _SHAPE_DIM, _DIM_VALUE = 2, 1, 1, 2, 1, 1
_MAX_AXES = 32
_ELEMENTS = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64",
}  # fmt: skip
"""onnx.TensorProto.DataType -> NumPy's name; the others are no plain numbers."""


@dataclass(frozen=True)
class OnnxHeader:
    """What matters of a model before anybody loads it."""

    ir_version: int
    opsets: dict[str, int]
    """Domain -> version; the default domain is the empty string."""
    inputs: tuple[str, ...]
    """Names of what has to be fed: graph inputs that are not weights."""
    outputs: tuple[str, ...]
    weights_outside: tuple[str, ...] = ()
    """Names of weights that lie in other files."""
    forms: dict[str, Form] = field(default_factory=dict)
    """Type and shape of inputs and outputs; without those that the file does not tell."""

    @property
    def opset(self) -> int:
        """Version of the default domain; 0 when the model does not import it."""
        return self.opsets.get("", self.opsets.get("ai.onnx", 0))


def read_onnx_header(file: Path) -> OnnxHeader:
    """Read the header of an ONNX file.

    Raises:
        RegistryError: the file cannot be read.
        IntegrityError: it is not an ONNX model.
    """
    try:
        with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return parse_onnx_header(mapped, what=str(file))
    except OSError as error:
        raise RegistryError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:  # an empty file cannot be mapped
        raise _not_onnx(str(file), "it is empty") from error


def parse_onnx_header(data: bytes | mmap.mmap, *, what: str) -> OnnxHeader:
    """Read the header from a model's bytes; `what` names them in an error.

    Raises:
        IntegrityError: they are not an ONNX model.
    """
    message = Message(data, 0, len(data))
    try:
        ir_version = next((value for number, value in message.numbers() if number == _MODEL_IR_VERSION), 0)
        opsets = dict(_opset(each) for each in message.parts(_MODEL_OPSET_IMPORT, most=_MAX_OPSETS))
        graphs = list(message.parts(_MODEL_GRAPH, most=1))
        inputs, outputs, outside = _graph(graphs[0]) if graphs else ((), (), ())
        forms = dict(_forms(graphs[0])) if graphs else {}
    except NotProtobufError as error:
        raise _not_onnx(what, str(error)) from error
    if not ir_version or not opsets or not outputs:
        raise _not_onnx(what, "it has no IR version, no opset or no outputs")
    return OnnxHeader(ir_version, opsets, inputs, outputs, outside, forms)


def _opset(message: Message) -> tuple[str, int]:
    version = next((value for number, value in message.numbers() if number == _OPSET_VERSION), 0)
    return message.text(_OPSET_DOMAIN), version


def _graph(graph: Message) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Give inputs, outputs, and weights outside."""
    weights: dict[str, bool] = {}
    for tensor in graph.parts(_GRAPH_INITIALIZER, most=_MAX_VALUES):
        weights[tensor.text(_TENSOR_NAME)] = (_TENSOR_LOCATION, _OUTSIDE) in tensor.numbers()
    inputs = tuple(each.text(_VALUE_NAME) for each in graph.parts(_GRAPH_INPUT, most=_MAX_VALUES))
    outputs = tuple(each.text(_VALUE_NAME) for each in graph.parts(_GRAPH_OUTPUT, most=_MAX_VALUES))
    outside = tuple(name for name, is_outside in weights.items() if is_outside)
    return tuple(name for name in inputs if name not in weights), outputs, outside


def _forms(graph: Message) -> Iterator[tuple[str, Form]]:
    for values in (_GRAPH_INPUT, _GRAPH_OUTPUT):
        for value in graph.parts(values, most=_MAX_VALUES):
            for tensor in (
                t for kind in value.parts(_VALUE_TYPE, most=1) for t in kind.parts(_TYPE_TENSOR, most=1)
            ):
                element = next((number for field, number in tensor.numbers() if field == _TENSOR_ELEMENT), 0)
                for shape in tensor.parts(_TENSOR_SHAPE, most=1):
                    if element in _ELEMENTS:
                        axes = tuple(_axis(dim) for dim in shape.parts(_SHAPE_DIM, most=_MAX_AXES))
                        yield value.text(_VALUE_NAME), Form(_ELEMENTS[element], axes)


def _axis(dim: Message) -> int | None:
    """Give a length; one that has a name, or is below 0, may be any."""
    length = next((number for field, number in dim.numbers() if field == _DIM_VALUE), -1)
    return length if 0 <= length < 1 << 62 else None


def _not_onnx(what: str, why: str) -> IntegrityError:
    return IntegrityError(
        f"{what} is not an ONNX model: {why}", hint="export the model to ONNX and push that file"
    )
