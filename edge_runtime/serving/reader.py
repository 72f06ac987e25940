"""Bytes of one client -> Requests, with every limit of size held: the half of a `connection` that listens.

httptools (llhttp, strict) reads heads that are not known yet (`heads`); what it leaves open is refused here: chunked
bodies (411), other transfer codings and upgrades (501), a missing or double Host. A body has the length that its head
says and nothing else, so what of it did not come with the head is received straight into its place, which is laid so
that its first tensor is aligned. A client whose last two requests had the same head is expected to send it a third
time: then head and body are received into that place at one go, and nothing is copied (`heads`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, NoReturn

import httptools
import numpy as np

from edge_runtime.serving.floor import Floor
from edge_runtime.serving.guard import Caller, Guard
from edge_runtime.serving.heads import END, LONGEST, NO_HEAD, Head
from edge_runtime.serving.http import Request, Response, error_response

log = logging.getLogger(__name__)

ONCE: Final = frozenset(
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
VERSIONS: Final = ("1.0", "1.1")
ALIGNMENT: Final = 16
"""Bytes: what malloc gives, and more than any element of a tensor takes."""
LONGEST_READ: Final = 512 * 1024
"""Bytes that one read may bring of a body before they are counted."""
SPARE: Final = 1
"""Bytes of room behind a body: where a read fills all of its room, the loop reads again, mostly to find nothing."""
MOST_KEYS: Final = 512
_keys: dict[bytes, str] = {}
"""Names of headers as they were sent -> in lower case; clients send the same few all day."""


class _RefusedError(Exception):
    """Leaves the parser's callbacks; the answer is in the reader."""


