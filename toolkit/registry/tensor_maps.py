"""Say where the numbers of a file lie: weights of ONNX models and of safetensors files. Others have no map.

`patches` compares versions tensor by tensor with these maps; a device never needs one. A file is taken for what its
bytes say, not its name. A map that cannot be made is an empty one: then the file is bytes like any others.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from toolkit.registry.protobuf import BYTES, VARINT, Message, NotProtobufError
from toolkit.sync.delta.tensors import Tensor
from toolkit.wire.learnt import learn

_MODEL_GRAPH, _GRAPH_NODE, _GRAPH_INITIALIZER = 7, 1, 5
_NODE_ATTRIBUTE, _ATTRIBUTE_TENSOR = 5, 5
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_NAME, _TENSOR_RAW, _TENSOR_DOUBLES = 1, 2, 4, 8, 9, 10
_MAX_TENSORS = 100_000
_MAX_DIMS = 64
_ONNX_TYPES: Final[dict[int, tuple[int, bool]]] = {
    1: (4, True), 2: (1, False), 3: (1, False), 4: (2, False), 5: (2, False), 6: (4, False), 7: (8, False),
    9: (1, False), 10: (2, True), 11: (8, True), 12: (4, False), 13: (8, False), 16: (2, True), 17: (1, True),
    18: (1, True), 19: (1, True), 20: (1, True), 21: (1, False), 22: (1, False),
}  # fmt: skip
"""TensorProto.DataType (onnx/onnx.proto) -> bytes of a number, and whether it is a float."""
_SAFETENSORS_TYPES: Final[dict[str, tuple[int, bool]]] = {
    "F64": (8, True), "F32": (4, True), "F16": (2, True), "BF16": (2, True), "F8_E4M3": (1, True), "F8_E5M2": (1, True),
    "I64": (8, False), "I32": (4, False), "I16": (2, False), "I8": (1, False),
    "U64": (8, False), "U32": (4, False), "U16": (2, False), "U8": (1, False), "BOOL": (1, False),
}  # fmt: skip
_LENGTH = struct.Struct("<Q")
_MAX_HEADER_BYTES = 100_000_000
"""What the safetensors library allows."""


def tensors_of(file: Path) -> tuple[Tensor, ...]:
    """List the tensors of a file in the order of its bytes; none if it is of no kind that is known.

    Raises:
        OSError: it cannot be read.
    """
    if not file.stat().st_size:
        return ()
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        found = _of_safetensors(mapped) or _of_onnx(mapped)
        return tuple(sorted(found, key=lambda each: each.offset))


class _Header(msgspec.Struct):
    """One tensor in the header of a safetensors file."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def _of_safetensors(data: mmap.mmap) -> list[Tensor]:
    """Read the header of a safetensors file (huggingface.co/docs/safetensors): its length, JSON, then the numbers."""
    if len(data) < _LENGTH.size or data[_LENGTH.size : _LENGTH.size + 1] != b"{":
        return []
    (length,) = _LENGTH.unpack(data[: _LENGTH.size])
    begin = _LENGTH.size + length
    if length > _MAX_HEADER_BYTES or begin > len(data):
        return []
    try:
        entries = msgspec.json.decode(data[_LENGTH.size : begin], type=dict[str, msgspec.Raw])
        entries.pop("__metadata__", None)
        headers = {name: msgspec.json.decode(entry, type=learn(_Header)) for name, entry in entries.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    tensors = []
    for name, header in headers.items():
        width, floats = _SAFETENSORS_TYPES.get(header.dtype, (1, False))
        first, last = header.data_offsets
        if 0 <= first <= last <= len(data) - begin:
            tensors.append(
                Tensor(name, header.dtype, header.shape, begin + first, last - first, width, floats)
            )
    return tensors


@dataclass
class _Read:
    """What has been read of one TensorProto."""

    name: str = ""
    kind: int = 0
    dims: list[int] = field(default_factory=list)
    packed: list[int] = field(default_factory=list)
    where: tuple[int, int] = (0, 0)


def _of_onnx(data: mmap.mmap) -> list[Tensor]:
    """Find the weights of a model: initializers, and tensors that are attributes of constant nodes."""
    try:
        found: list[Tensor] = []
        for graph in Message(data, 0, len(data)).parts(_MODEL_GRAPH, most=1):
            for tensor in graph.parts(_GRAPH_INITIALIZER, most=_MAX_TENSORS):
                found += _onnx_tensor(tensor, "")
            for number, node in enumerate(graph.parts(_GRAPH_NODE, most=_MAX_TENSORS)):
                for attribute in node.parts(_NODE_ATTRIBUTE, most=_MAX_TENSORS):
                    for tensor in attribute.parts(_ATTRIBUTE_TENSOR, most=1):
                        found += _onnx_tensor(tensor, f"node {number}/")
    except NotProtobufError:
        return []
    return found


def _onnx_tensor(message: Message, prefix: str) -> list[Tensor]:
    read = _Read()
    for number, wire, first, end in message.fields():
        if wire == VARINT and number == _TENSOR_TYPE:
            read.kind = first
        elif wire == VARINT and number == _TENSOR_DIMS:
            read.dims.append(first)
        elif wire == BYTES and number == _TENSOR_DIMS:
            read.packed += message.data[first : min(end, first + _MAX_DIMS)]
        elif wire == BYTES and number in {_TENSOR_RAW, _TENSOR_FLOATS, _TENSOR_DOUBLES}:
            read.where = (first, end)
    width, floats = _ONNX_TYPES.get(read.kind, (1, False))
    begin, end = read.where
    if begin == end:
        return []
    # Packed dims need not be read as numbers: equal shapes have equal bytes.
    shape = (*read.dims, *read.packed)
    name = prefix + message.text(_TENSOR_NAME)
    return [Tensor(name, str(read.kind), shape, begin, end - begin, width, floats)]
