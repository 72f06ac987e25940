"""Ray Serve with batching, one replica, access log off; images as raw bytes, which its ingress hands on unparsed.

PEERS/bin/python -m benchmarks.asking.servers.ray_server MODEL MAX_BATCH DTYPE AXES
"""

from __future__ import annotations

import os
import sys
import time

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0", "RAY_SERVE_LOG_TO_STDERR": "0"}

import numpy as np
import ray
from ray import serve
from ray.serve.config import HTTPOptions
from ray.serve.schema import LoggingConfig
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.asking.servers.announce import free_port
from benchmarks.asking.servers.session import Model

GIVEN = sys.argv[1:]
QUIET = LoggingConfig(enable_access_log=False, log_level="ERROR")


def make(arguments: list[str]) -> serve.Application:
    """Describe the deployment."""

    @serve.deployment(num_replicas=1, max_ongoing_requests=1000, logging_config=QUIET)  # type: ignore[untyped-decorator]
    class Service:
        def __init__(self) -> None:
            self.model = Model(arguments)

        @serve.batch(max_batch_size=int(arguments[1]), batch_wait_timeout_s=0.0005)  # type: ignore[untyped-decorator]
        async def predict(self, images: list[np.ndarray]) -> list[np.ndarray]:
            return list(self.model.run(np.stack(images)))

        async def __call__(self, request: Request) -> Response:
            scores = await self.predict(self.model.image(await request.body()))
            return Response(scores.tobytes(), media_type="application/octet-stream")

    return Service.bind()  # type: ignore[attr-defined]


if __name__ == "__main__":
    port = free_port()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port), logging_config=QUIET)
    serve.run(make(GIVEN))
    print(f"ready 127.0.0.1:{port}", flush=True)
    while True:
        time.sleep(3600)
