"""The second road for chunks: a small HTTP/1.1 server with ranges, beside a depot, for devices that reach it.

    GET /v1/artifacts/ARTIFACT/index      the bytes of the index
    GET /v1/artifacts/ARTIFACT/chunks     one range of the chunks file of `http_shelves` (206), or all of it (200)

It stands on http.server: reading a registry and waiting for a rate both block, so each connection has a thread, and
what could make that dangerous is bounded here: connections in all and for one client, bytes and seconds of a request's
head, seconds for a piece of an answer. Beyond loopback it speaks TLS and lets in who has a device's certificate; rates
are kept for each device (its certificate's name) and for all. What it sends is checked by the device, chunk by chunk,
against the signed manifest, as on the other road: nobody has to trust this server, or what stands in front of it.
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from itertools import chain
from typing import Final, cast

from toolkit.errors import IntegrityError, MissingObjectError, RemoteUnavailableError, TiersError, UsageError
from toolkit.fleet.http_limits import HeadLines, HttpCounters, HttpLimits, part_of
from toolkit.fleet.http_shelves import HttpShelf, HttpShelves
from toolkit.fleet.listen import Listen, ServerTls
from toolkit.protocol.buckets import Bucket
from toolkit.sync.layouts.packs import PackStore
from toolkit.wire.digest import parse_digest
from toolkit.wire.keyring import Keyring

_PATH = re.compile(r"/v1/artifacts/([0-9a-f]{64})/(index|chunks)")
MAX_PATH: Final = 200
_WAIT_AT_ONCE: Final = 1.0
"""Longest wait for a rate before it is looked again whether the server shall stop."""

log = logging.getLogger(__name__)


class HttpRoad:
    """The server. `start` it, read `port`, `close` it."""

    def __init__(
        self,
        listen: Listen,
        open_store: Callable[[], PackStore],
        keyring: Keyring,
        limits: HttpLimits | None = None,
    ) -> None:
        """Bind the address.

        Raises:
            UsageError: the address is taken or beyond loopback without an authority for clients, or a file of TLS
                cannot be used.
        """
        if listen.encrypted and listen.client_ca is None:
            raise UsageError(
                f"{listen.option} hands out models and has to know to whom",
                hint="give the authority of the devices' certificates: --client-ca FILE",
            )
        self.limits = limits or HttpLimits()
        self.counters = HttpCounters()
        self.shelves = HttpShelves(open_store, keyring)
        self.stop = threading.Event()
        self._lock = threading.Lock()
        now = time.monotonic()
        self._overall = Bucket.full(self.limits.overall, now)
        self._buckets: dict[str, Bucket] = {}
        self._open: Counter[str] = Counter()
        try:
            self._server = _Server(listen, self)
        except OSError as exc:
            raise UsageError(
                f"{listen.option} {listen.host}:{listen.port}: {exc.strerror or exc}",
                hint="name a free port of this machine",
            ) from exc
        self._thread = threading.Thread(target=self._server.serve_forever, name="http-road", daemon=True)

    @property
    def port(self) -> int:
        """The TCP port that was taken."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Answer from a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Take no more connections and end those that are open."""
        self.stop.set()
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    # ------------------------------------------------------------ for the connections' threads
    def enter(self, client: str) -> bool:
        """Count a connection of a client in; False when it has too many."""
        with self._lock:
            if self._open[client] >= self.limits.connections_of_one:
                self.counters.turned_away += 1
                return False
            self._open[client] += 1
            return True

    def leave(self, client: str) -> None:
        """Count it out."""
        with self._lock:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]

    def wait_for_rate(self, client: str) -> bool:
        """Wait until a client may be sent something; False when the server stops."""
        while not self.stop.is_set():
            with self._lock:
                now = time.monotonic()
                own = self._buckets.get(client)
                wait = max(self._overall.wait(now), own.wait(now) if own else 0.0)
            if wait <= 0:
                return True
            self.stop.wait(min(wait, _WAIT_AT_ONCE))
        return False

    def charge(self, client: str, size: int) -> None:
        """Count bytes that were sent to a client."""
        with self._lock:
            now = time.monotonic()
            self.counters.bytes_sent += size
            self._overall = self._overall.charged(size, now)
            own = self._buckets.get(client) or Bucket.full(self.limits.per_device, now)
            kept = {each: bucket for each, bucket in self._buckets.items() if not bucket.is_full(now)}
            self._buckets = {**kept, client: own.charged(size, now)}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, listen: Listen, road: HttpRoad) -> None:
        self.road = road
        self.tls = ServerTls(listen)
        self._room = threading.BoundedSemaphore(road.limits.connections)
        if ":" in listen.host:
            self.address_family = socket.AF_INET6
        super().__init__((listen.host, listen.port), _Connection)

    def process_request(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Start a thread, or close at once when there are too many."""
        if not self._room.acquire(blocking=False):
            self.road.counters.turned_away += 1
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        """Answer a connection in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 -- the base class's
        """Note what ended a connection; clients come and go."""
        log.debug("connection of %s ended: %s", client_address, sys.exc_info()[1])


class _Connection(BaseHTTPRequestHandler):
    """One connection, in a thread of its own."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "tiers", ""
    server: _Server

    # ------------------------------------------------------------ of the connection
    def setup(self) -> None:
        """Let TLS stand, here and not where connections are accepted: a client that says nothing holds up nobody."""
        road, context = self.server.road, self.server.tls.context()
        self.request.settimeout(road.limits.head_seconds)
        if context is not None:
            try:
                self.request = context.wrap_socket(self.request, server_side=True)
            except OSError as error:
                road.counters.turned_away += 1
                log.info("turned away %s: %s", self.client_address[0], error)
                raise
        super().setup()
        self._lines = HeadLines(self.rfile, road.limits)
        self.rfile = cast("BufferedIOBase", self._lines)

    def handle(self) -> None:
        """Know the client, and answer its requests one after the other."""
        road = self.server.road
        self.who = self._name()
        if not road.enter(self.who):
            return
        try:
            with suppress(OSError):  # also a head that is too large, and a time-out
                super().handle()
        finally:
            road.leave(self.who)

    def finish(self) -> None:
        """Close what TLS has made of the connection; the server only knows what it was before."""
        super().finish()
        self.connection.close()

    def handle_one_request(self) -> None:
        """Wait for a request."""
        if self.server.road.stop.is_set():
            self.close_connection = True
            return
        self._lines.begin()
        self.connection.settimeout(self.server.road.limits.idle_seconds)
        super().handle_one_request()

    def _name(self) -> str:
        """Give the common name of the client's certificate, or its address."""
        if isinstance(self.connection, ssl.SSLSocket):
            shown = self.connection.getpeercert() or {}
            for part in chain.from_iterable(cast("tuple[tuple[tuple[str, str]]]", shown.get("subject", ()))):
                if part[0] == "commonName":
                    return part[1]
        return str(self.client_address[0])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class calls it so
        """Write to the log, not to the terminal."""
        log.debug("%s: %s", self.client_address[0], format % args)

    # ------------------------------------------------------------ of a request
    def do_GET(self) -> None:
        """Answer with bytes."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer without."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        road = self.server.road
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            self._refuse(HTTPStatus.BAD_REQUEST, "a question has no body")
            return
        found = _PATH.fullmatch(self.path) if len(self.path) <= MAX_PATH else None
        if found is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is /v1/artifacts/ARTIFACT/index and …/chunks")
            return
        try:
            shelf = road.shelves.shelf(parse_digest(found[1], what="artifact"))
            self._send(shelf, found[2], body=body)
        except MissingObjectError as error:
            self._refuse(HTTPStatus.NOT_FOUND, error.message)
        except RemoteUnavailableError as error:
            log.warning("the registry is away: %s", error.message)
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "the registry does not answer")
        except TiersError as error:
            log.error("the registry is damaged: %s; try: %s", error.message, error.hint)  # noqa: TRY400
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, error.message)

    def _send(self, shelf: HttpShelf, what: str, *, body: bool) -> None:
        whole = len(shelf.index) if what == "index" else shelf.size
        asked = self.headers.get_all("Range") or []
        part = part_of(asked, whole)
        if part is None:
            self._refuse(
                HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                f"one range of {whole} bytes, please",
                ("Content-Range", f"bytes */{whole}"),
            )
            return
        start, stop = part
        pieces = iter((shelf.index[start:stop],))
        if what == "chunks":
            pieces = self.server.road.shelves.pieces(shelf, start, stop)
        # Read before the status goes out: a registry that is damaged or away can still be told.
        first = next(pieces, b"") if body else b""
        self._head(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK, stop - start)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{whole}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("ETag", f'"{shelf.artifact}"')  # it never changes: the name is made of its content
        self.send_header("Cache-Control", "max-age=31536000, immutable")
        self.end_headers()
        if not body:
            return
        road = self.server.road
        self.connection.settimeout(road.limits.piece_seconds)
        try:
            for piece in chain((first,), pieces):
                if not road.wait_for_rate(self.who):
                    self.close_connection = True
                    return
                self.connection.sendall(piece)
                road.charge(self.who, len(piece))
        except (IntegrityError, MissingObjectError, RemoteUnavailableError) as error:
            log.error("an answer ends early: %s; try: %s", error.message, error.hint)  # noqa: TRY400
            self.close_connection = True

    def _head(self, status: HTTPStatus, length: int) -> None:
        self.server.road.counters.answers[status.value] += 1
        self.send_response(status)
        self.send_header("Content-Length", str(length))

    def _refuse(self, status: HTTPStatus, reason: str, *more: tuple[str, str]) -> None:
        text = f"{reason}\n".encode()
        self._head(status, len(text))
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            self.send_header("Retry-After", "2")
        for name, value in more:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)
