"""What our server does with a request that comes alone, step by step, without a socket: the same code in one process.

A transport that goes nowhere hands whole requests to a real `Connection` with routes, desk, table, batcher and ONNX
Runtime behind it. Functions at which a step begins are marked: each call writes down the moment. A mark costs some
0.2 µs, which are in the figures. Beside the steps, the same requests are timed without marks.

    python -m benchmarks.asking.steps SHAPE...
"""

from __future__ import annotations

import asyncio
import inspect
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop

from benchmarks.asking.bodies import oip
from benchmarks.asking.contest import max_batch_of
from benchmarks.asking.models import SHAPES, Shape, build, image_of
from edge_runtime.engine.choose import open_engine
from edge_runtime.engine.onnxruntime_engine import OnnxRuntimeEngine
from edge_runtime.serving import connection, routes
from edge_runtime.serving.batcher import Batcher
from edge_runtime.serving.connection import Connection
from edge_runtime.serving.desk import Desk
from edge_runtime.serving.floor import Floor
from edge_runtime.serving.guard import Door, Guard
from edge_runtime.serving.limits import Limits
from edge_runtime.serving.loop import collect_rarely
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.server import Server
from toolkit.link.buffers import keep_buffers
from toolkit.wire.device_config import ModelConfig, ServingConfig

MODEL = "bench"
WARM, COUNT = 300, 2000
MARKED: tuple[tuple[object, str, str], ...] = (
    (Connection, "buffer_updated", "read, find the head, lay the body"),
    (Connection, "_complete", "wake the connection's task"),
    (Connection, "_answer", "route, look up the model"),
    (routes.Routes, "_infer", "JSON and tensors of the request"),
    (Desk, "answer", "desk, table, version; check the tensors"),
    (Batcher, "submit", "waiting room, order, who runs it"),
    (OnnxRuntimeEngine, "infer", "the engine"),
    (Batcher, "_deliver_at_once", "hand over; what is counted is counted after the write"),
    (routes, "encode_response", "JSON and tensors of the answer"),
    (connection, "encode_head", "head, write; this program is told of it"),
)
"""Where a step begins, in this order, and what it is."""
FIRST = "the transport asks where bytes go, and copies them there"


@dataclass(frozen=True)
class Step:
    """A part of a request."""

    what: str
    us: float
    """Median of microseconds; the steps' sum is near the request's."""


class Nowhere(asyncio.Transport):
    """A transport whose other end is this program."""

    def __init__(self) -> None:
        """Come from this machine."""
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = asyncio.get_running_loop().create_future()

    def is_closing(self) -> bool:
        """Stay."""
        return False

    def get_write_buffer_size(self) -> int:
        """Take everything."""
        return 0

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Take an answer."""
        self.written.set_result(bytes(data))

    def writelines(self, list_of_data: Any) -> None:  # noqa: ANN401 -- asyncio's own signature
        """Take an answer in parts."""
        self.write(b"".join(list_of_data))


@contextmanager
def marks(into: list[tuple[str, float]]) -> Iterator[None]:
    """Let each marked function write its step and the moment there; afterwards all is as before."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in MARKED]
    for (owner, name, function), (_, _, what) in zip(before, MARKED, strict=True):
        setattr(owner, name, _marked(function, what, into))
    try:
        yield
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


def _marked(function: Callable[..., Any], what: str, into: list[tuple[str, float]]) -> Callable[..., Any]:
    def call(*args: object, **named: object) -> object:
        into.append((what, perf_counter()))
        return function(*args, **named)

    async def wait(*args: object, **named: object) -> object:
        into.append((what, perf_counter()))
        return await function(*args, **named)

    return wait if inspect.iscoroutinefunction(function) else call


async def measure(shape: Shape, folder: Path, count: int = COUNT) -> tuple[list[Step], float]:
    """Give the steps, and the median of whole requests without marks in µs."""
    config = ModelConfig(name=MODEL, max_batch=max_batch_of(shape))
    table = ModelTable([config])
    await table.swap(MODEL, "1", open_engine(build(shape, folder / "model.onnx")))
    server = Server(ServingConfig(port=0), table, desk=Desk([config], table))
    request = oip(MODEL)(image_of(shape))
    stamps: list[tuple[str, float]] = []
    with marks(stamps):  # before the connection is made, which keeps some of them
        marked = await _ask(server, request, count, stamps)
    plain = await _ask(server, request, count, [])
    await table.close()
    found: dict[str, list[float]] = {}
    for began, ended, seen in marked:
        last, moment = FIRST, began
        for what, at in (*seen, ("", ended)):
            found.setdefault(last, []).append(at - moment)
            last, moment = what, at
    steps = [Step(what, statistics.median(each) * 1e6) for what, each in found.items()]
    return steps, statistics.median(ended - began for began, ended, _ in plain) * 1e6


async def _ask(
    server: Server, request: bytes, count: int, stamps: list[tuple[str, float]]
) -> list[tuple[float, float, list[tuple[str, float]]]]:
    """Let a client in that has no socket, and ask one after the other; give beginning, end and marks of each."""
    client = Connection(server.respond, Floor(Limits()), Guard(server.credentials, Door.LOOPBACK))
    transport = Nowhere()
    client.connection_made(transport)
    found = []
    for turn in range(-min(WARM, count), count):
        if not turn:
            collect_rarely()
        stamps.clear()
        transport.written = asyncio.get_running_loop().create_future()
        began, sent = perf_counter(), 0
        while sent < len(request):
            room = client.get_buffer(-1)
            piece = request[sent : sent + len(room)]
            room[: len(piece)] = piece
            client.buffer_updated(len(piece))
            sent += len(piece)
        answer = await transport.written
        ended = perf_counter()
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"asking failed: {answer[:300]!r}")
        if turn >= 0:
            found.append((began, ended, list(stamps)))
    return found


def show(shape: str, steps: list[Step], whole: float) -> None:
    """Print the steps."""
    for step in steps:
        print(f"{shape:<14}     {step.what:<54} {step.us:8.1f} µs")
    print(f"{shape:<14}     {'whole request without marks':<54} {whole:8.1f} µs")


def main() -> None:
    """Measure the named shapes, or all."""
    keep_buffers()
    for name in sys.argv[1:] or SHAPES:
        with tempfile.TemporaryDirectory(prefix="tiers-steps-") as folder:
            show(name, *uvloop.run(measure(SHAPES[name], Path(folder))))


if __name__ == "__main__":
    main()
