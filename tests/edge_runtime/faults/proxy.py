"""A TCP proxy between a device and its broker that can stop forwarding, forward slowly, or drop the connection."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

READ_BYTES = 64 * 1024
SMALL_BUFFER = 64 * 1024
"""Kernel buffers of the proxy, so that a stall is felt by both ends soon."""


class Proxy:
    """Forwards a port of its own to `port`, both on loopback, until it is told otherwise."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open: list[socket.socket] = []
        self._down = threading.Event()
        self._down.set()
        self._up = threading.Event()
        self._up.set()
        self._ending = threading.Event()
        self.pause_seconds = 0.0
        """Between two reads of what goes down to the device."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def stall(self, *, answers_only: bool = False) -> None:
        """Forward nothing more, in both directions or only towards the device; connections stay open."""
        self._down.clear()
        if not answers_only:
            self._up.clear()

    def go_on(self) -> None:
        """Forward again, what was held back first."""
        self._down.set()
        self._up.set()

    def cut(self) -> None:
        """Close what is open, as both ends do when nothing was heard for longer than the keepalive allows."""
        ends, self._open = self._open, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.go_on()

    def close(self) -> None:
        self._ending.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        self._listener.close()
        self.cut()
        self._thread.join(60)

    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                device, _ = self._listener.accept()
            except OSError:
                return
            device.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
            broker = socket.socket()
            broker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
            try:
                broker.connect(("127.0.0.1", self._target))
            except OSError:
                device.close()
                broker.close()
                continue
            self._open += [device, broker]
            for source, sink, flowing in ((broker, device, self._down), (device, broker, self._up)):
                threading.Thread(target=self._pump, args=(source, sink, flowing), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, flowing: threading.Event) -> None:
        down = flowing is self._down
        with suppress(OSError):
            while data := source.recv(READ_BYTES):
                if down and self.pause_seconds:
                    self._ending.wait(self.pause_seconds)
                flowing.wait()
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
