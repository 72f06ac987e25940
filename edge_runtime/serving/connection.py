"""One client's connection: bytes -> Request -> `respond` -> bytes, with every limit of `limits` held.

`server` makes one per accepted socket. httptools (llhttp, strict) does the parsing; what it leaves open is refused
here: chunked bodies (411), other transfer codings and upgrades (501), a missing or double Host. Requests of one
connection are answered in order, one at a time. After a refusal the rest of what the client sends is read and dropped
for a moment, because closing at once would make the kernel throw the answer away (RFC 9112 §9.6).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias, cast

import httptools

from edge_runtime.serving.guard import Guard
from edge_runtime.serving.http import Request, Response, encode_head, error_response
from edge_runtime.serving.limits import Limits

log = logging.getLogger(__name__)

Respond: TypeAlias = Callable[[Request], Awaitable[Response]]

ONCE = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "inference-header-content-length",
        "expect",
        "authorization",
    }
)
"""Headers whose doubling is an attack or a mistake, never a list."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
VERSIONS = ("1.0", "1.1")


class Floor:
    """What the connections of one server share: who they are and how much they hold."""

    def __init__(self, limits: Limits, guard: Guard | None = None) -> None:
        """Start empty; without a guard everybody who reaches the socket may ask."""
        self.limits = limits
        self.guard = guard
        self.connections: set[Connection] = set()
        self.buffered_bytes = 0
        self.draining = False
        self._change = asyncio.Event()

    def leave(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self.connections.discard(connection)
        self._change.set()

    async def changed(self, seconds: float) -> None:
        """Wait until a connection closes, at most this long."""
        self._change.clear()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._change.wait(), seconds)

    def sweep(self, now: float) -> None:
        """Close connections whose time is over; `now` is the loop's clock in seconds."""
        for connection in tuple(self.connections):
            connection.sweep(now)


