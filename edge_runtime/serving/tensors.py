"""Tensors of the Open Inference Protocol v2, as JSON or in its binary extension <-> NumPy arrays.

`routes` calls it on both sides of a model. Sources: https://github.com/kserve/open-inference-protocol (inference_rest)
and Triton's extension_binary_data. Sizes are checked before anything is allocated; nothing is converted in silence: a
float where an integer belongs, a number that does not fit, or a byte too many is an error that says what was expected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import msgspec
import numpy as np

from edge_runtime.engine.base import Array, Tensors
from edge_runtime.serving.http import Buffer, Response
from edge_runtime.serving.refusals import BadRequestError, TooLongError
from edge_runtime.serving.shared_memory import Lease

DTYPES: dict[str, np.dtype[np.generic]] = {
    "BOOL": np.dtype("?"),
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": np.dtype(f"<f{size}") for size in (2, 4, 8)},
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
"""NumPy type -> the protocol's name of it."""
LONGEST_JSON = 16 * 1024 * 1024
"""Bytes: as Python's numbers and lists they take up to twenty times that for a moment, in which nobody is served."""
DEEPEST = 16
"""Axes that a tensor may have."""
SMALL = 16 * 1024
"""Bytes of an output that are cheaper to copy than to keep and view."""
NO_MEMORY = "shared memory is not offered here; send the data"
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
    parameters: dict[str, int | str] = {}
    data: list[object] | None = None


class InferResponse(msgspec.Struct, omit_defaults=True):
    """The JSON of a response."""

    model_name: str
    model_version: str
    outputs: list[OutputTensor]
    id: str = ""
    parameters: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class _Layout:
    """A request that was read before, and where its tensors lie behind its JSON. A client sends the same all day."""

    request: InferRequest
    tensors: tuple[tuple[str, np.dtype[np.generic], tuple[int, ...], int], ...]
    """Name, type, shape, first byte from the beginning of the body."""
    body_bytes: int


MOST_LAYOUTS: Final = 256
"""Kept; when one more comes, all are forgotten."""
LONGEST_LAYOUT: Final = 1024
"""Bytes of a JSON that is kept."""
_layouts: dict[bytes, _Layout] = {}
MOST_ANSWERS: Final = 256
"""JSONs of answers that are kept; when one more comes, all are forgotten."""
_answers: dict[tuple[object, ...], bytes] = {}
"""Model, version, and each output's name, type and shape -> the JSON before them when all are binary."""
_request_decoder = msgspec.json.Decoder(InferRequest)
_encoder = msgspec.json.Encoder()


def read_head(body: Buffer, header_length: str | None) -> tuple[InferRequest, memoryview]:
    """Read the JSON of an inference request alone; give also the tensors' bytes behind it.

    Raises:
        BadRequestError: it is not one.
        TooLongError: it is too much of one.
    """
    view = memoryview(body)
    size = len(view)
    if header_length is not None:
        if not (header_length.isascii() and header_length.isdigit() and int(header_length[:20]) <= size):
            raise BadRequestError(f"{HEADER_LENGTH} must be a number from 0 to the body's {size} bytes")
        size = int(header_length)
    if size > LONGEST_JSON:
        raise TooLongError(
            f"the JSON of a request may have at most {LONGEST_JSON} bytes; send tensors in binary form"
        )
    try:
        request = _request_decoder.decode(view[:size])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BadRequestError(f"the body is not an inference request in JSON: {exc}") from exc
    if "sequence_id" in request.parameters:
        raise BadRequestError("parameter sequence_id: no model here remembers one request in the next")
    return request, view[size:]


def decode_request(
    body: Buffer, header_length: str | None, memory: Lease | None = None
) -> tuple[InferRequest, Tensors]:
    """Read an inference request.

    Args:
        body: as it came.
        header_length: value of Inference-Header-Content-Length.
        memory: for inputs in shared memory; None where that is not offered.

    Raises:
        BadRequestError: it is not one; the message names the place.
        TooLongError: its JSON is longer than anybody may make everybody wait for.
        CrowdedError: too much shared memory is being read.
    """
    tensors: Tensors = {}
    view = memoryview(body)
    data = _short_json(view, header_length)
    if (known := _layouts.get(data)) is not None and len(view) == known.body_bytes:
        for name, dtype, shape, start in known.tensors:
            array: Array = np.ndarray(shape, dtype, view, start)
            tensors[name] = array if array.flags.aligned else array.copy()
        return known.request, tensors
    request, rest = read_head(body, header_length)
    for tensor in request.inputs:
        if tensor.name in tensors:
            raise BadRequestError(f"input {tensor.name[:80]!r} is there twice")
        tensors[tensor.name], rest = _decode_tensor(tensor, rest, memory)
    if len(rest):
        raise BadRequestError(f"{len(rest)} bytes follow the last tensor")
    if data:
        _keep_layout(data, request, tensors, len(view))
    return request, tensors


def _short_json(view: memoryview, header_length: str | None) -> bytes:
    """Give the JSON in front of binary tensors where it is short enough to be known; else nothing."""
    if (
        header_length is None
        or len(header_length) > len(str(LONGEST_LAYOUT))
        or not header_length.isdecimal()
    ):
        return b""
    size = int(header_length)
    return bytes(view[:size]) if size <= LONGEST_LAYOUT and size < len(view) else b""


