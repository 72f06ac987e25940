"""Whose trace a question belongs to, and one line of JSON for every answer: what happened, never to whom.

`routes` takes the client's W3C traceparent and gives what lies behind it one of its own below that; `connection` writes
the lines. A line holds route, model, version, status, times and ids of the trace. It holds no path, client, parameter
or tensor: a path is the client's text, so a model is named only where it is one of ours.
https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from edge_runtime.serving.http import Request, Response, split_path

log = logging.getLogger("tiers.access")

HEADER: Final = "traceparent"
_PARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
SAMPLED: Final = 1
ABOUT: Final = frozenset({"ready", "live", "stats", "config", "metrics", "index", "status", "records"})
ROUTES: Final = ABOUT | {"infer", "load", "unload", "register", "unregister"}
"""Last parts of paths that a line may name; all else is `other`."""


class Line(msgspec.Struct, omit_defaults=True):
    """One answer."""

    at: float
    """Seconds since 1970."""
    route: str
    status: int
    seconds: float = 0.0
    """From the request's being complete to its answer."""
    model: str = ""
    version: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    trace: str = ""
    span: str = ""
    """Id of this piece of work."""
    parent: str = ""
    """Id of the client's."""


def child_of(parent: str) -> str:
    """Give a traceparent below this one, for work that is done on its behalf; "" for what is none.

    A header that is no traceparent is as good as none: that is the standard's rule, so that a broken client is served.
    """
    read = _read(parent)
    if read is None:
        return ""
    trace, _, flags = read
    return f"00-{trace}-{random.getrandbits(64) or 1:016x}-{flags & SAMPLED:02x}"


def _read(parent: str) -> tuple[str, str, int] | None:
    """Give trace, span and flags; versions that are not known yet are read as far as the first one goes (§4.3)."""
    found = _PARENT.fullmatch(parent) if parent else None
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or trace == _NO_TRACE or span == _NO_SPAN:
        return None
    return trace, span, int(flags, 16)


def route_of(path: str) -> str:
    """Give what a target is called in a log: one of our words, never the client's."""
    return _route(split_path(path))


def _route(parts: list[str]) -> str:
    return parts[-1] if parts and parts[-1] in ROUTES else "other"


class AccessLog:
    """Writes the lines; off unless it was switched on, or everything is logged."""

    def __init__(
        self, models: Collection[str], *, always: bool, clock: Callable[[], float] = time.time
    ) -> None:
        """Name only these models; `always` writes at the level info, else it is debug."""
        self._models = frozenset(models)
        self._level = logging.INFO if always else logging.DEBUG
        self._clock = clock

    @property
    def on(self) -> bool:
        """Whether anybody would see a line."""
        return log.isEnabledFor(self._level)

    def write(self, request: Request, response: Response, seconds: float) -> None:
        """Write what became of a request."""
        parts = split_path(request.path)
        line = Line(self._clock(), _route(parts), int(response.status), round(seconds, 6))
        line.model, line.version = response.model, response.version
        if not line.model and parts[1:2] == ["models"] and parts[2:3] and parts[2] in self._models:
            line.model = parts[2]
        line.bytes_in, line.bytes_out = len(request.body), sum(map(len, response.body))
        if (parent := _read(request.headers.get(HEADER, ""))) is not None:
            line.trace, line.parent = parent[0], parent[1]
            own = _read(response.trace)
            line.span = own[1] if own is not None else ""
        self._write(line)

    def refused(self, response: Response) -> None:
        """Write that somebody was refused whose request was not read to its end."""
        self._write(Line(self._clock(), "refused", int(response.status)))

    def _write(self, line: Line) -> None:
        log.log(self._level, "%s", msgspec.json.encode(line).decode())
