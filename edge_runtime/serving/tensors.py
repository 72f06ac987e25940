"""Tensors of the Open Inference Protocol v2, as JSON or in its binary extension <-> NumPy arrays.

`routes` calls it on both sides of a model. Sources: https://github.com/kserve/open-inference-protocol (inference_rest)
and Triton's extension_binary_data. Sizes are checked before anything is allocated; nothing is converted in silence: a
float where an integer belongs, a number that does not fit, or a byte too many is an error that says what was expected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

import msgspec
import numpy as np

from edge_runtime.engine.base import Array, Tensors
from edge_runtime.serving.http import Buffer, Response
from edge_runtime.serving.refusals import BadRequestError

DTYPES: dict[str, np.dtype[np.generic]] = {
    "BOOL": np.dtype("?"),
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
"""NumPy type -> the protocol's name of it."""
DEEPEST = 16
"""Axes that a tensor may have."""
HEADER_LENGTH = "Inference-Header-Content-Length"
ELEMENTS: dict[str, type[bool | int | float]] = {"b": bool, "u": int, "i": int, "f": float}

Parameters = dict[str, bool | int | float | str | None]


class InputTensor(msgspec.Struct):
    """One input as it stands in the JSON of a request."""

    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters = {}
    data: msgspec.Raw = msgspec.Raw()


class WantedOutput(msgspec.Struct):
    """One output that the client asks for."""

    name: str
    parameters: Parameters = {}


class InferRequest(msgspec.Struct):
    """The JSON of a request."""

    inputs: list[InputTensor]
    id: str = ""
    parameters: Parameters = {}
    outputs: list[WantedOutput] = []


class OutputTensor(msgspec.Struct, omit_defaults=True):
    """One output as it stands in the JSON of a response."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, int] = {}
    data: list[object] | None = None


class InferResponse(msgspec.Struct, omit_defaults=True):
    """The JSON of a response."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str = ""


_request_decoder = msgspec.json.Decoder(InferRequest)
_encoder = msgspec.json.Encoder()


def decode_request(body: Buffer, header_length: str | None) -> tuple[InferRequest, Tensors]:
    """Read an inference request; `header_length` is the value of Inference-Header-Content-Length.

    Raises:
        BadRequestError: it is not one; the message names the place.
    """
    view = memoryview(body)
    size = len(view)
    if header_length is not None:
        if not (header_length.isascii() and header_length.isdigit() and int(header_length[:20]) <= size):
            raise BadRequestError(f"{HEADER_LENGTH} must be a number from 0 to the body's {size} bytes")
        size = int(header_length)
    try:
        request = _request_decoder.decode(view[:size])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BadRequestError(f"the body is not an inference request in JSON: {exc}") from exc
    tensors: Tensors = {}
    rest = view[size:]
    for tensor in request.inputs:
        if tensor.name in tensors:
            raise BadRequestError(f"input {tensor.name[:80]!r} is there twice")
        tensors[tensor.name], rest = _decode_tensor(tensor, rest)
    if len(rest):
        raise BadRequestError(f"{len(rest)} bytes follow the last tensor")
    return request, tensors


def _decode_tensor(tensor: InputTensor, rest: memoryview) -> tuple[Array, memoryview]:
    where = f"input {tensor.name[:80]!r}"
    dtype = DTYPES.get(tensor.datatype)
    if dtype is None:
        raise BadRequestError(f"{where}: datatype {tensor.datatype[:20]!r} is none of {', '.join(DTYPES)}")
    if len(tensor.shape) > DEEPEST or any(not 0 <= axis < 1 << 40 for axis in tensor.shape):
        raise BadRequestError(f"{where}: a shape is a list of at most {DEEPEST} lengths, each 0 or more")
    if "shared_memory_region" in tensor.parameters:
        raise BadRequestError(f"{where}: shared memory is not offered here; send the data")
    count = math.prod(tensor.shape)
    binary = tensor.parameters.get("binary_data_size")
    if binary is None:
        return _from_json(tensor.data, dtype, tensor.shape, where), rest
    if bytes(tensor.data):
        raise BadRequestError(f"{where}: has both data and binary_data_size")
    expected = count * dtype.itemsize
    if type(binary) is not int or binary != expected:
        raise BadRequestError(
            f"{where}: binary_data_size is {binary!r}, but {tensor.datatype}{tensor.shape} is {expected} bytes"
        )
    if expected > len(rest):
        raise BadRequestError(f"{where}: needs {expected} bytes, but only {len(rest)} are left in the body")
    return _from_bytes(rest[:expected], dtype, tensor.shape, where), rest[expected:]


