"""Waiting for a condition, ports that nobody uses, and an end that leaves no process behind."""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait until a condition holds; end the run with `what` when it does not."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise SystemExit(f"after {seconds:.0f} s still not: {what}")
        time.sleep(0.01)


def free_port() -> int:
    """Give a port of loopback that nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def leave_nobody_behind() -> None:
    """Let SIGTERM end this process as Ctrl-C does, so that what it started is ended too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
