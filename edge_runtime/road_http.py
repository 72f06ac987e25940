"""Bring chunks by ranges over HTTP, in a thread of its own: the second road, beside MQTT's.

`roads` hands over a request that `protocol.transfer` has made; what comes back are frames, as a depot would have sent
them, so window, bitmap and the check of each chunk are the same. Nothing that the server says is believed beyond its
bytes: an answer must be exactly the range that was asked for, redirects stay on the server, and who is slow is left.
"""

from __future__ import annotations

import http.client
import logging
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from queue import SimpleQueue
from typing import Final
from urllib.parse import urljoin, urlsplit

from toolkit.errors import UnreachableError
from toolkit.protocol.framing import chunk_frames
from toolkit.wire.digest import Digest
from toolkit.wire.index import ChunkRef
from toolkit.wire.request import ChunkRequest

FRAME_BYTES: Final = 512 * 1024
READ_BYTES: Final = 64 * 1024
MAX_REDIRECTS: Final = 3
_RAW: Final = b"\0"
"""The coding byte of a stored chunk that is not compressed (docs/formats.md)."""
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_REDIRECTS = frozenset({301, 302, 307, 308})

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HttpSettings:
    """Where the server is, who we are, and how patient we are (seconds)."""

    url: str
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    silence: float = 10.0
    """Longest time without a byte."""
    patience: float = 20.0
    """Longest time for one chunk: 64 KiB at the pace of a modem."""


@dataclass(frozen=True)
class Errand:
    """A request to be carried out. The calls happen in the road's thread."""

    artifact: Digest
    chunks: tuple[ChunkRef, ...]
    request: ChunkRequest
    deliver: Callable[[bytes], None]
    """Gets each frame."""
    failed: Callable[[str], None]
    """Gets why the rest does not come."""
    wanted: Callable[[], bool]
    """Says whether anybody still waits for it."""


