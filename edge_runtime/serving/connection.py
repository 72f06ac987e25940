"""One client's connection: bytes -> Request -> `respond` -> bytes, with every limit of `limits` held.

`server` makes one per accepted socket; its `reader` listens. Requests of one connection are answered in order, one at a
time. After a refusal the rest of what the client sends is read and dropped for a moment, because closing at once would
make the kernel throw the answer away (RFC 9112 §9.6).
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import perf_counter
from typing import Final, TypeAlias, cast

from edge_runtime.serving.floor import Floor
from edge_runtime.serving.guard import OPEN, Door, Guard
from edge_runtime.serving.http import Request, Response, encode_head, error_response
from edge_runtime.serving.reader import Reader
from edge_runtime.serving.shared_memory import ANY_USER
from edge_runtime.serving.trace import route_of
from edge_runtime.serving.unix_socket import user_of

log = logging.getLogger(__name__)

Respond: TypeAlias = Callable[[Request], Awaitable[Response]]

SMALL: Final = 16 * 1024
"""Bytes of a body that are cheaper to copy than to write part by part."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(asyncio.BufferedProtocol):
    """One client."""

    def __init__(self, respond: Respond, floor: Floor, guard: Guard) -> None:
        """Take the function that answers requests, what all connections share, and who says who may ask."""
        self._respond = respond
        self._floor = floor
        self._guard = guard
        self._limits = floor.limits
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Request | Response] = deque()
        self._task: asyncio.Task[None] | None = (
            None  # one for all requests: each costs as much as half a parser
        )
        self._given: Request | None = None  # what the task is to answer
        self._wake: asyncio.Future[None] | None = None  # what it waits for when there is nothing
        self._busy = False
        self._deaf = False  # nothing that comes in counts any more
        self._ending = False  # close after what is queued
        self._paused = False
        self._write_paused = False
        self._idle_until = self._loop.time() + self._limits.idle_seconds
        self._read_until = math.inf
        self._write_until = math.inf
        self._linger_until = math.inf
        self._goodbye_until = math.inf

    # ------------------------------------------------------------ from the transport
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the floor, or be sent away when it is full."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has its methods, not its class
        peer, user = _name_of(self._transport, self._guard.door)
        self._reader = Reader(
            self._floor,
            self._guard,
            self._begun,
            self._complete,
            peer=peer,
            certificate=_name_in(self._transport.get_extra_info("peercert")),
            user=user,
        )
        before = len(self._floor.connections)
        self._floor.connections.add(self)
        if before >= 2 * self._limits.connections:
            self._transport.abort()
        elif before >= self._limits.connections:
            self._refuse(error_response(503, "too many connections", Retry_After="1"))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where the next bytes belong."""
        del sizehint
        return self._floor.scratch if self._deaf else self._reader.room()

    def buffer_updated(self, nbytes: int) -> None:
        """Read what came in."""
        if self._deaf:
            return
        refusal = self._reader.take(nbytes)
        if refusal is not None:
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
        self._reader.forget()
        self._queue.clear()
        self._deaf = True
        if self._given is not None:
            self._given = None
            self._floor.coming -= 1
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

    # ------------------------------------------------------------ from the reader
    def _begun(self) -> None:
        """Start the clock of a request."""
        self._read_until = self._loop.time() + self._limits.read_seconds

    def _complete(self, request: Request) -> None:
        """Queue a request."""
        self._read_until = math.inf
        self._queue.append(request)
        if not request.keep_alive:
            self._deaf = True

    # ------------------------------------------------------------ answering
    def _close(self) -> None:
        """Close in good order. Over TLS the client has to agree, which one that idles in a pool never does."""
        self._goodbye_until = self._loop.time() + self._limits.linger_seconds
        self._transport.close()

    def _refuse(self, refusal: Response) -> None:
        """Answer this after what is queued, and listen no more."""
        self._deaf = True
        self._read_until = math.inf
        self._reader.owes_continue = False
        self._queue.append(refusal)
        if (access := self._floor.access) is not None and access.on:
            access.refused(refusal)
        self._advance()

    def _advance(self) -> None:
        """Do what can be done next: answer, ask for a body, stop reading, wait, or close."""
        if not self._busy and not self._write_paused and self._queue:
            entry = self._queue.popleft()
            if isinstance(entry, Response):
                self._write(entry, version="1.1", keep_alive=False, with_body=True)
                self._linger()
                return
            self._busy, self._given = True, entry
            self._floor.coming += 1
            if self._task is None:
                self._task = self._loop.create_task(self._answer_all())
            elif self._wake is not None:
                self._wake.set_result(None)
                self._wake = None
        self._pace()
        if self._busy or self._queue:
            self._idle_until = math.inf
            return
        if self._ending and self._read_until == math.inf and not self._transport.is_closing():
            self._close()
        elif self._reader.owes_continue:
            self._reader.owes_continue = False
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

    async def _answer_all(self) -> None:
        """Answer what is given, until the connection is lost."""
        while True:
            request, self._given = self._given, None
            if request is None:
                self._wake = self._loop.create_future()
                await self._wake
            else:
                self._floor.coming -= 1
                request.alone = not (self._floor.coming or self._queue)
                await self._answer(request)

    async def _answer(self, request: Request) -> None:
        began = perf_counter()
        try:
            if self._floor.turnstile.limits:
                response = await self._let_in(request)
            else:
                response = await self._respond(request)
        except Exception:
            log.exception("answering %s failed", route_of(request.path))
            response = error_response(500, "internal error; the log of tiers-edge says more")
        keep = request.keep_alive and not self._floor.draining
        self._reader.release(len(request.body))
        if (access := self._floor.access) is not None and access.on:
            access.write(request, response, perf_counter() - began)
        self._busy = False
        self._write(response, version=request.version, keep_alive=keep, with_body=request.method != "HEAD")
        if not keep:
            self._queue.clear()
            self._deaf = self._ending = True
            if not self._floor.draining:
                self._linger()
                return
        self._advance()

    async def _let_in(self, request: Request) -> Response:
        turnstile = self._floor.turnstile
        if request.path.encode("latin-1") in OPEN:
            return await self._respond(request)
        if seconds := turnstile.enter(request.client):
            message = (
                "you ask more than one client may; the limits are serving.client_requests and client_rate"
            )
            return error_response(429, message, Retry_After=str(math.ceil(seconds)))
        try:
            return await self._respond(request)
        finally:
            turnstile.leave(request.client)

    def _write(self, response: Response, *, version: str, keep_alive: bool, with_body: bool) -> None:
        if self._transport.is_closing():
            return
        head = encode_head(response, version=version, keep_alive=keep_alive)
        if not with_body:
            self._transport.write(head)
        elif sum(map(len, response.body)) <= SMALL:
            self._transport.write(b"".join((head, *response.body)))
        else:
            self._transport.writelines([head, *response.body])

    def _linger(self) -> None:
        if self._transport.is_closing():
            return
        if self._transport.can_write_eof():
            with suppress(OSError):  # a client that has reset the connection: there is nothing left to end
                self._transport.write_eof()
        self._linger_until = self._loop.time() + self._limits.linger_seconds


def _name_of(transport: asyncio.BaseTransport, door: Door) -> tuple[str, int | None]:
    """Give the address of a TCP client without its port, or the user of the Unix socket; and who `Request.user` is."""
    if door is Door.SOCKET:
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as connection:
            user = user_of(connection)
        return f"user {user}", user
    peer = transport.get_extra_info("peername")
    address = str(peer[0]) if isinstance(peer, tuple) else ""  # None where it has gone already
    return address, ANY_USER if door is Door.LOOPBACK else None


def _name_in(certificate: object) -> str:
    """Give the common name of a certificate as ssl shows it; "" without one."""
    if not isinstance(certificate, dict) or not certificate:
        return ""
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return names[0] if names else "certificate"
