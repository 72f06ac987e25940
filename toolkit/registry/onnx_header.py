"""Read what an ONNX file says of itself - IR version, opsets, inputs, outputs - without the onnx package.

`push` refuses a model here that no device could load. ONNX files are protocol buffers (onnx/onnx.proto, message
ModelProto); the reader walks over the few fields it wants, skips weights by their length, and reads no byte of them.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import IntegrityError, RegistryError

_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}
"""Wire types (protobuf.dev, "Encoding") and, for the fixed ones, their bytes."""
_MAX_VARINT_BYTES = 10
_MAX_FIELDS = 1_000_000
_MAX_OPSETS = 64
_MAX_VALUES = 100_000
_MAX_TEXT_BYTES = 4096

_MODEL_IR_VERSION, _MODEL_GRAPH, _MODEL_OPSET_IMPORT = 1, 7, 8
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_TENSOR_NAME, _TENSOR_LOCATION, _VALUE_NAME = 8, 14, 1
_OUTSIDE = 1


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
    message = _Message(data, 0, len(data))
    try:
        ir_version = next((value for number, value in message.numbers() if number == _MODEL_IR_VERSION), 0)
        opsets = dict(_opset(each) for each in message.parts(_MODEL_OPSET_IMPORT, most=_MAX_OPSETS))
        graphs = list(message.parts(_MODEL_GRAPH, most=1))
        inputs, outputs, outside = _graph(graphs[0]) if graphs else ((), (), ())
    except _NotProtobufError as error:
        raise _not_onnx(what, str(error)) from error
    if not ir_version or not opsets or not outputs:
        raise _not_onnx(what, "it has no IR version, no opset or no outputs")
    return OnnxHeader(ir_version, opsets, inputs, outputs, outside)


class _NotProtobufError(Exception):
    """The bytes are not the wire format of protocol buffers, or more of it than we look at."""


@dataclass(frozen=True)
class _Message:
    """One message: a range of the bytes. Nothing is copied but numbers and names."""

    data: bytes | mmap.mmap
    start: int
    end: int

    def numbers(self) -> Iterator[tuple[int, int]]:
        """Yield (field, value) of fields that are numbers."""
        for field, kind, first, _ in self._fields():
            if kind == _VARINT:
                yield field, first

    def parts(self, wanted: int, *, most: int) -> Iterator[_Message]:
        """Yield the messages, texts or bytes under a field."""
        found = 0
        for field, kind, start, end in self._fields():
            if field == wanted and kind == _BYTES:
                found += 1
                if found > most:
                    raise _NotProtobufError(f"field {wanted} comes more than {most} times")
                yield _Message(self.data, start, end)

    def text(self, wanted: int) -> str:
        """Give the text under a field; empty when there is none."""
        for part in self.parts(wanted, most=1):
            if part.end - part.start > _MAX_TEXT_BYTES:
                raise _NotProtobufError(f"a name has more than {_MAX_TEXT_BYTES} bytes")
            try:
                return self.data[part.start : part.end].decode()
            except UnicodeDecodeError as error:
                raise _NotProtobufError("a name is not text") from error
        return ""

    def _fields(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield (field, wire type, start or number, end)."""
        position, seen = self.start, 0
        while position < self.end:
            seen += 1
            if seen > _MAX_FIELDS:
                raise _NotProtobufError(f"a message has more than {_MAX_FIELDS} fields")
            key, position = self._varint(position)
            field, kind = key >> 3, key & 7
            value, length = 0, 0
            if kind == _VARINT:
                value, position = self._varint(position)
            elif kind == _BYTES:
                length, position = self._varint(position)
            elif kind in _FIXED:
                length = _FIXED[kind]
            else:
                raise _NotProtobufError(f"a field has the unknown wire type {kind}")
            if field == 0 or length > self.end - position:
                raise _NotProtobufError("it ends in the middle of a field; was it cut off?")
            yield field, kind, value if kind == _VARINT else position, position + length
            position += length

    def _varint(self, position: int) -> tuple[int, int]:
        value = 0
        for count in range(_MAX_VARINT_BYTES):
            if position >= self.end:
                raise _NotProtobufError("it ends in the middle of a number; was it cut off?")
            byte = self.data[position]
            position += 1
            value |= (byte & 0x7F) << (7 * count)
            if byte < 0x80:  # noqa: PLR2004  # the top bit says that more follows
                return value, position
        raise _NotProtobufError(f"a number has more than {_MAX_VARINT_BYTES} bytes")


def _opset(message: _Message) -> tuple[str, int]:
    version = next((value for number, value in message.numbers() if number == _OPSET_VERSION), 0)
    return message.text(_OPSET_DOMAIN), version


def _graph(graph: _Message) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Give inputs, outputs, and weights outside."""
    weights: dict[str, bool] = {}
    for tensor in graph.parts(_GRAPH_INITIALIZER, most=_MAX_VALUES):
        weights[tensor.text(_TENSOR_NAME)] = (_TENSOR_LOCATION, _OUTSIDE) in tensor.numbers()
    inputs = tuple(each.text(_VALUE_NAME) for each in graph.parts(_GRAPH_INPUT, most=_MAX_VALUES))
    outputs = tuple(each.text(_VALUE_NAME) for each in graph.parts(_GRAPH_OUTPUT, most=_MAX_VALUES))
    outside = tuple(name for name, is_outside in weights.items() if is_outside)
    return tuple(name for name in inputs if name not in weights), outputs, outside


def _not_onnx(what: str, why: str) -> IntegrityError:
    return IntegrityError(
        f"{what} is not an ONNX model: {why}", hint="export the model to ONNX and push that file"
    )
