"""BentoML with adaptive batching, one worker, access log off; images as base64 in JSON.

    PEERS/bin/python -m benchmarks.asking.servers.bentoml_server MODEL MAX_BATCH DTYPE AXES

It forks its own workers, which import `bentoml_service` and find the model in the environment.
"""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.asking.servers.announce import announce, free_port

ARGUMENTS = "BENCH_MODEL"
SERVICE = "benchmarks.asking.servers.bentoml_service:Service"


def main() -> int:
    """Serve until killed."""
    port = free_port()
    announce(port)
    os.environ[ARGUMENTS] = "\n".join(sys.argv[1:])
    os.environ["BENTOML_DO_NOT_TRACK"] = "true"
    os.environ["BENTOML_CONFIG_OPTIONS"] = "services.logging.access.enabled=false"
    command = [sys.executable, "-m", "bentoml", "serve", SERVICE, "--host", "127.0.0.1", "--port", str(port)]
    return subprocess.call(command, stdout=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
