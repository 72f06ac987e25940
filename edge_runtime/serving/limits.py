"""What one client, and all of them together, may cost the server. `server` sets it; `connection` holds to it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    head_bytes: int = 16 * 1024
    """Request line and headers of one request."""
    headers: int = 64
    """Header lines of one request."""
    body_bytes: int = 64 * 1024 * 1024
    buffered_bytes: int = 256 * 1024 * 1024
    """Bodies of all connections together."""
    connections: int = 256
    pipelined: int = 32
    """Requests of one connection that may wait for their turn before its socket is no longer read."""
    read_seconds: float = 30.0
    """From the first byte of a request to its last, and for taking in a response."""
    idle_seconds: float = 75.0
    """How long a kept-alive connection may stay silent."""
    linger_seconds: float = 2.0
    """After a refusal, how long the rest of the request is read and dropped so that the client sees the answer."""
