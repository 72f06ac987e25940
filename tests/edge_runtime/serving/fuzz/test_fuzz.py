"""A real server on a real socket under ten thousand hostile requests: a clean refusal, an answer, or a clean close.

Before some cases come two good requests, so that the reader expects a third. Behind every case comes a canary, a good
request with a name of its own, and behind that an end that no request survives. So each case ends by itself, and nobody
waits: what the server framed is compared with what llhttp frames, the canary is answered exactly where the connection
may go on, and nothing is ever a 500, a hang, or memory above the limit. `make test` runs one seed of each kind,
`make test-all` ten thousand cases.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import threading
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import httptools
import pytest
import uvloop
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from edge_runtime.engine.choose import open_engine
from edge_runtime.serving.connection import Connection
from edge_runtime.serving.credentials import Credentials
from edge_runtime.serving.floor import Floor
from edge_runtime.serving.guard import Door, Guard
from edge_runtime.serving.http import Request
from edge_runtime.serving.limits import Limits
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.routes import Routes
from edge_runtime.serving.shared_memory import SharedMemory
from tests.contracts.engine import scale_model
from tests.edge_runtime.serving.fuzz.grammar import (
    BODY_LIMIT,
    GOOD,
    HEAD_LIMIT,
    HEADERS_LIMIT,
    LIVE,
    TOKENS,
    framing,
    mutations,
    places,
    shown,
    tensors,
)
from toolkit.wire.device_config import ModelConfig, ServingConfig

LIMITS = Limits(
    head_bytes=HEAD_LIMIT,
    headers=HEADERS_LIMIT,
    body_bytes=BODY_LIMIT,
    buffered_bytes=3 * BODY_LIMIT,
    linger_seconds=30,
)
END = b"\0" * (BODY_LIMIT + HEAD_LIMIT)
"""Longer than any body that is left open, and no part of any head."""
CANARY = b"GET /v2/models/canary HTTP/1.1\r\nHost: here\r\n\r\n"
PAGE = b"page of metrics"
CLEAN = {200, *range(400, 432), 501, 503, 504, 505}
"""503 is a model without a version, 501 and 505 what is not offered: each says so. 500 would be a crash."""
MOST_GROWTH = 150 * 1024 * 1024
"""Bytes that this process, tests and all, may have grown by in the end."""
FEW, MANY = 80, 2500
"""Cases of each of the four kinds."""
pieces = st.one_of(st.none(), st.lists(st.integers(1, 80), min_size=1, max_size=6))


class WatchedFloor(Floor):
    """A floor that knows the most it held."""

    peak = 0
    _held = 0

    @property
    def buffered_bytes(self) -> int:
        return self._held

    @buffered_bytes.setter
    def buffered_bytes(self, value: int) -> None:
        self._held = value
        self.peak = max(self.peak, value)


@dataclass
class Target:
    """A server with one model, what it framed, and what it held."""

    folder: Path
    guarded: bool = False
    seen: list[Request] = field(default_factory=list)

    def start(self):
        self.loop = uvloop.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self.loop).result(120)

    async def _start(self):
        self.table = ModelTable([ModelConfig(name="m")])
        await self.table.swap("m", "1", open_engine(scale_model(self.folder / "m.onnx", 2)))
        self.routes, self.floor = (
            Routes(self.table, lambda: PAGE, memory=SharedMemory(10_000)),
            WatchedFloor(LIMITS),
        )
        config = ServingConfig()
        if self.guarded:
            file = self.folder / "token"
            infer, admin, metrics = TOKENS
            file.write_text(f"infer:{infer}\nadmin:{admin}\nmetrics:{metrics}\n")
            config = ServingConfig(token_file=str(file))
        guard = Guard(Credentials(config), Door.LOOPBACK)
        listening = await self.loop.create_server(
            lambda: Connection(self._respond, self.floor, guard), "127.0.0.1", 0
        )
        self.port = listening.sockets[0].getsockname()[1]
        self.listening = listening

    async def _respond(self, request):
        self.seen.append(request)
        request_body = bytes(request.body)
        response = await self.routes.respond(request)
        assert bytes(request.body) == request_body, "a body stays as it came until it is answered"
        return response

    def stop(self):
        async def close():
            self.listening.close()
            for connection in tuple(self.floor.connections):
                connection.abort()
            await self.table.close()

        asyncio.run_coroutine_threadsafe(close(), self.loop).result(120)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(60)
        self.loop.close()

    def exchange(self, data, cuts, *, primed=False):
        """Send a case in pieces, and read all that comes until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(2 if primed else 0):
                connection.sendall(GOOD)
                came = b""
                while not came.endswith(b"}]}"):
                    came += connection.recv(65536)
            self.seen.clear()
            self.floor.peak = 0
            start = 0
            for cut in cuts or ():
                connection.sendall(data[start : start + cut])
                start += cut
            connection.sendall(data[start:])
            came = bytearray()
            while piece := connection.recv(65536):
                came += piece
        return answers(bytes(came))


def answers(data: bytes) -> list[tuple[int, bytes]]:
    """Read whole responses, and nothing but whole responses."""
    found = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, head
        lines = head.split(b"\r\n")
        version, status, _ = lines[0].split(b" ", 2)
        assert version == b"HTTP/1.1"
        if status == b"100":
            continue
        headers = dict(line.lower().split(b": ", 1) for line in lines[1:])
        length = int(headers[b"content-length"])
        assert len(data) >= length
        found.append((int(status), data[:length]))
        data = data[length:]
    return found


