"""Read from an ONNX file what the model takes and gives, and which number formats it computes in.

TensorRT's plan alone cannot say it: TensorRT 8 turns 64-bit integers into 32-bit ones, so a plan's tensors differ from
those that clients were promised. `build` writes the signature into the plan's header, and `tensorrt_engine` keeps it.
Field numbers: onnx.proto, ModelProto and below; read with the walker of `onnx_file`.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from edge_runtime.engine.base import TensorSpec
from edge_runtime.engine.onnx_file import NotOnnxError, fields, numbers
from toolkit.errors import EngineError

ELEMENTS: Final[dict[int, type[np.generic]]] = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    4: np.uint16,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    10: np.float16,
    11: np.float64,
    12: np.uint32,
    13: np.uint64,
}
"""TensorProto.DataType -> NumPy; what is not here cannot be served."""
HALF: Final = 10
QUANTIZERS: Final = frozenset({b"QuantizeLinear", b"DequantizeLinear"})
GRAPH, NODE, INITIALIZER, INPUT, OUTPUT = 7, 1, 5, 11, 12


@dataclass(frozen=True)
class Signature:
    """What a model looks like from outside."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    half: bool
    """Weights or tensors in 16-bit floating point."""
    quantized: bool
    """Explicit nodes that quantize."""


def read_signature(model_file: Path) -> Signature:
    """Read what a model takes and gives.

    Raises:
        EngineError: the file cannot be read, is not ONNX, or a tensor is of a kind that cannot be served.
    """
    try:
        with model_file.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _signature(data)
    except (OSError, ValueError) as exc:
        raise EngineError(f"{model_file}: cannot be read as a model: {exc}") from exc
    except NotOnnxError as exc:
        raise EngineError(f"{model_file}: is not an ONNX file that can be served: {exc}") from exc


def _signature(data: mmap.mmap) -> Signature:
    inputs: list[TensorSpec] = []
    outputs: list[TensorSpec] = []
    weights: set[str] = set()
    half = quantized = False
    for number, start, stop in _within(data, 0, len(data), GRAPH):
        if number == INPUT:
            inputs.append(_value(data, start, stop))
        elif number == OUTPUT:
            outputs.append(_value(data, start, stop))
        elif number == INITIALIZER:
            weights.add(_text(data, start, stop, 8))
            half = half or dict(numbers(data, start, stop)).get(2) == HALF
        elif number == NODE:
            quantized = quantized or _text(data, start, stop, 4).encode() in QUANTIZERS
    real = tuple(spec for spec in inputs if spec.name not in weights)  # before IR 4 weights were inputs, too
    half = half or any(spec.dtype == np.float16 for spec in (*real, *outputs))
    return Signature(real, tuple(outputs), half, quantized)


def _within(data: mmap.mmap, at: int, end: int, *path: int) -> Iterator[tuple[int, int, int]]:
    """Yield the fields of the message that lies at this path of field numbers."""
    for number, start, stop in fields(data, at, end):
        if not path:
            yield number, start, stop
        elif number == path[0]:
            yield from _within(data, start, stop, *path[1:])


def _value(data: mmap.mmap, at: int, end: int) -> TensorSpec:
    """Read a ValueInfoProto: name = 1, type = 2 > tensor_type = 1 > elem_type = 1, shape = 2 > dim = 1."""
    name = _text(data, at, end, 1)
    kinds = [
        dict(numbers(data, start, stop)).get(1, 0)
        for number, start, stop in _within(data, at, end, 2)
        if number == 1
    ]
    if len(kinds) != 1 or kinds[0] not in ELEMENTS:
        raise NotOnnxError(f"tensor {name!r} is of a kind that this device cannot serve")
    axes: list[int | None] = []
    for number, start, stop in _within(data, at, end, 2, 1, 2):
        if number == 1:
            length = dict(numbers(data, start, stop)).get(1, 0)
            axes.append(length if 0 < length < 1 << 62 else None)
    return TensorSpec(name, np.dtype(ELEMENTS[kinds[0]]), tuple(axes))


def _text(data: mmap.mmap, at: int, end: int, wanted: int) -> str:
    for number, start, stop in fields(data, at, end):
        if number == wanted:
            return data[start:stop].decode("utf-8", "replace")
    return ""
