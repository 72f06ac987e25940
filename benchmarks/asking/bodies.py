"""Requests as bytes, in the form that each server of `serving.py` takes, and what its answers say.

Ours and the raw loop get the binary extension of the Open Inference Protocol; peers get the leanest body that their
documentation shows for an array; the plain server gets JSON, as it would in many a team.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

HEADER_LENGTH = "Inference-Header-Content-Length"
DATATYPES = {np.dtype(np.float32): "FP32", np.dtype(np.uint8): "UINT8"}
Body = Callable[[np.ndarray], bytes]


def post(path: str, body: bytes, kind: str = "application/octet-stream", **headers: str) -> bytes:
    """Give a whole request; `_` in the name of a header stands for `-`."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join([*lines, f"Content-Length: {len(body)}"]) + "\r\n\r\n").encode() + body


def oip(model: str, **parameters: object) -> Body:
    """Give what makes requests of the Open Inference Protocol's binary extension for this model."""

    def body(image: np.ndarray) -> bytes:
        tensor = {
            "name": "image",
            "shape": image.shape,
            "datatype": DATATYPES[image.dtype],
            "parameters": {"binary_data_size": image.nbytes},
        }
        document = {"inputs": [tensor], "parameters": {"binary_data_output": True, **parameters}}
        head = json.dumps(document).encode()
        path = f"/v2/models/{model}/infer"
        return post(path, head + image.tobytes(), Inference_Header_Content_Length=str(len(head)))

    return body


def raw(path: str) -> Body:
    """Give what sends nothing but the image's bytes; the server knows its shape."""
    return lambda image: post(path, image.tobytes())


def listed(path: str) -> Body:
    """Give what sends the image as nested lists in JSON."""
    return lambda image: post(path, json.dumps({"image": image.tolist()}).encode(), "application/json")


def scores_of(head: bytes, body: bytes) -> np.ndarray:
    """Read the scores out of an answer of any of the servers."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == HEADER_LENGTH.lower().encode():
            return np.frombuffer(body[int(value) :], np.float32)
    if body[:1] in b"[{":
        found = json.loads(body)
        return np.array(found["scores"] if isinstance(found, dict) else found, np.float32).reshape(-1)
    return np.frombuffer(body, np.float32)