class Reference:
    """What llhttp alone makes of the same bytes: complete messages, until it refuses."""

    def __init__(self, data: bytes) -> None:
        self.messages: list[tuple[bytes, bytes, bytes]] = []
        self._url = self._body = b""
        self.parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.parser.feed_data(data)

    def on_url(self, url):
        self._url += url

    def on_body(self, body):
        self._body += body

    def on_message_complete(self):
        self.messages.append((self.parser.get_method(), self._url.partition(b"?")[0], self._body))
        self._url = self._body = b""


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    target = Target(tmp_path_factory.mktemp("fuzz"))
    target.start()
    before = held_memory()
    yield target
    assert held_memory() - before < MOST_GROWTH
    target.stop()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    target = Target(tmp_path_factory.mktemp("guarded"), guarded=True)
    target.start()
    yield target
    target.stop()


@pytest.fixture(autouse=True)
def nothing_goes_wrong_inside(caplog):
    caplog.set_level(logging.ERROR)
    yield
    said = caplog.get_records("call")  # `caplog.records` begins anew when the test has ended
    ours = [record for record in said if record.name.startswith("edge_runtime.serving")]
    assert not ours


def held_memory() -> int:
    """Give the bytes of this process's own, without pages of files, which the kernel takes and brings as it likes."""
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return sum(int(each[1]) * 1024 for each in lines if each[0] in {"RssAnon:", "VmSwap:"})


def check_limits(target, found):
    assert target.floor.peak <= LIMITS.buffered_bytes
    assert not [answer for answer in found if answer[0] not in CLEAN]
    for _, body in found:
        if body not in (b"", PAGE):  # tensors may follow the JSON
            json.JSONDecoder().raw_decode(body.decode("latin-1"))


def check_framing(target, case, cuts, primed):
    """Nothing behind a request that is framed wrongly is ever read as one."""
    found = target.exchange(case.data + CANARY + END, cuts, primed=primed)
    check_limits(target, found)
    assert [status in case.allowed for status, _ in found] == [True], (case, found)
    assert not target.seen
    assert not target.floor.peak, "nothing of a body was kept"


def check_tensors(target, case, cuts):
    """What is framed well and says nonsense is refused alone."""
    found = target.exchange(case.data + CANARY + END, cuts)
    check_limits(target, found)
    assert [status for status, _ in found][1:] == [404, 400], (case, found)
    assert b"canary" in found[1][1]
    assert found[0][0] in case.allowed, (case, found)


def check_mutations(target, data, cuts, primed):
    """The server frames what llhttp frames, up to where it refuses on its own."""
    data += CANARY + END
    found = target.exchange(data, cuts, primed=primed)
    check_limits(target, found)
    framed = [(each.method.encode(), each.path.encode("latin-1"), bytes(each.body)) for each in target.seen]
    reference = Reference(data).messages
    assert framed == reference[: len(framed)]
    assert len(found) in (len(framed), len(framed) + 1)
    if len(found) == len(framed):  # somebody asked to close
        assert not target.seen[-1].keep_alive
    else:
        assert 400 <= found[-1][0] < 506


def check_credentials(target, place, authorization, method):
    """Whoever does not show the right token gets nothing, however the path is written."""
    path, body = place
    head = [b"%s %s HTTP/1.1" % (method, path.encode()), b"Host: here", b"Content-Length: %d" % len(body)]
    if authorization is not None:
        head.append(b"Authorization: " + authorization)
    [first, *_] = found = target.exchange(b"\r\n".join(head) + b"\r\n\r\n" + body + END, None)
    check_limits(target, found)
    token = {f"Bearer {token}".encode(): token for token in TOKENS}.get(authorization or b"")
    if token is None:
        assert first[0] in (400, 401, 403)
        assert not target.seen
    for request in target.seen:
        parts = [unquote(part) for part in request.path.split("/")]
        verb = parts[1:4] == ["v2", "repository", "models"] and parts[5:] in (["load"], ["unload"])
        page = parts == ["", "metrics"]
        assert token == TOKENS[1 if verb else 2 if page else 0]


KINDS = {
    "framing": (check_framing, {"case": framing, "cuts": pieces, "primed": st.booleans()}),
    "tensors": (check_tensors, {"case": tensors, "cuts": pieces}),
    "mutations": (check_mutations, {"data": mutations, "cuts": pieces, "primed": st.booleans()}),
    "credentials": (
        check_credentials,
        {"place": places(), "authorization": shown, "method": st.sampled_from([b"GET", b"POST"])},
    ),
}


def run(target, kind, count, wait_until):
    """Check this many cases of a kind, the same ones every time."""
    check, strategies = KINDS[kind]

    @settings(
        max_examples=count,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(**strategies)
    def cases(**drawn):
        nonlocal done
        done += 1
        check(target, **drawn)

    done = 0
    cases()
    assert done >= count, "hypothesis ran out of cases"
    # The last client has read to the end and gone, which the server may not have seen yet.
    wait_until(lambda: target.floor.buffered_bytes == 0, "nothing of a body is held")


def test_it_answers_what_is_right(target):
    found = target.exchange(GOOD + LIVE + CANARY + END, None)
    assert [status for status, _ in found] == [200, 200, 404, 400]
    assert json.loads(found[0][1])["outputs"][0]["data"] == [2, 2, 2, 2]


@pytest.mark.parametrize("kind", list(KINDS))
def test_one_seed_is_survived(target, guarded, kind, wait_until):
    run(guarded if kind == "credentials" else target, kind, FEW, wait_until)


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", list(KINDS))
def test_ten_thousand_cases_are_survived(target, guarded, kind, wait_until):
    run(guarded if kind == "credentials" else target, kind, MANY, wait_until)
