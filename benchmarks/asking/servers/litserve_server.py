"""LitServe with dynamic batching and its fast queue (ZeroMQ), one worker, logs off; images as base64 in JSON.

    PEERS/bin/python -m benchmarks.asking.servers.litserve_server MODEL MAX_BATCH DTYPE AXES

Base64 is how its documentation sends images; numbers in JSON cost it more.
"""

from __future__ import annotations

import base64
from typing import Any

import litserve
import numpy as np

from benchmarks.asking.servers.announce import announce, free_port
from benchmarks.asking.servers.session import Model


class Api(litserve.LitAPI):  # type: ignore[misc]
    """One model."""

    def setup(self, device: str) -> None:
        """Load it in the worker."""
        del device
        self.model = Model()

    def decode_request(self, request: dict[str, str]) -> np.ndarray:
        """Read an image."""
        return self.model.image(base64.b64decode(request["image"]))

    def batch(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Put images together."""
        return np.stack(inputs)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Run the model."""
        return self.model.run(x)

    def unbatch(self, output: np.ndarray) -> list[np.ndarray]:
        """Take them apart."""
        return list(output)

    def encode_response(self, output: np.ndarray) -> dict[str, Any]:
        """Write the scores."""
        return {"scores": output.tolist()}


if __name__ == "__main__":
    port = free_port()
    announce(port)
    import sys

    api = Api(max_batch_size=int(sys.argv[2]), batch_timeout=0.0005)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=port,
        num_api_servers=1,
        log_level="critical",
        access_log=False,
        generate_client_file=False,
    )