def _from_bytes(data: memoryview, dtype: np.dtype[np.generic], shape: Sequence[int], where: str) -> Array:
    array: Array = np.frombuffer(data, dtype) if len(data) else np.empty(0, dtype)
    if dtype.kind == "b" and len(data) and array.view(np.uint8).max() > 1:
        raise BadRequestError(f"{where}: a BOOL is a byte 0 or 1")
    if not array.flags.aligned:  # engines read whole words
        array = array.copy()
    return _reshape(array, shape, where)


def _from_json(raw: msgspec.Raw, dtype: np.dtype[np.generic], shape: Sequence[int], where: str) -> Array:
    """Read flat or fully nested data; both are allowed by the protocol."""
    if not bytes(raw):
        raise BadRequestError(f"{where}: has neither data nor binary_data_size")
    values: list[object]
    try:
        values = _list_decoder(dtype.kind, 1).decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as flat:
        try:
            values = _list_decoder(dtype.kind, len(shape)).decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadRequestError(
                f"{where}: data must be {ELEMENTS[dtype.kind].__name__} values, "
                f"flat or nested as its shape {list(shape)}: {flat}"
            ) from flat
    try:
        with np.errstate(over="raise"):
            array: Array = np.array(values, dtype)
    except (ValueError, OverflowError, FloatingPointError) as exc:
        raise BadRequestError(f"{where}: data does not fit {NAMES[dtype]}{list(shape)}: {exc}") from exc
    if (
        array.ndim > 1 and array.size and array.shape != tuple(shape)
    ):  # an empty list hides the axes inside it
        raise BadRequestError(f"{where}: data has shape {list(array.shape)}, but shape says {list(shape)}")
    return _reshape(array, shape, where)


@cache
def _list_decoder(kind: str, depth: int) -> msgspec.json.Decoder[list[object]]:
    nested: object = ELEMENTS[kind]
    for _ in range(max(depth, 1)):
        nested = list[nested]  # type: ignore[valid-type]
    return msgspec.json.Decoder(nested)


def _reshape(array: Array, shape: Sequence[int], where: str) -> Array:
    try:
        return array.reshape(shape)
    except ValueError as exc:
        raise BadRequestError(
            f"{where}: has {array.size} values, but its shape {list(shape)} needs {math.prod(shape)}"
        ) from exc


def encode_response(
    name: str, version: str, request: InferRequest, outputs: Mapping[str, Array], known: Sequence[str]
) -> Response:
    """Write the outputs that the client asked for (all of them when it named none).

    Raises:
        BadRequestError: an output cannot be given as asked.
    """
    all_binary = request.parameters.get("binary_data_output") is True
    wanted = request.outputs or [WantedOutput(each) for each in known]
    document = InferResponse(name, version, [], request.id)
    blobs: list[Buffer] = []
    for want in wanted:
        array = outputs[want.name]
        tensor = OutputTensor(want.name, NAMES[array.dtype], array.shape)
        if want.parameters.get("binary_data", all_binary) is True:
            tensor.parameters = {"binary_data_size": array.nbytes}
            if array.nbytes:
                blobs.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        else:
            tensor.data = _to_json(array, want.name)
        document.outputs.append(tensor)
    head = _encoder.encode(document)
    if not any(tensor.parameters for tensor in document.outputs):
        return Response(200, (head,))
    return Response(
        200, (head, *blobs), content_type="application/octet-stream", headers={HEADER_LENGTH: str(len(head))}
    )


def _to_json(array: Array, name: str) -> list[object]:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadRequestError(
            f"output {name!r} has values that JSON cannot carry (NaN or infinity); ask for binary_data"
        )
    values: list[object] = array.reshape(-1).tolist()
    return values


def check_wanted(request: InferRequest, known: Sequence[str]) -> None:
    """Refuse outputs that the model does not have, or that are asked for in a way that is not offered.

    Raises:
        BadRequestError: names the output and what there is.
    """
    seen: set[str] = set()
    for want in request.outputs:
        if want.name not in known or want.name in seen:
            wrong = (
                "is asked for twice"
                if want.name in seen
                else f"is not there; the model gives {', '.join(known)}"
            )
            raise BadRequestError(f"output {want.name[:80]!r} {wrong}")
        if "classification" in want.parameters or "shared_memory_region" in want.parameters:
            raise BadRequestError(
                f"output {want.name!r}: classification and shared memory are not offered here"
            )
        seen.add(want.name)
