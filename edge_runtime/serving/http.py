"""HTTP/1.1 messages as values: what `connection` makes of bytes, `routes` answers, and `connection` writes back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import unquote

import msgspec

Buffer: TypeAlias = bytes | bytearray | memoryview

JSON = "application/json"
REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Request:
    """One complete request. Nobody changes one; it is not frozen because that would cost each one a microsecond."""

    method: str
    path: str
    """Path of the target as it was sent: still percent-encoded, without the query."""
    headers: Mapping[str, str]
    """By name in lower case."""
    body: Buffer = b""
    version: str = "1.1"
    keep_alive: bool = True
    client: str = ""
    """Whose it is, as far as the guard knows."""
    user: int | None = None
    """Of this machine who asks, -1 where it is one of this machine that nobody knows; None for the network."""
    expires: float = math.inf
    """Moment on `perf_counter`'s clock after which nobody needs the answer, where its way here says that."""
    alone: bool = False
    """Whether no other request has come in that is still to be begun."""


@dataclass(slots=True)
class Response:
    """One complete response; a long body is written part by part, without joining it first. A view is one of bytes.

    Only who makes one changes it; it is not frozen for the same reason as a Request.
    """

    status: int
    body: Sequence[Buffer] = ()
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    model: str = ""
    """For the log: the model that answered, its version, and the traceparent of the work; not sent."""
    version: str = ""
    trace: str = ""


def split_path(path: str) -> list[str]:
    """Give the parts of a target's path, decoded one by one, so that %2F stays inside its part."""
    parts = path.split("/")[1:]
    return [unquote(part) for part in parts] if "%" in path else parts


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
    length = sum(map(len, response.body))
    lines = f"{_start(response.status, response.content_type)}{length}\r\n"
    for name, value in response.headers.items():
        lines += f"{name}: {value}\r\n"
    if not keep_alive:
        lines += "Connection: close\r\n"
    elif version == "1.0":
        lines += "Connection: keep-alive\r\n"
    return (lines + "\r\n").encode("latin-1")


@cache
def _start(status: int, content_type: str) -> str:
    reason = REASONS.get(status, "Unknown")
    return f"HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: "
