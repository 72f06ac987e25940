"""The least that answers: no HTTP, no checks, no queue, one client. What it takes is no server's fault.

python -m benchmarks.asking.servers.bare MODEL MAX_BATCH DTYPE AXES blocking|loop echo|model

All requests are as long as the first, and the image is at the end. *blocking* waits in `recv`, *loop* is a protocol of
uvloop, as ours is; *echo* answers without the model. `asking.floors` measures them.
"""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections.abc import Callable
from typing import cast

import numpy as np
import uvloop

from benchmarks.asking.servers.session import Model

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
END = b"\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: "
ROOM = 1024 * 1024
Answer = Callable[[memoryview], bytes]


def answer_of(model: Model, *, runs: bool) -> Answer:
    """Give what makes an answer of a request; without the model it is always the same one."""
    size = int(np.prod(model.shape)) * model.dtype.itemsize
    axes = (1, *model.shape)
    same = model.run(np.zeros(axes, model.dtype)).tobytes()
    head = HEAD + str(len(same)).encode() + END

    def answer(request: memoryview) -> bytes:
        if not runs:
            return head + same
        image = np.frombuffer(request[len(request) - size :], model.dtype).reshape(axes)
        return head + model.run(image).tobytes()

    return answer


def length_of(came: bytes | bytearray) -> int:
    """Give the bytes of the request that begins here; 0 while its head is not whole."""
    end, found = came.find(END), LENGTH.search(came)
    return end + len(END) + int(found[1]) if end >= 0 and found is not None else 0


def block(answer: Answer) -> None:
    """Serve one client after the other."""
    room = bytearray(ROOM)
    view = memoryview(room)
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(f"ready 127.0.0.1:{server.getsockname()[1]}", flush=True)
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            got = length = 0
            while count := connection.recv_into(view[got:]):
                got += count
                length = length or length_of(room[:got])
                if got == length:
                    connection.sendall(answer(view[:length]))
                    got = 0
            connection.close()


class Bare(asyncio.BufferedProtocol):
    """One client of the loop."""

    def __init__(self, answer: Answer) -> None:
        """Answer with this."""
        self._answer, self._got, self._length = answer, 0, 0
        self._room = bytearray(ROOM)
        self._view = memoryview(self._room)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Give the place for what comes next."""
        del sizehint
        return self._view[self._got :]

    def buffer_updated(self, nbytes: int) -> None:
        """Answer when all is there."""
        self._got += nbytes
        self._length = self._length or length_of(self._room[: self._got])
        if self._got == self._length:
            self._got = 0
            self._transport.write(self._answer(self._view[: self._length]))


async def turn(answer: Answer) -> None:
    """Serve on the loop until killed."""
    server = await asyncio.get_running_loop().create_server(lambda: Bare(answer), "127.0.0.1", 0)
    print(f"ready 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until killed."""
    kind, work = sys.argv[5:]
    answer = answer_of(Model(), runs=work == "model")
    if kind == "blocking":
        block(answer)
    else:
        uvloop.run(turn(answer))


if __name__ == "__main__":
    main()
