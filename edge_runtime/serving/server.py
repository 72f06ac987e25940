"""The HTTP server: a listening socket, its connections, and an end that loses no request.

The daemon starts it with the table of models; every accepted socket becomes a `connection`, whose requests go to
`routes`. On loopback it speaks plain HTTP to everybody; elsewhere TLS, to those that `guard` lets in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable

from edge_runtime.serving.connection import Connection, Floor
from edge_runtime.serving.credentials import Credentials
from edge_runtime.serving.guard import Guard, check_exposure
from edge_runtime.serving.limits import Limits
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.routes import Routes
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
        limits: Limits | None = None,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Prepare; `metrics` gives the page of /metrics, `limits` replaces all limits (tests).

        Raises:
            UsageError: the host is not loopback, and TLS or a way to know clients is missing; or one of the files
                for that cannot be used.
        """
        check_exposure(config)
        self._config = config
        self.credentials = Credentials(config)
        guarded = bool(config.token_file or config.client_ca_file)
        guard = Guard(self.credentials) if guarded else None
        self._floor = Floor(limits or Limits(body_bytes=config.max_body_bytes), guard)
        self._look_seconds = look_seconds
        self._routes = Routes(table, metrics)
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def port(self) -> int:
        """The port that it listens on; 0 before `start`."""
        if self._server is None or not self._server.sockets:
            return 0
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen.

        Raises:
            TiersError: the port cannot be had.
            MissingExtraError: TLS on Python 3.10 without uvloop.
        """
        loop = asyncio.get_running_loop()
        host, port = self._config.host, self._config.port
        try:
            self._server = await self._listen(loop)
        except OSError as exc:
            raise TiersError(
                f"cannot serve on {host}:{port}: {exc.strerror or exc}",
                hint="set serving.port to a free port, or to 0 for any",
            ) from exc
        self._tasks = [loop.create_task(self._sweep())]
        if self._config.certificate_file or self._config.token_file:
            self._tasks.append(loop.create_task(self._look()))

    async def _listen(self, loop: asyncio.AbstractEventLoop) -> asyncio.Server:
        host, port = self._config.host, self._config.port
        context = self.credentials.context
        if context is None:
            return await loop.create_server(self._connection, host, port, backlog=BACKLOG)
        # A client that begins a handshake and stops holds a socket that no limit counts, so it gets little time.
        seconds = min(self._floor.limits.read_seconds, 10.0)
        if OLD_TLS and type(loop).__module__ != "uvloop":
            raise MissingExtraError(
                "TLS with Python 3.10, whose own loop leaves connections open,", extra="edge"
            )
        return await loop.create_server(
            self._connection, host, port, backlog=BACKLOG, ssl=context, ssl_handshake_timeout=seconds
        )

    def _connection(self) -> Connection:
        return Connection(self._routes.respond, self._floor)

    async def stop(self, grace_seconds: float = 10.0) -> None:
        """Listen no more, answer what has come in, then close; after the grace, close anyway.

        Repeating it is harmless.
        """
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
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
        await server.wait_closed()

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
