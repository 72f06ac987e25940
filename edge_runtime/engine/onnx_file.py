"""Read just enough of an ONNX file to know which other files it makes the engine open.

`onnxruntime_engine` asks before it loads a model: weights may lie in files beside the model, and a location such as
`../../etc/shadow` must not leave the model's folder. Recent versions of ONNX Runtime refuse that too; the older ones
that JetPack ties us to do not all. The onnx package is not on a device, so this walks the protocol buffer's wire format
(https://protobuf.dev/programming-guides/encoding/) along the messages of onnx.proto that can hold a tensor.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from toolkit.errors import EngineError

# Message -> field number -> message, from onnx.proto; only the ways that lead to a TensorProto.
WAYS: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {
        5: "Tensor",
        6: "Graph",
        10: "Tensor",
        11: "Graph",
        22: "SparseTensor",
        23: "SparseTensor",
    },
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Entry"},
}
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIXED = {FIXED64: 8, FIXED32: 4}
LONGEST_VARINT = 10
DEEPEST = 100
"""Nested messages that a real model stays far below; protocol buffers' own default limit."""


class NotOnnxError(Exception):
    """The bytes are not a protocol buffer of the expected form."""


def check_external_data(model_file: Path) -> list[str]:
    """Refuse a model that makes the engine read outside the model's own folder.

    Returns:
        The locations that it names, relative to its folder, sorted; each is inside.

    Raises:
        EngineError: the file cannot be read, is not ONNX, or names such a location.
    """
    try:
        with model_file.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            locations = sorted(set(_locations(data, 0, len(data), "Model", DEEPEST)))
    except (OSError, ValueError) as exc:  # ValueError: mmap refuses an empty file
        raise EngineError(f"{model_file}: cannot be read as a model: {exc}") from exc
    except NotOnnxError as exc:
        raise EngineError(f"{model_file}: is not an ONNX file: {exc}") from exc
    folder = model_file.parent.resolve()
    for location in locations:
        if "\0" in location or not (folder / location).resolve().is_relative_to(folder):
            raise EngineError(
                f"{model_file}: its weights are in {location[:200]!r}, which leaves the model's folder",
                hint="keep external data beside the model file, then push the model again",
            )
    return locations


def _locations(data: mmap.mmap, at: int, end: int, message: str, deeper: int) -> Iterator[str]:
    if deeper == 0:
        raise NotOnnxError("its messages are nested too deeply")
    ways = WAYS[message]
    for number, start, stop in fields(data, at, end):
        inner = ways.get(number)
        if inner == "Entry":
            entry = {field: data[first:last] for field, first, last in fields(data, start, stop)}
            if entry.get(1) == b"location":
                yield entry.get(2, b"").decode("utf-8", "surrogateescape")
        elif inner is not None:
            yield from _locations(data, start, stop, inner, deeper - 1)


def fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (number, start, stop) of each field that holds bytes, between two places of a file.

    Raises:
        NotOnnxError: the bytes are no protocol buffer.
    """
    for number, kind, first, last in _walk(data, at, end):
        if kind == BYTES:
            yield number, first, last


def numbers(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (number of the field, value) of each field that holds an integer, between two places of a file.

    Raises:
        NotOnnxError: the bytes are no protocol buffer.
    """
    for number, kind, value, _ in _walk(data, at, end):
        if kind == VARINT:
            yield number, value


def _walk(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (field, kind, start, stop); of an integer (field, kind, value, 0)."""
    while at < end:
        key, at = _varint(data, at, end)
        kind = key & 7
        if kind == VARINT:
            value, at = _varint(data, at, end)
            yield key >> 3, kind, value, 0
            continue
        if kind == BYTES:
            length, at = _varint(data, at, end)
        elif kind in FIXED:
            length = FIXED[kind]
        else:
            raise NotOnnxError(f"unknown kind of field at byte {at}")
        if length > end - at:
            raise NotOnnxError(f"it ends in the middle of the field at byte {at}")
        yield key >> 3, kind, at, at + length
        at += length


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """Give a number and the place behind it.

    Raises:
        NotOnnxError: it ends early or never.
    """
    value = 0
    for place in range(LONGEST_VARINT):
        if at >= end:
            raise NotOnnxError("it ends in the middle of a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:  # noqa: PLR2004 - the top bit says that the number goes on
            return value, at
    raise NotOnnxError(f"a number at byte {at} is too long")
