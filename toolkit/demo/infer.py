"""Ask a device for predictions over the Open Inference Protocol v2, as any client would, and time each answer.

Used by the demo after each rollout. Plain http.client: what is measured is the server, not a client library. The
tensor travels in the protocol's binary form (JSON header, then raw little-endian numbers).
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import TiersError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SECONDS = 30.0


@dataclass(frozen=True)
class Measured:
    """What a set of held-out images showed on one device. Times in milliseconds, measured around each request."""

    device: str
    model_version: str
    images: int
    correct: int
    p50_ms: float
    p99_ms: float

    @property
    def accuracy(self) -> float:
        """Share of images whose largest score is at their label, 0 to 1."""
        return self.correct / self.images


def load_held_out(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read the held-out images (n, 1, 8, 8; float32) and labels (n; int64)."""
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        return arrays["images"].astype(np.float32), arrays["labels"].astype(np.int64)


def measure(device: str, port: int, model: str, held_out: Path) -> Measured:
    """Send each held-out image by itself to a device on loopback.

    Raises:
        TiersError: the device did not answer, or answered with an error.
    """
    images, labels = load_held_out(held_out)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        name = _get(connection, f"/v2/models/{model}")["inputs"][0]["name"]
        seconds: list[float] = []
        correct = 0
        version = ""
        for image, label in zip(images, labels, strict=True):
            begun = time.perf_counter()
            version, scores = _infer(connection, model, name, image[None])
            seconds.append(time.perf_counter() - begun)
            correct += int(scores.argmax() == label)
    except (OSError, http.client.HTTPException) as error:
        raise TiersError(
            f"{device} does not answer on port {port}: {error}", hint="look at its log"
        ) from error
    finally:
        connection.close()
    cuts = statistics.quantiles(seconds, n=100)
    return Measured(device, version, len(labels), correct, cuts[49] * 1e3, cuts[98] * 1e3)


def _get(connection: http.client.HTTPConnection, path: str) -> dict[str, list[dict[str, str]]]:
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != http.client.OK:
        raise TiersError(f"GET {path} was answered {answer.status}: {body[:200].decode(errors='replace')}")
    document: dict[str, list[dict[str, str]]] = json.loads(body)
    return document


def _infer(
    connection: http.client.HTTPConnection, model: str, name: str, image: NDArray[np.float32]
) -> tuple[str, NDArray[np.float32]]:
    import numpy as np

    raw = np.ascontiguousarray(image).tobytes()
    tensor = {
        "name": name,
        "shape": list(image.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(raw)},
    }
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {
        "Inference-Header-Content-Length": str(len(header)),
        "Content-Type": "application/octet-stream",
    }
    connection.request("POST", f"/v2/models/{model}/infer", header + raw, headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != http.client.OK:
        raise TiersError(f"{model} answered {answer.status}: {body[:200].decode(errors='replace')}")
    length = int(answer.headers.get("Inference-Header-Content-Length", len(body)))
    document = json.loads(body[:length])
    return str(document.get("model_version", "")), np.frombuffer(body[length:], np.float32)
