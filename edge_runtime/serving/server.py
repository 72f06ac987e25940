"""The HTTP server: listening sockets (TCP, a Unix socket), their connections, and an end that loses no request.

The daemon starts it with the table of models; every accepted socket becomes a `connection`, whose requests go to
`routes`. On loopback it speaks plain HTTP to everybody; elsewhere TLS, to those that `guard` lets in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial

from edge_runtime.serving import unix_socket
from edge_runtime.serving.connection import Connection
from edge_runtime.serving.credentials import Credentials
from edge_runtime.serving.floor import Floor
from edge_runtime.serving.guard import Door, Guard, check_exposure, is_loopback
from edge_runtime.serving.http import Request, Response
from edge_runtime.serving.limits import Limits
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.record_door import Takes
from edge_runtime.serving.repository import Repository
from edge_runtime.serving.routes import Front, Routes
from edge_runtime.serving.shared_memory import SharedMemory
from edge_runtime.serving.trace import AccessLog
from edge_runtime.serving.turnstile import Turnstile
from toolkit.errors import MissingExtraError, TiersError
from toolkit.wire.device_config import ServingConfig

log = logging.getLogger(__name__)

BACKLOG = 256
LOOK_SECONDS = 5.0
"""How often the files of certificate and tokens are looked at; kubelet itself takes a minute to renew them."""
OLD_TLS = sys.version_info < (3, 11)
"""Whether asyncio's own TLS is the one that was written anew in Python 3.11; uvloop's is good everywhere."""


class Server:
    """Serves a table of models until it is stopped."""

    def __init__(
        self,
        config: ServingConfig,
        table: ModelTable,
        metrics: Callable[[], bytes] | None = None,
        *,
        desk: Front | None = None,
        repository: Repository | None = None,
        outbox: Callable[[], Takes | None] = lambda: None,
        limits: Limits | None = None,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Prepare.

        Args:
            config: where, and what clients show.
            table: the models.
            metrics: gives the page of /metrics.
            desk: answers questions; the table itself when nobody stands before it.
            repository: loads and unloads models for callers with the scope admin; nobody does when there is none.
            outbox: gives what takes records; nothing does when there is none.
            limits: replaces all limits (tests).
            look_seconds: how often files are looked at.

        Raises:
            UsageError: the host is not loopback, and TLS or a way to know clients is missing; or one of the files
                for that cannot be used.
        """
        check_exposure(config)
        self._config = config
        self.credentials = Credentials(config)
        self._floor = Floor(
            limits or Limits(body_bytes=config.max_body_bytes),
            Turnstile(config.client_requests, config.client_rate),
            AccessLog(table.names, always=config.access_log),
        )
        self._look_seconds = look_seconds
        memory = SharedMemory(self._floor.limits.buffered_bytes) if config.shared_memory else None
        self._memory = memory
        self._routes = Routes(table, metrics, desk=desk, repository=repository, outbox=outbox, memory=memory)
        self._server: asyncio.Server | None = None
        self._unix: asyncio.Server | None = None
        self._inode = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def respond(self) -> Callable[[Request], Awaitable[Response]]:
        """What answers requests, for doors that are not this server's sockets."""
        return self._routes.respond

    @property
    def port(self) -> int:
        """The port that it listens on; 0 before `start`, and where it listens on a Unix socket alone."""
        if self._server is None or not self._server.sockets:
            return 0
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen.

        Raises:
            TiersError: the port or the Unix socket cannot be had.
            MissingExtraError: TLS on Python 3.10 without uvloop.
        """
        loop = asyncio.get_running_loop()
        host, port = self._config.host, self._config.port
        if self._config.unix_socket:
            await self._listen_on_file(loop, self._config.unix_socket)
        try:
            self._server = await self._listen(loop) if host else None
        except (OSError, TiersError) as exc:
            await self.stop(0)
            if isinstance(exc, TiersError):
                raise
            raise TiersError(
                f"cannot serve on {host}:{port}: {exc.strerror or exc}",
                hint="set serving.port to a free port, or to 0 for any",
            ) from exc
        self._tasks = [loop.create_task(self._sweep())]
        if self._config.certificate_file or self._config.token_file:
            self._tasks.append(loop.create_task(self._look()))

    async def _listen_on_file(self, loop: asyncio.AbstractEventLoop, path: str) -> None:
        bound = unix_socket.bind(path)
        self._inode = os.lstat(path).st_ino
        make = partial(self._connection, Guard(self.credentials, Door.SOCKET))
        self._unix = await loop.create_unix_server(make, sock=bound, backlog=BACKLOG)

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> asyncio.Server:
        host, port = self._config.host, self._config.port
        context = self.credentials.context
        door = Door.LOOPBACK if is_loopback(host) else Door.NETWORK
        make = partial(self._connection, Guard(self.credentials, door))
        if context is None:
            return await loop.create_server(make, host, port, backlog=BACKLOG)
        # A client that begins a handshake and stops holds a socket that no limit counts, so it gets little time.
        seconds = min(self._floor.limits.read_seconds, 10.0)
        if OLD_TLS and type(loop).__module__ != "uvloop":
            raise MissingExtraError(
                "TLS with Python 3.10, whose own loop leaves connections open,", extra="edge"
            )
        return await loop.create_server(
            make, host, port, backlog=BACKLOG, ssl=context, ssl_handshake_timeout=seconds
        )

    def _connection(self, guard: Guard) -> Connection:
        return Connection(self._routes.respond, self._floor, guard)

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """Listen no more, answer what has come in, then close; after the grace, close anyway.

        Repeating it is harmless.
        """
        servers = [each for each in (self._server, self._unix) if each is not None]
        self._server = self._unix = None
        if not servers:
            return
        for server in servers:
            server.close()
        unix_socket.remove(self._config.unix_socket, self._inode)
        self._floor.draining = True
        for connection in tuple(self._floor.connections):
            connection.drain()
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_seconds
        while self._floor.connections and loop.time() < until:
            await self._floor.changed(until - loop.time())
        for connection in tuple(self._floor.connections):
            connection.abort()
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for server in servers:
            await server.wait_closed()
        if self._memory is not None:
            self._memory.unregister()

    async def _sweep(self) -> None:
        """Hold the limits of time; often enough that none is overrun by more than a quarter."""
        limits = self._floor.limits
        pause = min(limits.read_seconds, limits.idle_seconds, limits.linger_seconds, 4.0) / 4
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(pause)
            self._floor.sweep(loop.time())

    async def _look(self) -> None:
        """Take new certificates and tokens when their files change; reading them waits for the disk, not for us."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._look_seconds)
            try:
                if await loop.run_in_executor(None, self.credentials.refresh):
                    log.info("certificate and tokens were read again")
            except TiersError as error:
                log.error("the old certificate and tokens stay: %s; %s", error.message, error.hint)  # noqa: TRY400 -- explained
