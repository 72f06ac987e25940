"""The plain server, as many a team starts: FastAPI's stack, JSON, one request after the other, nothing kept.

    PEERS/bin/python -m benchmarks.asking.servers.plain MODEL MAX_BATCH DTYPE AXES

Starlette under uvicorn (uvloop, httptools), access log off. It is not made slow: only what batching, binary tensors and
a cache would do is missing.
"""

from __future__ import annotations

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.asking.servers.announce import announce, free_port
from benchmarks.asking.servers.session import Model

MODEL = Model()


async def predict(request: Request) -> JSONResponse:
    """Answer one request."""
    image = np.array((await request.json())["image"], MODEL.dtype)
    return JSONResponse({"scores": MODEL.run(image).tolist()})


if __name__ == "__main__":
    port = free_port()
    announce(port)
    app = Starlette(routes=[Route("/predict", predict, methods=["POST"])])
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="error")
