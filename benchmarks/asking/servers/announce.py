"""Says that a server listens, which most peers do not do in a form that a program could read."""

from __future__ import annotations

import socket
import threading
import time


def free_port() -> int:
    """Give a port of loopback that nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def announce(port: int) -> None:
    """Print `ready HOST:PORT` as soon as somebody takes connections there, from a thread."""
    threading.Thread(target=_watch, args=(port,), daemon=True).start()


def _watch(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            print(f"ready 127.0.0.1:{port}", flush=True)
            return
