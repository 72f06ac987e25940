"""A client that asks over HTTP from a process of its own, in a closed or an open loop, and tells what it saw.

    python -m benchmarks.asking.load '{"address": …, "requests": FILE, "result": FILE, …}'

Closed: each of so many connections asks again as soon as it has its answer. Open: requests come by a Poisson process
whatever the server does, and a request's time counts from the moment at which it was due, so that a server that stalls
does not hide it. It is lean, because it shares the machine with the server: no parser, one write and mostly one read a
request (some 15 µs).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import re
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

import uvloop

Connect = Callable[[Callable[[], asyncio.Protocol]], Awaitable[None]]
ROOT = Path(__file__).resolve().parents[2]
LAST_SECONDS = 1.0
"""After the end of an open loop, for answers that are owed."""
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass
class Plan:
    """What to ask."""

    address: str
    """HOST:PORT, or the path of a unix socket."""
    requests: str
    """File with the requests, written by `write_requests`."""
    result: str
    """File for what was seen."""
    clients: int
    """Connections; in an open loop the most that there may be."""
    seconds: float
    """How long answers count."""
    rate: float = 0.0
    """Requests a second of an open loop; 0 is a closed one."""
    repeats: float = 0.0
    """Open loop: share of requests that take one of the first `popular` requests; the others take the next new one."""
    popular: int = 0
    seed: int = 1


@dataclass
class Seen:
    """What came back."""

    seconds: float = 0.0
    """From the first request to the last answer."""
    times: list[float] = field(default_factory=list)
    """Seconds of each answer with status 200."""
    statuses: dict[str, int] = field(default_factory=dict)
    unanswered: int = 0
    """Open loop: due, and not answered one second after the end."""
    head: str = ""
    body: str = ""
    """The first answer, as latin-1."""
    cpu: float = 0.0
    """Processor seconds of this client."""


class Asker(asyncio.Protocol):
    """One connection. `idle` is told when an answer is whole."""

    def __init__(self, work: Closed | Open) -> None:
        """Ask for this work."""
        self.work = work
        self.parts: list[bytes] = []
        self.came = self.length = 0
        self.due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)
        self.work.idle(self)

    def ask(self, request: bytes, due: float) -> None:
        """Send a request; its time counts from `due`."""
        self.due = due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take in an answer, or a part of one."""
        self.parts.append(data)
        self.came += len(data)
        if not self.length:
            data = b"".join(self.parts)
            end = data.find(b"\r\n\r\n")
            if end < 0:
                return
            found = LENGTH.search(data, 0, end + 2)
            assert found is not None, data[:300]
            self.length = end + 4 + int(found[1])
        if self.came >= self.length:
            answer = b"".join(self.parts)
            self.parts.clear()
            self.came = self.length = 0
            self.work.answered(self, answer)
            self.work.idle(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so where an answer is owed."""
        self.work.lost(self, exc)


class Work:
    """What closed and open loops share."""

    def __init__(self, plan: Plan, requests: list[bytes]) -> None:
        """Prepare."""
        self.plan, self.requests = plan, requests
        self.seen, self.statuses = Seen(), Counter[str]()
        self.until = 0.0
        self.done = asyncio.get_running_loop().create_future()

    def answered(self, asker: Asker, answer: bytes) -> None:
        """Count an answer."""
        status = answer[9:12].decode()
        self.statuses[status] += 1
        if status == "200":
            self.seen.times.append(time.perf_counter() - asker.due)
            if not self.seen.head:
                head, _, body = answer.partition(b"\r\n\r\n")
                self.seen.head, self.seen.body = head.decode("latin-1"), body.decode("latin-1")

    def fail(self, exc: Exception | None) -> None:
        """End with an error."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed a connection"))


class Closed(Work):
    """Each connection asks again as soon as it has its answer."""

    def __init__(self, plan: Plan, requests: list[bytes]) -> None:
        """Prepare."""
        super().__init__(plan, requests)
        self.early: list[Asker] = []

    def idle(self, asker: Asker) -> None:
        """Ask again, or end. Nobody asks before all are connected: that is no part of what is measured."""
        if not self.until:
            self.early.append(asker)
            return
        now = time.perf_counter()
        if now < self.until:
            asker.ask(self.requests[0], now)
            return
        self.plan.clients -= 1
        if not self.plan.clients and not self.done.done():
            self.done.set_result(None)

    def lost(self, asker: Asker, exc: Exception | None) -> None:
        """A server that hangs up in the middle is no good."""
        del asker
        if self.plan.clients:
            self.fail(exc)

    async def run(self, connect: Connect) -> None:
        """Ask until the time is over."""
        await asyncio.gather(*(connect(lambda: Asker(self)) for _ in range(self.plan.clients)))
        began = time.perf_counter()
        self.until = began + self.plan.seconds
        for asker in self.early:
            self.idle(asker)
        await self.done
        self.seen.seconds = time.perf_counter() - began


