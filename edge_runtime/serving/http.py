"""HTTP/1.1 messages as values: what `connection` makes of bytes, `routes` answers, and `connection` writes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeAlias

import msgspec

Buffer: TypeAlias = bytes | bytearray | memoryview

JSON = "application/json"
REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Request:
    """One complete request."""

    method: str
    path: str
    """Path of the target as it was sent: still percent-encoded, without the query."""
    headers: Mapping[str, str]
    """By name in lower case."""
    body: Buffer = b""
    version: str = "1.1"
    keep_alive: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """One complete response; the body is written part by part, without joining it first."""

    status: int
    body: Sequence[Buffer] = ()
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def json_response(status: int, document: object, **headers: str) -> Response:
    """Answer with a JSON document; underscores in the names of `headers` stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, (msgspec.json.encode(document),), headers=named)


def error_response(status: int, message: str, **headers: str) -> Response:
    """Answer with the protocol's one form of an error, `{"error": message}`."""
    return json_response(status, {"error": message}, **headers)


def encode_head(response: Response, *, version: str, keep_alive: bool) -> bytes:
    """Write the status line and headers.

    An HTTP/1.0 client is told when the connection stays; an HTTP/1.1 client when it does not (RFC 9112 §9.3).
    """
    length = 0
    for part in response.body:
        length += part.nbytes if isinstance(part, memoryview) else len(part)
    lines = [
        f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Unknown')}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {length}",
    ]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if not keep_alive:
        lines.append("Connection: close")
    elif version == "1.0":
        lines.append("Connection: keep-alive")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
