"""What one HTTP server of ours bears, and what it reads of a request: the bounds of `http_road`.

Nothing that a client sends is kept beyond them. Python's own server has limits too; these are tighter, and in seconds.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from io import BufferedIOBase

from toolkit.protocol.buckets import Rate

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


@dataclass(frozen=True)
class HttpLimits:
    """What one server bears; seconds and bytes."""

    connections: int = 64
    connections_of_one: int = 4
    """Of one device, or of one address where nobody shows a certificate."""
    head_bytes: int = 16 * 1024
    head_seconds: float = 10.0
    """For TLS to stand, and for a request's head once it has begun."""
    idle_seconds: float = 30.0
    """Between two requests."""
    piece_seconds: float = 60.0
    """For the client to take one piece, of a chunk's size at most."""
    per_device: Rate = field(default_factory=Rate)
    overall: Rate = field(default_factory=Rate)


@dataclass
class HttpCounters:
    """What the road has done since it started."""

    bytes_sent: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    """Status -> how often."""
    turned_away: int = 0
    """Connections over a limit, or without a certificate that holds."""


class HeadTooLargeError(ConnectionError):
    """A request's head is longer, or takes longer, than it may."""


class HeadLines:
    """The lines of a request's head, bounded in bytes and seconds."""

    def __init__(self, source: BufferedIOBase, limits: HttpLimits) -> None:
        """Stand before a connection."""
        self._source = source
        self._limits = limits
        self.begin()

    def begin(self) -> None:
        """Expect a new head."""
        self._left = self._limits.head_bytes
        self._until = 0.0

    def readline(self, limit: int = -1) -> bytes:
        """Read a line of the head."""
        line = self._source.readline(self._left + 1 if limit < 0 else min(limit, self._left + 1))
        self._left -= len(line)
        now = time.monotonic()
        self._until = self._until or now + self._limits.head_seconds
        if self._left < 0 or now > self._until:
            raise HeadTooLargeError
        return line

    def close(self) -> None:
        """Close what it reads from."""
        self._source.close()


def part_of(asked: list[str], whole: int) -> tuple[int, int] | None:
    """Give the first byte that is asked for and the one behind the last; None when that is not one part.

    RFC 9110 §14; a range that lies behind the end, several of them, and what is no range get 416.
    """
    if not asked:
        return 0, whole
    found = _RANGE.fullmatch(asked[0]) if len(asked) == 1 else None
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, stop = max(0, whole - int(found[2])), whole
    else:
        start = int(found[1])
        stop = min(int(found[2]) + 1, whole) if found[2] else whole
    return (start, stop) if start < stop else None
