"""What both halves of a transfer, `index_transfer` and `transfer`, are told and what they want done."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.wire.request import ChunkRequest


@dataclass(frozen=True)
class FrameArrived:
    """A payload came on this device's data topic."""

    payload: bytes


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True)
class Reconnected:
    """The link stands (again)."""


@dataclass(frozen=True)
class Disconnected:
    """The link is gone; what was asked for will not come."""


@dataclass(frozen=True)
class Request:
    """To do: publish this."""

    request: ChunkRequest


@dataclass(frozen=True)
class GivenUp:
    """The transfer cannot go on: why, as a stable word and as a line for people."""

    code: str
    reason: str


@dataclass(frozen=True)
class ChunkStored:
    """The disk has checked and written a chunk."""

    number: int


@dataclass(frozen=True)
class ChunksStored:
    """The disk has checked and written all of these."""

    numbers: tuple[int, ...]


@dataclass(frozen=True)
class ChunkBad:
    """A chunk was not what it should be."""

    number: int


@dataclass(frozen=True)
class Committed:
    """These chunks are durable and in the bitmap."""

    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Store:
    """To do: unpack, check and write a stored chunk; `ChunkStored` or `ChunkBad` follows."""

    number: int
    stored: bytes | memoryview


@dataclass(frozen=True)
class Commit:
    """To do: make the data durable, then put these chunks into the bitmap; `Committed` follows."""

    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Finished:
    """All chunks are here."""
