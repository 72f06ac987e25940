"""Our server as the daemon puts it together, without installations: one model, straight from a file.

python -m benchmarks.asking.servers.ours MODEL MAX_BATCH QUEUE [SOCKET]
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from edge_runtime.engine.choose import open_engine
from edge_runtime.serving.loop import run
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.server import Server
from toolkit.link.buffers import keep_buffers
from toolkit.wire.device_config import ModelConfig, ServingConfig

MODEL = "bench"


async def serve(file: Path, max_batch: int, queue: int) -> None:
    """Serve until killed."""
    table = ModelTable([ModelConfig(name=MODEL, max_batch=max_batch, queue=queue)])
    await table.swap(MODEL, "1", open_engine(file))
    server = Server(ServingConfig(port=0), table)
    await server.start()
    print(f"ready 127.0.0.1:{server.port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    keep_buffers()
    run(serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
