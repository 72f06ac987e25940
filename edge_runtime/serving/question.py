"""An Ask as a request of the Open Inference Protocol v2 with binary tensors, and the answer to it: the client's side.

`offload` sends and receives what is made here; `tensors` is the server's side of the same. What comes from the other
machine is checked before it is used: types, shapes, sizes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Final

import msgspec
import numpy as np

from edge_runtime.engine.base import Array, Tensors
from edge_runtime.serving.ask import Answer, Ask
from edge_runtime.serving.tensors import DEEPEST, DTYPES, NAMES
from toolkit.errors import IntegrityError

_PASSED_ON: Final = (bool, int, float, str)
"""Types of parameters that a request may have."""


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, object] = {}


class _Answer(msgspec.Struct):
    model_name: str
    outputs: list[_Tensor]
    model_version: str = ""


_decoder = msgspec.json.Decoder(_Answer)


def encode_question(ask: Ask) -> tuple[bytes, list[memoryview]]:
    """Write the JSON of a request, and the tensors that follow it."""
    parameters: dict[str, object] = {
        name: value
        for name, value in ask.parameters.items()
        if isinstance(value, _PASSED_ON) and not name.startswith("tiers_")
    }
    parameters |= {"priority": int(ask.priority), "binary_data_output": True}
    parameters.pop("timeout", None)
    if ask.deadline < math.inf:
        parameters["timeout"] = max(round((ask.deadline - perf_counter()) * 1e6), 1)
    blobs = [np.ascontiguousarray(array) for array in ask.inputs.values()]
    inputs = [
        {
            "name": name,
            "datatype": NAMES[blob.dtype],
            "shape": list(array.shape),
            "parameters": {"binary_data_size": blob.nbytes},
        }
        for (name, array), blob in zip(ask.inputs.items(), blobs, strict=True)
    ]
    document: dict[str, object] = {"inputs": inputs, "parameters": parameters}
    if ask.wanted:
        document["outputs"] = [{"name": name} for name in ask.wanted]
    views = [blob.reshape(-1).view(np.uint8).data for blob in blobs if blob.nbytes]
    return msgspec.json.encode(document), views


def decode_answer(body: bytes, head_length: str | None, wanted: Sequence[str]) -> Answer:
    """Read the answer to a question; the arrays share the memory of `body`.

    Args:
        body: of the response.
        head_length: value of Inference-Header-Content-Length.
        wanted: outputs that were asked for; empty means all.

    Raises:
        IntegrityError: it is none, or not one to this question.
    """
    view = memoryview(body)
    if head_length is None or not head_length.isdecimal() or int(head_length[:20]) > len(view):
        raise IntegrityError("the other machine's answer does not say how long its JSON is")
    size = int(head_length)
    try:
        document = _decoder.decode(view[:size])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise IntegrityError(f"the other machine's answer is none: {exc}") from exc
    outputs: Tensors = {}
    rest = view[size:]
    for tensor in document.outputs:
        array, rest = _read(tensor, rest)
        outputs[tensor.name] = array
    if len(rest) or not {*wanted} <= {*outputs}:
        raise IntegrityError("the other machine's answer does not have the outputs that were asked for")
    return Answer(document.model_name, document.model_version, outputs)


def _read(tensor: _Tensor, rest: memoryview) -> tuple[Array, memoryview]:
    dtype = DTYPES.get(tensor.datatype)
    binary = tensor.parameters.get("binary_data_size")
    shape = tensor.shape
    if dtype is None or len(shape) > DEEPEST or not all(0 <= axis < 1 << 40 for axis in shape):
        raise IntegrityError(
            f"the other machine's output {tensor.name[:80]!r} has a type or shape that is none"
        )
    expected = math.prod(shape) * dtype.itemsize
    if binary != expected or expected > len(rest):
        raise IntegrityError(
            f"the other machine's output {tensor.name[:80]!r} is not as long as its shape says"
        )
    array: Array = np.frombuffer(rest[:expected], dtype) if expected else np.empty(0, dtype)
    return array.reshape(shape), rest[expected:]


def headers_of(ask: Ask, head_length: int, extra: Mapping[str, str]) -> dict[str, str]:
    """Give the headers of a question that is passed on: it says so, and goes no further from there."""
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(head_length),
        "Tiers-Forwarded": "1",
        **extra,
    }
    if ask.trace:
        headers["traceparent"] = ask.trace
    return headers