class HttpRoad:
    """The road. One errand after the other over one connection, which is kept."""

    def __init__(self, settings: HttpSettings) -> None:
        """Prepare; nothing is connected before the first errand."""
        self._settings = settings
        self._url = urlsplit(settings.url.rstrip("/"))
        self._errands: SimpleQueue[Errand | None] = SimpleQueue()
        self._connection: http.client.HTTPConnection | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="http-road", daemon=True)
        self._thread.start()

    def send(self, errand: Errand) -> None:
        """Hand over an errand. Any thread may."""
        self._errands.put(errand)

    @property
    def connected(self) -> bool:
        """Whether the next errand finds a connection that stands."""
        return self._connection is not None

    def close(self) -> None:
        """End the thread; what is under way is given up at its next chunk, within `silence` seconds."""
        self._ended = True
        self._errands.put(None)
        self._thread.join(self._settings.silence)

    # ------------------------------------------------------------ in the thread
    def _work(self) -> None:
        while (errand := self._errands.get()) is not None and not self._ended:
            try:
                for frame in self._frames(errand):
                    errand.deliver(frame)
            except (OSError, http.client.HTTPException, UnreachableError, ValueError) as error:
                self._disconnect()
                errand.failed(f"{self._url.netloc}: {str(error) or type(error).__name__}")
        self._disconnect()

    def _frames(self, errand: Errand) -> Iterator[bytes]:
        places = (0, *accumulate(chunk.size for chunk in errand.chunks))
        path = f"{self._url.path}/v1/artifacts/{errand.artifact}/chunks"
        for run in errand.request.runs:
            last = run.first + run.length
            stored = (
                (number, _RAW + data) for number, data in self._chunks(errand, path, places, run.first, last)
            )
            yield from chunk_frames(errand.artifact, errand.request.epoch, stored, FRAME_BYTES)

    def _chunks(
        self, errand: Errand, path: str, places: tuple[int, ...], first: int, last: int
    ) -> Iterator[tuple[int, bytes]]:
        """Yield the chunks from `first` to `last` (not included), read from one answer."""
        if not self._wanted(errand):
            return
        response = self._ask(path, places[first], places[last], places[-1])
        whole = False
        try:
            for number in range(first, last):
                yield number, self._read(response, places[number + 1] - places[number])
                if not self._wanted(errand):
                    return
            response.read()  # nothing is left; it ends the answer, so that the connection can be used again
            whole = True
        finally:
            if not whole:
                self._disconnect()  # what is left of the answer would be taken for the next one

    def _wanted(self, errand: Errand) -> bool:
        return errand.wanted() and not self._ended

    def _ask(self, path: str, start: int, stop: int, size: int) -> http.client.HTTPResponse:
        """Ask for a range, again over a new connection if the kept one has ended meanwhile."""
        for _ in range(MAX_REDIRECTS + 1):
            response = self._answer(path, start, stop)
            if response.status not in _REDIRECTS:
                _check(response, start, stop, size)
                return response
            path = self._redirected(path, response.getheader("Location") or "")
            self._disconnect()
        raise UnreachableError(f"it redirects more than {MAX_REDIRECTS} times")

    def _answer(self, path: str, start: int, stop: int) -> http.client.HTTPResponse:
        headers = {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        if self._connection is not None:
            try:
                return _exchange(self._connection, path, headers)
            except (OSError, http.client.HTTPException):
                self._disconnect()
        self._connection = self._connect()
        return _exchange(self._connection, path, headers)

    def _connect(self) -> http.client.HTTPConnection:
        settings, host = self._settings, self._url.hostname or ""
        if self._url.scheme == "http":
            return http.client.HTTPConnection(host, self._url.port, timeout=settings.silence)
        # Read anew for each connection: certificates are replaced while the daemon runs.
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.certificate_file:
            context.load_cert_chain(settings.certificate_file, settings.key_file or None)
        return http.client.HTTPSConnection(host, self._url.port, timeout=settings.silence, context=context)

    def _redirected(self, path: str, location: str) -> str:
        here = f"{self._url.scheme}://{self._url.netloc}"
        there = urlsplit(urljoin(f"{here}{path}", location))
        if (there.scheme, there.netloc) != (self._url.scheme, self._url.netloc):
            raise UnreachableError(f"it redirects to another server, {there.netloc[:100]!r}")
        return there.path

    def _read(self, response: http.client.HTTPResponse, size: int) -> bytes:
        """Read exactly one chunk, not slower than may be."""
        data, until = bytearray(), time.monotonic() + self._settings.patience
        while len(data) < size:
            piece = response.read1(min(READ_BYTES, size - len(data)))
            if not piece:
                raise UnreachableError("it ended in the middle of its answer")
            data += piece
            if time.monotonic() > until:
                raise UnreachableError(f"a chunk took longer than {self._settings.patience:g} s")
        return bytes(data)

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _exchange(
    connection: http.client.HTTPConnection, path: str, headers: dict[str, str]
) -> http.client.HTTPResponse:
    connection.request("GET", path, headers=headers)
    return connection.getresponse()


def _check(response: http.client.HTTPResponse, start: int, stop: int, size: int) -> None:
    """Accept nothing but the range that was asked for; RFC 9110 §14.4.

    Raises:
        UnreachableError: it is something else.
    """
    if response.status == http.client.OK:
        raise UnreachableError("it does not know ranges: it answers with the whole file")
    if response.status != http.client.PARTIAL_CONTENT:
        raise UnreachableError(f"it answers {response.status} {response.reason[:100]}")
    found = _CONTENT_RANGE.fullmatch(response.getheader("Content-Range") or "")
    if found is None or tuple(map(int, found.groups())) != (start, stop - 1, size):
        raise UnreachableError("its answer is another range than the one asked for")
    if response.length != stop - start:
        raise UnreachableError("its answer has another length than its range")