class Reader:
    """Reads the requests of one connection, one after the other."""

    def __init__(
        self,
        floor: Floor,
        guard: Guard,
        begun: Callable[[], None],
        complete: Callable[[Request], None],
        *,
        peer: str,
        certificate: str,
        user: int | None = None,
    ) -> None:
        """Prepare.

        Args:
            floor: limits, and the count of bytes that all connections hold.
            guard: says who may ask.
            begun: called when a request begins.
            complete: takes each request that has come in whole.
            peer: name of whoever is at the other end.
            certificate: name in the certificate that it showed; empty without one.
            user: as in `Request`.
        """
        self._user = user
        self._floor, self._limits, self._guard = floor, floor.limits, guard
        self._begun, self._complete = begun, complete
        self._peer, self._certificate = peer, certificate
        self._parser = httptools.HttpRequestParser(self)
        self.held_bytes = 0
        """Bytes of bodies that are counted on the floor and not released."""
        self.owes_continue = False
        self._refusal: Response | None = None
        self._nothing = memoryview(b"")
        self._last = NO_HEAD  # of the last request whose head was known
        self._guess = NO_HEAD  # which is expected next, with these bytes
        self._guessed = b""
        self._place: memoryview | None = None  # where a read puts what is expected
        self._parsing = False  # whether the parser is inside of a request
        self._url = b""
        self._headers: dict[str, str] = {}
        self._fresh = NO_HEAD  # what the parser read, where the next like it need not be parsed
        self._begin()

    def _begin(self) -> None:
        self._head = NO_HEAD
        self._head_came = 0  # bytes read while the head was not complete
        self._head_size = 0  # bytes of the parts that were recognised
        self._caller = ""
        self._body = self._nothing
        self._room = self._nothing  # the body and what is spare behind it
        self._got = 0  # bytes of the body that are there

    # ------------------------------------------------------------ from the connection
    def room(self) -> memoryview:
        """Give the place for what comes next: the rest of a body, what is expected, else room that everybody uses."""
        if self._got < len(self._body):
            return self._room[self._got : self._got + LONGEST_READ]
        if self._guess is NO_HEAD or self._parsing:
            return self._floor.scratch
        return self._expect()

    def take(self, count: int) -> Response | None:
        """Read this many bytes, which lie in `room`; give the refusal that ends the connection, if there is one."""
        place, self._place = self._place, None
        try:
            if place is not None:
                if not self._take_expected(place, count):
                    self._last = self._guess = NO_HEAD
                    self._feed(place[:count])
            elif self._got < len(self._body):
                self._take_body(count)
            else:
                self._take_scratch(count)
        except _RefusedError:
            return self._refusal
        except httptools.HttpParserError as exc:
            if self._refusal is None and isinstance(exc, httptools.HttpParserCallbackError):
                log.exception("a callback of the parser failed")
            return self._refusal or error_response(400, f"not a request that HTTP/1.1 allows: {exc}")
        if self._head is NO_HEAD and self._head_came > self._limits.head_bytes:
            return self._head_too_long()
        return None

    def _expect(self) -> memoryview:
        """Give room for a request like the last ones, if everybody's bytes leave any."""
        floor, head = self._floor, self._guess
        if floor.buffered_bytes + head.length > self._limits.buffered_bytes:
            return floor.scratch
        try:
            self._place = _make_room(len(self._guessed), head.length, head.header_length)
        except MemoryError:
            return floor.scratch
        return self._place[:LONGEST_READ]

    def _take_expected(self, place: memoryview, count: int) -> bool:
        """Read a request that lies in the place that was made for it; tell whether it is that one."""
        head, data = self._guess, self._guessed
        size = len(data)
        if count < size or place[:size].tobytes() != data:
            return False
        self._head = head
        self._admit(head)
        self._room = place[size:]
        self._body = self._room[: head.length]
        if count - size < head.length:
            self._begun()
        self._take_body(count - size)
        return True

    def _take_body(self, count: int) -> None:
        """Count what came into the room of the body; what came behind it begins the next request."""
        length = len(self._body)
        came = min(count, length - self._got)
        self._count(came)
        self._got += came
        if self._got == length:
            more = self._room[length : length + count - came]
            self._finish()
            if count > came:
                self._feed(more)

    def _feed(self, data: memoryview) -> None:
        """Read bytes that came where others were expected, as if they came now."""
        scratch = self._floor.scratch
        while data:
            missing = len(self._body) - self._got
            count = min(len(data), missing or len(scratch))
            if missing:
                self._put(data[:count])
                if count == missing:
                    self._finish()
            else:
                scratch[:count] = data[:count]
                self._take_scratch(count)
            data = data[count:]

    def _take_scratch(self, count: int) -> None:
        if self._parsing or not self._take_known(count):
            self._parse(0, count)

    def _take_known(self, count: int) -> bool:
        """Read a request that begins here, if all of its head is; tell whether that was all there is to read."""
        floor = self._floor
        end = floor.room.find(END, 0, min(count, LONGEST)) + len(END)
        if end < len(END):
            return False
        data = bytes(floor.scratch[:end])
        head = floor.heads.find(data)
        if head is None:
            self._take_new(data, count)
            return True
        if count - end > head.length:
            return False
        if head.length and head is self._last:
            self._guess, self._guessed = head, data
        self._last = head
        self._head = head
        self._admit(head)
        if head.length:
            if count - end < head.length:
                self._begun()
            self._lay(head)
            if end < count:
                self._put(floor.scratch[end:count])
        if self._got == head.length:
            self._finish()
        return True

    def _take_new(self, data: bytes, count: int) -> None:
        """Let the parser read this head and what came with it, and keep what it makes of the head."""
        self._fresh = NO_HEAD
        self._parse(0, len(data))
        if self._fresh is not NO_HEAD and not self._got:
            self._floor.heads.keep(data, self._fresh)
        if len(data) < count:
            self._parse(len(data), count)

    def _parse(self, start: int, end: int) -> None:
        if self._head is NO_HEAD:
            self._head_came += end - start
        self._parser.feed_data(self._floor.scratch[start:end])

    def release(self, count: int) -> None:
        """Count these bytes of a body as forgotten."""
        self._floor.buffered_bytes -= count
        self.held_bytes -= count

    def forget(self) -> None:
        """Let go of what has come in, and of what points here in a circle: the collector of garbage comes rarely."""
        self.release(self.held_bytes)
        self._begin()
        self._place = None
        del self._parser, self._begun, self._complete

    # ------------------------------------------------------------ from httptools
    def on_message_begin(self) -> None:
        """Tell that a request begins."""
        self._parsing = True
        self._url = b""
        self._headers = {}
        self._begun()

    def on_url(self, url: bytes) -> None:
        """Collect the target; it may come in pieces."""
        self._url += url
        self._grow_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header."""
        key = _keys.get(name) or _key(name)
        headers = self._headers
        if key in ONCE and key in headers:
            self._leave(error_response(400, f"header {key} is there twice"))
        headers[key] = value.decode("latin-1").strip()
        self._grow_head(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """Refuse before the body is read what would be refused after it; make room for the body."""
        headers, parser = self._headers, self._parser
        length = int(headers.get("content-length", "0"))
        if parser.should_upgrade():
            self._leave(
                error_response(501, "upgrades and tunnels are not offered here; speak plain HTTP/1.1")
            )
        version = parser.get_http_version()
        if version not in VERSIONS:
            self._leave(error_response(505, "HTTP/1.1 is spoken here"))
        if version == "1.1" and "host" not in headers:
            self._leave(error_response(400, "header Host is missing"))
        self._head = head = Head(
            parser.get_method().decode("ascii"),
            self._url,
            self._url.partition(b"?")[0].decode("latin-1"),
            headers,
            version,
            bool(parser.should_keep_alive()),
            length,
            headers.get("inference-header-content-length", ""),
        )
        self._admit(head)
        if "transfer-encoding" in headers:
            chunked = headers["transfer-encoding"].lower() == "chunked"
            self._leave(error_response(411 if chunked else 501, "send the body with Content-Length"))
        if length > self._limits.body_bytes:
            self._leave(error_response(413, f"the body may have at most {self._limits.body_bytes} bytes"))
        expect = headers.get("expect")
        if expect:
            if expect.lower() != "100-continue":
                self._leave(error_response(417, "only 100-continue can be expected"))
            self.owes_continue = length > 0
        if length:
            self._lay(head)
            self._fresh = head

    def on_body(self, piece: bytes) -> None:
        """Lay what came with the head into its place."""
        self._put(piece)

    def on_message_complete(self) -> None:
        """Pass the request on."""
        self._parsing = False
        self._finish()

    # ------------------------------------------------------------ inside
    def _lay(self, head: Head) -> None:
        try:
            self._room = _make_room(0, head.length, head.header_length)
        except MemoryError:  # where the machine promises no more memory than it has
            self._leave(error_response(503, "no memory for the body", Retry_After="1"))
        self._body = self._room[: head.length]

    def _put(self, piece: bytes | memoryview) -> None:
        count = len(piece)
        self._count(count)
        self._body[self._got : self._got + count] = piece
        self._got += count

    def _finish(self) -> None:
        head = self._head
        request = Request(
            head.method,
            head.path,
            head.headers,
            self._body,
            head.version,
            head.keep_alive,
            self._caller,
            self._user,
        )
        if self._parsing:  # it still waits for this body
            self._parser = httptools.HttpRequestParser(self)
            self._parsing = False
        self._begin()
        self._complete(request)

    def _count(self, count: int) -> None:
        floor = self._floor
        self.owes_continue = False
        if floor.buffered_bytes + count > self._limits.buffered_bytes:
            self._leave(error_response(503, "too many bytes are being received", Retry_After="1"))
        floor.buffered_bytes += count
        self.held_bytes += count

    def _admit(self, head: Head) -> None:
        """Refuse somebody who may not ask, before a byte of the body is kept."""
        shown = head.headers.get("authorization", "")
        path = head.target.partition(b"?")[0]
        caller = self._guard.admit(path, shown, peer=self._peer, certificate=self._certificate)
        if not isinstance(caller, Caller):
            self._leave(caller)
        self._caller = caller.name

    def _grow_head(self, count: int) -> None:
        self._head_size += count
        if self._head_size > self._limits.head_bytes or len(self._headers) > self._limits.headers:
            self._leave(self._head_too_long())

    def _head_too_long(self) -> Response:
        limits = self._limits
        return error_response(
            431, f"the head may have at most {limits.head_bytes} bytes and {limits.headers} headers"
        )

    def _leave(self, refusal: Response) -> NoReturn:
        self._refusal = refusal
        raise _RefusedError


def _key(name: bytes) -> str:
    key = name.decode("latin-1").lower()
    if len(_keys) < MOST_KEYS and len(name) < 64:  # noqa: PLR2004 -- no longer than anybody's headers
        _keys[name] = key
    return key


def _make_room(before: int, length: int, header_length: str) -> memoryview:
    """Give room for a head of `before` bytes, a body and SPARE.

    The body's first tensor, behind a JSON of `header_length` bytes, begins at a round address. Nothing is written into
    it: pages that no byte of the client reaches are never taken from the machine.
    """
    known = header_length.isascii() and header_length.isdigit() and len(header_length) < 10  # noqa: PLR2004 -- a GB
    offset = -(before + int(header_length)) % ALIGNMENT if known else 0
    return np.empty(offset + before + length + SPARE, np.uint8).data[offset:]