def _keep_layout(data: bytes, request: InferRequest, tensors: Tensors, body_bytes: int) -> None:
    """Remember a request that was found good, if all its inputs are plain numbers behind its JSON.

    One with an id of its own is not worth it, and a truth value has to be looked at.
    """
    if request.id or any(tensor.parameters.keys() != {"binary_data_size"} for tensor in request.inputs):
        return
    placed, start = [], len(data)
    for name, array in tensors.items():
        if array.dtype.kind == "b" or not array.size:
            return
        placed.append((name, array.dtype, array.shape, start))
        start += array.nbytes
    if len(_layouts) >= MOST_LAYOUTS:
        _layouts.clear()
    _layouts[data] = _Layout(request, tuple(placed), body_bytes)


def _decode_tensor(tensor: InputTensor, rest: memoryview, memory: Lease | None) -> tuple[Array, memoryview]:
    where = f"input {tensor.name[:80]!r}"
    dtype = DTYPES.get(tensor.datatype)
    if dtype is None:
        raise BadRequestError(f"{where}: datatype {tensor.datatype[:20]!r} is none of {', '.join(DTYPES)}")
    if len(tensor.shape) > DEEPEST or any(not 0 <= axis < 1 << 40 for axis in tensor.shape):
        raise BadRequestError(f"{where}: a shape is a list of at most {DEEPEST} lengths, each 0 or more")
    count = math.prod(tensor.shape)
    binary = tensor.parameters.get("binary_data_size")
    if "shared_memory_region" in tensor.parameters:
        if memory is None:
            raise BadRequestError(f"{where}: {NO_MEMORY}")
        if binary is not None or len(tensor.data):
            raise BadRequestError(f"{where}: is in shared memory, and in the body as well")
        data = memory.read(tensor.parameters, count * dtype.itemsize, where)
        return _from_bytes(data, dtype, tensor.shape, where), rest
    if binary is None:
        return _from_json(tensor.data, dtype, tensor.shape, where), rest
    if len(tensor.data):
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
    if not len(raw):
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
    name: str,
    version: str,
    request: InferRequest,
    outputs: Mapping[str, Array],
    served_by: str = "",
    memory: Lease | None = None,
) -> Response:
    """Write the outputs that the client asked for (all of them, in the model's order, when it named none).

    What stood in for the model that was asked stands in the parameter `tiers_served_by`.

    Raises:
        BadRequestError: an output cannot be given as asked.
    """
    all_binary = request.parameters.get("binary_data_output") is True
    plain = all_binary and not (request.id or request.outputs or served_by)
    if not plain:
        return _encode(name, version, request, outputs, served_by, memory)
    key = (name, version, *((each, array.dtype, array.shape) for each, array in outputs.items()))
    if (head := _answers.get(key)) is not None:
        return _binary(head, [_blob(array) for array in outputs.values()])
    response = _encode(name, version, request, outputs, "", None)
    if outputs:
        if len(_answers) >= MOST_ANSWERS:
            _answers.clear()
        _answers[key] = bytes(response.body[0])
    return response


def _encode(
    name: str,
    version: str,
    request: InferRequest,
    outputs: Mapping[str, Array],
    served_by: str,
    memory: Lease | None,
) -> Response:
    all_binary = request.parameters.get("binary_data_output") is True
    wanted = request.outputs or [WantedOutput(each) for each in outputs]
    document = InferResponse(name, version, [], request.id)
    if served_by:
        document.parameters = {"tiers_served_by": served_by}
    blobs: list[Buffer] = []
    for want in wanted:
        array = outputs.get(want.name)
        if array is None:  # another model may have answered, see `desk`
            raise BadRequestError(f"output {want.name[:80]!r} is not there; {name} gave {', '.join(outputs)}")
        tensor = OutputTensor(want.name, NAMES[array.dtype], array.shape)
        if "shared_memory_region" in want.parameters:
            if memory is None:
                raise BadRequestError(f"output {want.name[:80]!r}: {NO_MEMORY}")
            tensor.parameters = memory.write(want.parameters, array, f"output {want.name[:80]!r}")
        elif want.parameters.get("binary_data", all_binary) is True:
            tensor.parameters = {"binary_data_size": array.nbytes}
            blobs.append(_blob(array))
        else:
            tensor.data = _to_json(array, want.name)
        document.outputs.append(tensor)
    head = _encoder.encode(document)
    if not any("binary_data_size" in tensor.parameters for tensor in document.outputs):
        return Response(200, (head,))
    return _binary(head, blobs)


def _binary(head: bytes, blobs: Sequence[Buffer]) -> Response:
    return Response(
        200, (head, *blobs), content_type="application/octet-stream", headers={HEADER_LENGTH: str(len(head))}
    )


def _blob(array: Array) -> Buffer:
    if array.nbytes > SMALL:
        return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    return array.tobytes()


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
        if "classification" in want.parameters:
            raise BadRequestError(f"output {want.name!r}: classification is not offered here")
        seen.add(want.name)