class _RefusedError(Exception):
    """Leaves the parser's callbacks; the answer is in the connection."""


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, respond: Respond, floor: Floor) -> None:
        """Take the function that answers requests, and what all connections share."""
        self._respond = respond
        self._floor = floor
        self._limits = floor.limits
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[Request | Response] = deque()
        self._task: asyncio.Task[None] | None = None
        self._held_bytes = 0
        self._refusal: Response | None = None
        self._deaf = False  # nothing that comes in counts any more
        self._ending = False  # close after what is queued
        self._paused = False
        self._known = False  # by a certificate of its own
        self._write_paused = False
        self._owes_continue = False
        self._idle_until = self._loop.time() + self._limits.idle_seconds
        self._read_until = math.inf
        self._write_until = math.inf
        self._linger_until = math.inf
        self._goodbye_until = math.inf
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._head_came = 0  # bytes read while the head was not complete
        self._head_size = 0  # bytes of the parts that were recognised
        self._head_done = False
        self._body = bytearray()

    # ------------------------------------------------------------ from the transport
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the floor, or be sent away when it is full."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has its methods, not its class
        if self._floor.guard is not None:
            self._known = bool(self._transport.get_extra_info("peercert"))
        before = len(self._floor.connections)
        self._floor.connections.add(self)
        if before >= 2 * self._limits.connections:
            self._transport.abort()
        elif before >= self._limits.connections:
            self._refuse(error_response(503, "too many connections", Retry_After="1"))

    def data_received(self, data: bytes) -> None:
        """Parse what came in."""
        if self._deaf:
            return
        if not self._head_done:
            self._head_came += len(data)
        try:
            self._parser.feed_data(data)
            if not self._head_done and self._head_came > self._limits.head_bytes:
                self._refuse(self._head_too_long())
        except httptools.HttpParserError as exc:
            refusal = self._refusal or error_response(400, f"not a request that HTTP/1.1 allows: {exc}")
            if self._refusal is None and isinstance(exc, httptools.HttpParserCallbackError):
                log.exception("a callback of the parser failed")
            self._refuse(refusal)
        self._advance()

    def eof_received(self) -> bool:
        """Take a client that sends no more for one that is gone, so that its requests cost the engine nothing.

        TCP cannot tell a half-closed connection from a closed one before the answer is written, which is too late.
        """
        self._deaf = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the client; a request of it that still waits is abandoned."""
        self._floor.leave(self)
        self._release(self._held_bytes)
        self._queue.clear()
        self._deaf = True
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        """Start no further request while the client does not read."""
        self._write_paused = True
        self._write_until = self._loop.time() + self._limits.read_seconds

    def resume_writing(self) -> None:
        """Go on."""
        self._write_paused = False
        self._write_until = math.inf
        self._advance()

    # ------------------------------------------------------------ from the server
    def sweep(self, now: float) -> None:
        """Close the connection when its time is over."""
        silent = now > self._goodbye_until and not self._transport.get_write_buffer_size()
        if silent or now > self._linger_until or now > self._write_until:
            self._transport.abort()
        elif now > self._read_until:
            self._read_until = math.inf
            self._refuse(error_response(408, f"the request took longer than {self._limits.read_seconds} s"))
            self._advance()
        elif self._read_until == math.inf and now > self._idle_until:
            self._close()

    def drain(self) -> None:
        """Finish what is there, then close."""
        self._ending = True
        self._advance()

    def abort(self) -> None:
        """Close now, whatever is going on."""
        self._transport.abort()

    # ------------------------------------------------------------ from httptools
    def on_message_begin(self) -> None:
        """Start the clock of a request."""
        self._read_until = self._loop.time() + self._limits.read_seconds

    def on_url(self, url: bytes) -> None:
        """Collect the target; it may come in pieces."""
        self._url += url
        self._grow_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header."""
        key = name.decode("latin-1").lower()
        if key in self._headers and key in ONCE:
            self._leave(error_response(400, f"header {key} is there twice"))
        self._headers[key] = value.decode("latin-1").strip()
        self._grow_head(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """Refuse before the body is read what would be refused after it."""
        self._head_done = True
        headers = self._headers
        length = int(headers.get("content-length", "0"))
        if self._parser.should_upgrade():
            self._leave(
                error_response(501, "upgrades and tunnels are not offered here; speak plain HTTP/1.1")
            )
        if self._parser.get_http_version() not in VERSIONS:
            self._leave(error_response(505, "HTTP/1.1 is spoken here"))
        if self._parser.get_http_version() == "1.1" and "host" not in headers:
            self._leave(error_response(400, "header Host is missing"))
        self._admit()
        if "transfer-encoding" in headers:
            chunked = headers["transfer-encoding"].lower() == "chunked"
            self._leave(error_response(411 if chunked else 501, "send the body with Content-Length"))
        if length > self._limits.body_bytes:
            self._leave(error_response(413, f"the body may have at most {self._limits.body_bytes} bytes"))
        expect = headers.get("expect", "").lower()
        if expect not in ("", "100-continue"):
            self._leave(error_response(417, "only 100-continue can be expected"))
        self._owes_continue = bool(expect) and length > 0

    def on_body(self, piece: bytes) -> None:
        """Collect the body."""
        self._owes_continue = False
        floor, count = self._floor, len(piece)
        if len(self._body) + count > self._limits.body_bytes:
            self._leave(error_response(413, f"the body may have at most {self._limits.body_bytes} bytes"))
        if floor.buffered_bytes + count > self._limits.buffered_bytes:
            self._leave(error_response(503, "too many bytes are being received", Retry_After="1"))
        floor.buffered_bytes += count
        self._held_bytes += count
        self._body += piece

    def on_message_complete(self) -> None:
        """Queue the request."""
        self._read_until = math.inf
        keep = bool(self._parser.should_keep_alive())
        self._queue.append(
            Request(
                method=self._parser.get_method().decode("ascii"),
                path=self._url.partition(b"?")[0].decode("latin-1"),
                headers=self._headers,
                body=self._body,
                version=self._parser.get_http_version(),
                keep_alive=keep,
            )
        )
        if not keep:
            self._deaf = True
        self._begin()

    # ------------------------------------------------------------ answering
    def _close(self) -> None:
        """Close in good order. Over TLS the client has to agree, which one that idles in a pool never does."""
        self._goodbye_until = self._loop.time() + self._limits.linger_seconds
        self._transport.close()

    def _admit(self) -> None:
        """Refuse somebody who may not ask, before a byte of the body is kept."""
        guard = self._floor.guard
        if guard is None:
            return
        path = self._url.partition(b"?")[0]
        refusal = guard.refusal(path, self._headers.get("authorization", ""), known=self._known)
        if refusal is not None:
            self._leave(refusal)

    def _grow_head(self, count: int) -> None:
        self._head_size += count
        if self._head_size > self._limits.head_bytes or len(self._headers) > self._limits.headers:
            self._leave(self._head_too_long())

    def _head_too_long(self) -> Response:
        limits = self._limits
        return error_response(
            431, f"the head may have at most {limits.head_bytes} bytes and {limits.headers} headers"
        )

    def _leave(self, refusal: Response) -> None:
        self._refusal = refusal
        raise _RefusedError

    def _refuse(self, refusal: Response) -> None:
        """Answer this after what is queued, and listen no more."""
        self._deaf = True
        self._read_until = math.inf
        self._owes_continue = False
        self._queue.append(refusal)
        self._advance()

    def _advance(self) -> None:
        """Do what can be done next: answer, ask for a body, stop reading, wait, or close."""
        if self._task is None and not self._write_paused and self._queue:
            entry = self._queue.popleft()
            if isinstance(entry, Response):
                self._write(entry, version="1.1", keep_alive=False, with_body=True)
                self._linger()
                return
            self._task = self._loop.create_task(self._answer(entry))
        self._pace()
        if self._task is not None or self._queue:
            self._idle_until = math.inf
            return
        if self._ending and self._read_until == math.inf and not self._transport.is_closing():
            self._close()
        elif self._owes_continue:
            self._owes_continue = False
            self._transport.write(CONTINUE)
        if self._idle_until == math.inf:
            self._idle_until = self._loop.time() + self._limits.idle_seconds

    def _pace(self) -> None:
        """Read no further while too many requests of this client wait."""
        crowded = len(self._queue) > self._limits.pipelined
        if self._transport.is_closing():
            return
        if crowded and not self._paused:
            self._transport.pause_reading()
        elif self._paused and not crowded:
            self._transport.resume_reading()
        self._paused = crowded

    async def _answer(self, request: Request) -> None:
        try:
            response = await self._respond(request)
        except Exception:
            log.exception("answering %s %s failed", request.method, request.path[:200])
            response = error_response(500, "internal error; the log of tiers-edge says more")
        keep = request.keep_alive and not self._floor.draining
        self._release(len(request.body))
        self._task = None
        self._write(response, version=request.version, keep_alive=keep, with_body=request.method != "HEAD")
        if not keep:
            self._queue.clear()
            self._deaf = self._ending = True
            if not self._floor.draining:
                self._linger()
                return
        self._advance()

    def _write(self, response: Response, *, version: str, keep_alive: bool, with_body: bool) -> None:
        if self._transport.is_closing():
            return
        head = encode_head(response, version=version, keep_alive=keep_alive)
        self._transport.writelines([head, *response.body] if with_body else [head])

    def _linger(self) -> None:
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._linger_until = self._loop.time() + self._limits.linger_seconds

    def _release(self, count: int) -> None:
        self._floor.buffered_bytes -= count
        self._held_bytes -= count