class Open(Work):
    """Requests come when they come."""

    def __init__(self, plan: Plan, requests: list[bytes]) -> None:
        """Prepare."""
        super().__init__(plan, requests)
        self.free: list[Asker] = []
        self.queue: deque[tuple[bytes, float]] = deque()
        self.owed = 0
        self.settled = asyncio.Event()
        self.draw = random.Random(plan.seed)
        self.fresh = plan.popular

    def idle(self, asker: Asker) -> None:
        """Take the request that is due longest."""
        if self.queue:
            asker.ask(*self.queue.popleft())
        else:
            self.free.append(asker)

    def answered(self, asker: Asker, answer: bytes) -> None:
        """Count it."""
        super().answered(asker, answer)
        self.owed -= 1
        if not self.owed:
            self.settled.set()

    def lost(self, asker: Asker, exc: Exception | None) -> None:
        """A server that hangs up in the middle is no good."""
        del asker
        self.fail(exc)

    def next_request(self) -> bytes:
        """Draw a popular one, or take the next that nobody asked before."""
        if not self.plan.popular or self.draw.random() < self.plan.repeats:
            return self.requests[self.draw.randrange(self.plan.popular or len(self.requests))]
        request = self.requests[self.fresh]
        self.fresh += 1
        if self.fresh == len(self.requests):
            self.fresh = self.plan.popular
        return request

    async def run(self, connect: Connect) -> None:
        """Let requests come until the time is over, and give the last ones a second."""
        await asyncio.gather(*(connect(lambda: Asker(self)) for _ in range(self.plan.clients)))
        began = due = time.perf_counter()
        until = began + self.plan.seconds
        while True:
            due += self.draw.expovariate(self.plan.rate)
            if due > until:
                break
            if (pause := due - time.perf_counter()) > 0.0005:
                await asyncio.sleep(pause)
            elif not self.owed % 16:
                await asyncio.sleep(0)  # let answers in while we are late
            self.owed += 1
            if self.free:
                self.free.pop().ask(self.next_request(), due)
            else:
                self.queue.append((self.next_request(), due))
            if self.done.done():
                await self.done
        self.settled.clear()
        if self.owed:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.settled.wait(), LAST_SECONDS)
        self.seen.unanswered = self.owed
        self.seen.seconds = time.perf_counter() - began


def write_requests(path: Path, requests: list[bytes]) -> str:
    """Write requests for `Plan.requests`."""
    lengths = json.dumps([len(each) for each in requests]).encode()
    path.write_bytes(lengths + b"\n" + b"".join(requests))
    return str(path)


def read_requests(path: str) -> list[bytes]:
    """Read them back."""
    head, _, data = Path(path).read_bytes().partition(b"\n")
    requests, start = [], 0
    for length in json.loads(head):
        requests.append(data[start : start + length])
        start += length
    return requests


async def ask(plan: Plan) -> Seen:
    """Carry out a plan."""
    loop = asyncio.get_running_loop()
    work = (Open if plan.rate else Closed)(plan, read_requests(plan.requests))

    async def connect(protocol: Callable[[], asyncio.Protocol]) -> None:
        if plan.address.startswith("/"):
            await loop.create_unix_connection(protocol, plan.address)
        else:
            host, _, port = plan.address.rpartition(":")
            await loop.create_connection(protocol, host, int(port))

    before = time.process_time()
    await work.run(connect)
    work.seen.cpu = time.process_time() - before
    work.seen.statuses = dict(work.statuses)
    return work.seen


def load(plan: Plan) -> Seen:
    """Carry out a plan in a process of its own."""
    subprocess.run([sys.executable, "-m", __spec__.name, json.dumps(asdict(plan))], cwd=ROOT, check=True)
    return Seen(**json.loads(Path(plan.result).read_bytes()))


def main() -> None:
    """Ask, and write down what was seen as JSON."""
    gc.disable()
    plan = Plan(**json.loads(sys.argv[1]))
    seen = uvloop.run(ask(plan))
    seen.times.sort()
    Path(plan.result).write_text(json.dumps(asdict(seen)))


if __name__ == "__main__":
    main()
