"""A long way between devices and their broker, for `ship.py`: hands bytes on after a delay, as many as may come.

The kernels of many machines have no sch_netem; this one works everywhere. One thread reads, one writes, each way.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from queue import SimpleQueue

PIECE_BYTES = 256 * 1024


def main() -> None:
    """Print the port, then serve until standard input ends. Arguments: the broker's port, seconds each way."""
    target, delay = int(sys.argv[1]), float(sys.argv[2])
    server = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"port": server.getsockname()[1]}), flush=True)
    threading.Thread(target=_serve, args=(server, target, delay), daemon=True).start()
    sys.stdin.read()


def _serve(server: socket.socket, target: int, delay: float) -> None:
    while True:
        near, _ = server.accept()
        far = socket.create_connection(("127.0.0.1", target))
        for one, other in ((near, far), (far, near)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
            threading.Thread(target=_read, args=(one, line, delay), daemon=True).start()
            threading.Thread(target=_write, args=(other, line), daemon=True).start()


def _read(one: socket.socket, line: SimpleQueue[tuple[float, bytes]], delay: float) -> None:
    while True:
        try:
            data = one.recv(PIECE_BYTES)
        except OSError:
            data = b""
        line.put((time.monotonic() + delay, data))
        if not data:
            return


def _write(other: socket.socket, line: SimpleQueue[tuple[float, bytes]]) -> None:
    while True:
        due, data = line.get()
        pause = due - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        try:
            if not data:
                other.shutdown(socket.SHUT_WR)
                return
            other.sendall(data)
        except OSError:
            return


if __name__ == "__main__":
    main()
