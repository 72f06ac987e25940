"""HTTP/1.1 to one other server, over connections that are used again: bytes out, status, headers and body back.

`offload` stands before it and knows what the bytes mean. TLS is checked against the configured authority; its file and
that of the token are read again for each new connection, so what kubelet renews is used without a restart. httptools
reads the answers (with every form of length that HTTP has), and no answer may be larger than LARGEST.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

import httptools

from toolkit.errors import IntegrityError
from toolkit.wire.offload import OffloadConfig

LARGEST: Final = 256 * 1024 * 1024
"""Bytes of an answer."""
LONGEST_HEAD: Final = 64 * 1024
IDLE: Final = 8
"""Connections that are kept while nobody needs them."""
_PIECE: Final = 256 * 1024


@dataclass
class Reply:
    """One response; httptools calls its methods."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    """By name in lower case."""
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False
    again: bool = False
    """Whether the connection can be used again."""
    parser: httptools.HttpResponseParser | None = None
    _head: int = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._head += len(name) + len(value)
        if self._head > LONGEST_HEAD:
            raise IntegrityError("the other machine's answer has too long a head")
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if len(self.body) + len(piece) > LARGEST:
            raise IntegrityError(f"the other machine's answer has more than {LARGEST} bytes")
        self.body += piece

    def on_message_complete(self) -> None:
        """Take note that this was all; whether the connection stays is known at this moment only."""
        self.complete = True
        self.again = self.parser is not None and bool(self.parser.should_keep_alive())


class FarServer:
    """One other server."""

    def __init__(self, config: OffloadConfig) -> None:
        """Connect to nothing yet; `config` has been checked."""
        url = urlsplit(config.url)
        self._config = config
        self._host = url.hostname or ""
        self._tls = url.scheme == "https"
        self._port = url.port or (443 if self._tls else 80)
        self._netloc = url.netloc
        self._prefix = url.path.rstrip("/")
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._token = ""

    async def post(
        self, parts: Sequence[str], headers: Mapping[str, str], body: Sequence[bytes | memoryview]
    ) -> Reply:
        """Send one request to the path of these parts, and wait for its answer.

        A connection that was idle may be one that the other side has closed; then it goes over a fresh one.

        Raises:
            OSError: nobody answers there, or not to the end.
            IntegrityError: what comes is no answer, or too large.
        """
        path = self._prefix + "".join(f"/{quote(part, safe='')}" for part in parts)
        while self._idle:
            reader, writer = self._idle.pop()
            if writer.is_closing() or reader.at_eof():
                writer.transport.abort()
                continue
            try:
                return await self._exchange(reader, writer, path, headers, body)
            except ConnectionError:
                continue
        reader, writer = await self._connect()
        return await self._exchange(reader, writer, path, headers, body)

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            _, writer = self._idle.pop()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        context = await loop.run_in_executor(None, self._read_files)
        name = self._host if self._tls else None
        return await asyncio.open_connection(self._host, self._port, ssl=context, server_hostname=name)

    def _read_files(self) -> ssl.SSLContext | None:
        config = self._config
        if config.token_file:
            lines = Path(config.token_file).read_text(encoding="ascii").split()
            self._token = lines[0] if lines else ""
        return ssl.create_default_context(cafile=config.ca_file or None) if self._tls else None

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        path: str,
        headers: Mapping[str, str],
        body: Sequence[bytes | memoryview],
    ) -> Reply:
        kept = False
        try:
            length = sum(map(len, body))
            lines = [f"POST {path} HTTP/1.1", f"Host: {self._netloc}", f"Content-Length: {length}"]
            if self._token:
                lines.append(f"Authorization: Bearer {self._token}")
            lines += [f"{name}: {value}" for name, value in headers.items()]
            writer.writelines([("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), *body])
            reply = await _read(reader)
            # A refused token is read again for the next connection.
            kept = reply.again and len(self._idle) < IDLE and reply.status != HTTPStatus.UNAUTHORIZED
            return reply
        finally:  # whoever gives up in the middle leaves an answer behind that nobody may take for the next one's
            if kept:
                self._idle.append((reader, writer))
            else:
                writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> Reply:
    reply = Reply()
    parser = reply.parser = httptools.HttpResponseParser(reply)
    while not reply.complete:
        data = await reader.read(_PIECE)
        if not data:
            raise ConnectionResetError(
                "the other machine closed the connection before its answer was complete"
            )
        try:
            parser.feed_data(data)
        except httptools.HttpParserError as exc:
            cause = exc.__context__
            raise (cause if isinstance(cause, IntegrityError) else IntegrityError(f"no HTTP: {exc}")) from exc
    reply.status, reply.parser = parser.get_status_code(), None
    return reply
