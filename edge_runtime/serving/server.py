"""The HTTP server: a listening socket on loopback, its connections, and an end that loses no request.

The daemon starts it with the table of models; every accepted socket becomes a `connection`, whose requests go to
`routes`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable

from edge_runtime.serving.connection import Connection, Floor
from edge_runtime.serving.limits import Limits
from edge_runtime.serving.models import ModelTable
from edge_runtime.serving.routes import Routes
from toolkit.errors import TiersError
from toolkit.wire.device_config import ServingConfig

BACKLOG = 256
CURE = "set serving.host to 127.0.0.1, and reach it from elsewhere through an SSH tunnel or a TLS proxy on the device"


class Server:
    """Serves a table of models until it is stopped."""

    def __init__(
        self,
        config: ServingConfig,
        table: ModelTable,
        metrics: Callable[[], bytes] | None = None,
        *,
        limits: Limits | None = None,
    ) -> None:
        """Prepare; `metrics` gives the page of /metrics, `limits` replaces all limits (tests).

        Raises:
            TiersError: the host is not loopback; this version has neither TLS nor tokens.
        """
        _check_loopback(config.host)
        self._config = config
        self._floor = Floor(limits or Limits(body_bytes=config.max_body_bytes))
        self._routes = Routes(table, metrics)
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

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
        """
        loop = asyncio.get_running_loop()
        host, port = self._config.host, self._config.port
        try:
            self._server = await loop.create_server(
                lambda: Connection(self._routes.respond, self._floor), host, port, backlog=BACKLOG
            )
        except OSError as exc:
            raise TiersError(
                f"cannot serve on {host}:{port}: {exc.strerror or exc}",
                hint="set serving.port to a free port, or to 0 for any",
            ) from exc
        self._sweeper = loop.create_task(self._sweep())

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
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        await server.wait_closed()

    async def _sweep(self) -> None:
        """Hold the limits of time; often enough that none is overrun by more than a quarter."""
        limits = self._floor.limits
        pause = min(limits.read_seconds, limits.idle_seconds, limits.linger_seconds, 4.0) / 4
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(pause)
            self._floor.sweep(loop.time())


def _check_loopback(host: str) -> None:
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    if host != "localhost":
        raise TiersError(
            f"serving on {host!r} needs TLS and a token, which this version does not have", hint=CURE
        )
