"""The client of a soak: asks at given rates from a process of its own and writes down every request that it sent.

    python -m benchmarks.soaking.client '{"port": …, "file": …, "streams": […]}'

It says `ready` when it begins, and asks until SIGTERM; then it waits for the answers that are owed, and ends.
Requests come at their moments whatever the daemon does (an open loop). One line a request in the file, in the order in
which they ended; `judging` reads them. Connections are kept and shared; a request that finds none opens one.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import math
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TextIO, cast

import numpy as np
import uvloop

from benchmarks.asking.bodies import oip, post, scores_of
from benchmarks.asking.load import LENGTH
from benchmarks.asking.models import SHAPES, image_of, version_of

CONNECTIONS = 100
"""At the most, so that two clients together stay below what the server allows."""
PATIENCE_SECONDS = 20.0
"""After the end, for answers that are owed."""


@dataclass
class Stream:
    """Requests of one kind."""

    name: str
    rate: float
    """Requests a second."""
    model: str = ""
    """Empty puts records down instead, each with a text of its own."""
    shape: str = ""
    """Name in `asking.models.SHAPES`."""
    priority: int = 0
    """As the protocol's parameter has it; 0 is none."""
    rows: int = 1


@dataclass
class Plan:
    """What to do."""

    port: int
    file: str
    streams: list[dict[str, object]] = field(default_factory=list)


@dataclass(frozen=True)
class Sent:
    """A request that is on its way."""

    stream: str
    due: float
    text: str = ""
    """Of the record that it puts down."""


class Asker(asyncio.Protocol):
    """One connection, with at most one request on its way."""

    def __init__(self, book: Book) -> None:
        """Write into this book."""
        self.book = book
        self.owed: Sent | None = None
        self.parts: list[bytes] = []
        self.came = self.length = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Know how to send."""
        self.transport = cast("asyncio.Transport", transport)

    def ask(self, sent: Sent, request: bytes) -> None:
        """Send a request."""
        self.owed = sent
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take in an answer, or a part of one."""
        self.parts.append(data)
        self.came += len(data)
        if not self.length:
            data = b"".join(self.parts)
            end = data.find(b"\r\n\r\n")
            found = LENGTH.search(data, 0, end + 2) if end >= 0 else None
            if found is None:
                return
            self.length = end + 4 + int(found[1])
        if self.came < self.length or self.owed is None:
            return
        head, _, body = b"".join(self.parts).partition(b"\r\n\r\n")
        self.parts.clear()
        self.came = self.length = 0
        owed, self.owed = self.owed, None
        self.book.answered(owed, head, body)
        if not self.transport.is_closing():
            self.book.free.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Write down what will not be answered any more."""
        if self in self.book.free:
            self.book.free.remove(self)
        if self.owed is not None:
            owed, self.owed = self.owed, None
            self.book.cut(owed, type(exc).__name__ if exc else "closed")


class Book:
    """Everything that was asked."""

    def __init__(self, file: TextIO) -> None:
        """Write to this file."""
        self._file = file
        self.free: list[Asker] = []
        self.open = 0
        self.room = asyncio.Semaphore(CONNECTIONS)
        self.over = False
        """Nothing more is asked."""
        self._settled = asyncio.Event()

    def answered(self, sent: Sent, head: bytes, body: bytes) -> None:
        """Write down an answer, with the version that it names and the one that its scores prove."""
        now = time.monotonic()
        status, named, proven = int(head[9:12]), sent.text, 0
        if status == 200 and not sent.text:
            named = json.loads(body[: _json_length(head)])["model_version"]
            proven = version_of(scores_of(head, body))
        self._write(sent.stream, sent.due, now, status, named, proven, "")

    def cut(self, sent: Sent, why: str) -> None:
        """Write down a request whose connection ended."""
        self._write(sent.stream, sent.due, time.monotonic(), 0, sent.text, 0, why)

    async def settle(self) -> None:
        """Wait for what is owed; what does not come is written down as that."""
        self._settled.clear()
        if self.open:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._settled.wait(), PATIENCE_SECONDS)
        for _ in range(self.open):
            self._write("?", -math.inf, math.inf, -1, "", 0, "unanswered")

    def _write(self, *fields: object) -> None:
        self.open -= 1
        self.room.release()
        if not self.open:
            self._settled.set()
        self._file.write("\t".join(map(str, fields)) + "\n")


def _json_length(head: bytes) -> int | None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"inference-header-content-length":
            return int(value)
    return None  # all of it is JSON


async def _send(book: Book, port: int, sent: Sent, request: bytes) -> None:
    """Send over a free connection, or over a new one, as soon as there may be one."""
    await book.room.acquire()
    while book.free:
        asker = book.free.pop()
        if not asker.transport.is_closing():
            asker.ask(sent, request)
            return
    loop = asyncio.get_running_loop()
    try:
        _, asker = await loop.create_connection(lambda: Asker(book), "127.0.0.1", port)
    except OSError as error:
        book.cut(sent, type(error).__name__)
        return
    asker.ask(sent, request)


async def _stream(book: Book, port: int, stream: Stream, sending: set[asyncio.Task[None]]) -> None:
    draw = random.Random(stream.name)
    making = _records(stream) if not stream.model else _questions(stream, draw)
    due = time.monotonic()
    while not book.over:
        due += draw.expovariate(stream.rate)
        if (pause := due - time.monotonic()) > 0.0005:
            await asyncio.sleep(pause)
        text, request = next(making)
        book.open += 1
        task = asyncio.ensure_future(_send(book, port, Sent(stream.name, due, text), request))
        sending.add(task)
        task.add_done_callback(sending.discard)


def _questions(stream: Stream, draw: random.Random) -> Iterator[tuple[str, bytes]]:
    """Give one of some images for ever."""
    shape, parameters = SHAPES[stream.shape], {"priority": stream.priority} if stream.priority else {}
    body = oip(stream.model, **parameters)
    requests = [
        body(np.concatenate([image_of(shape, seed + row) for row in range(stream.rows)]))
        for seed in range(32)
    ]
    while True:
        yield "", draw.choice(requests)


def _records(stream: Stream) -> Iterator[tuple[str, bytes]]:
    """Give records to put down, each with a text that no other has."""
    for number in count():
        text = f"{stream.name}-{number}"
        body = json.dumps({"records": [{"kind": "soak", "priority": stream.priority or 2, "text": text}]})
        yield text, post("/v2/tiers/records", body.encode(), "application/json")


async def run(plan: Plan, file: TextIO) -> None:
    """Carry out a plan."""
    book, sending = Book(file), set[asyncio.Task[None]]()

    def end() -> None:
        book.over = True

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
    print("ready", flush=True)
    streams = [Stream(**each) for each in plan.streams]  # type: ignore[arg-type]
    await asyncio.gather(*(_stream(book, plan.port, each, sending) for each in streams))
    await book.settle()


if __name__ == "__main__":
    gc.disable()
    given = Plan(**json.loads(sys.argv[1]))
    with Path(given.file).open("w") as written:
        uvloop.run(run(given, written))
