"""What a device asks for: the index of an artifact, or chunks by number. Idempotent, so a lost answer costs only time.

`protocol.transfer` writes it, `protocol.serve` reads it and answers with frames. MessagePack, QoS 0, at most 64 KiB.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from toolkit.errors import IntegrityError
from toolkit.wire.digest import Digest, parse_digest
from toolkit.wire.document import Document, decode_msgpack, encode_msgpack

MAX_REQUEST_BYTES = 64 * 1024
MAX_REQUESTED_CHUNKS = 4096
MAX_LACKS = 256
MAX_LACKING = 1 << 22
"""Chunks that a device may say it lacks; more than any artifact has."""


class Run(NamedTuple):
    """A run of chunk numbers: the first one and how many there are."""

    first: int
    length: int


class ChunkRequest(Document, frozen=True, kw_only=True, omit_defaults=True):
    """A device's wish. Either `index_from` is set, or `runs` name chunks by their number in `distinct_chunks`."""

    FORMAT: ClassVar[int] = 2
    READS: ClassVar[tuple[int, ...]] = (1, 2)
    device: str
    artifact: Digest
    epoch: int
    """Grows with each request of a device's connection; frames carry it back."""
    index_from: int | None = None
    """Offset in the index's bytes from which to send it."""
    runs: tuple[Run, ...] = ()
    max_frame_bytes: int = 256 * 1024
    """Largest MQTT payload that the device (or its broker's preset) takes."""
    listens: bool = False
    """The device hears the artifact's stream, so that what the stream will bring need not be sent to it alone."""
    lacks: tuple[Run, ...] = ()
    """All that it lacks, said now and then by one that listens; at most MAX_LACKS runs."""

    def needed_format(self) -> int:
        """Give 2 for a request of a device that listens; else 1."""
        return 2 if self.listens or self.lacks else 1


def encode_request(request: ChunkRequest) -> bytes:
    """Give a request's bytes."""
    return encode_msgpack(request)


def decode_request(data: bytes) -> ChunkRequest:
    """Read a request from anybody.

    Raises:
        IntegrityError: it is damaged, too large, or asks for what cannot be.
    """
    request = decode_msgpack(data, ChunkRequest, what="chunk request", limit=MAX_REQUEST_BYTES)
    parse_digest(request.artifact, what="chunk request: artifact")
    if any(run.first < 0 or run.length < 1 for run in request.runs) or (request.index_from or 0) < 0:
        raise IntegrityError("chunk request has an impossible run or offset")
    if len(request.lacks) > MAX_LACKS or any(run.first < 0 or run.length < 1 for run in request.lacks):
        raise IntegrityError("chunk request says in an impossible way what the device lacks")
    if sum(run.length for run in request.lacks) > MAX_LACKING:
        raise IntegrityError(f"chunk request lacks more than {MAX_LACKING} chunks")
    if sum(run.length for run in request.runs) > MAX_REQUESTED_CHUNKS:
        raise IntegrityError(f"chunk request asks for more than {MAX_REQUESTED_CHUNKS} chunks at once")
    return request


def runs_of(numbers: list[int]) -> tuple[Run, ...]:
    """Turn sorted chunk numbers into runs."""
    runs: list[Run] = []
    for number in numbers:
        if runs and runs[-1].first + runs[-1].length == number:
            runs[-1] = Run(runs[-1].first, runs[-1].length + 1)
        else:
            runs.append(Run(number, 1))
    return tuple(runs)
