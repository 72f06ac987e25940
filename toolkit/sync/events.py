"""What went wrong with single files of a sync, which goes on with the others, and what a sync says while it works."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from toolkit.wire.paths import shown

ProblemKind = Literal["torn", "unreadable", "in-the-way", "kept", "unfit"]


@dataclass(frozen=True)
class FileProblem:
    """A file that a run left as it was.

    torn: it kept changing while it was read · unreadable: the source does not give it · in-the-way: the target has
    something at its place that no run of the route wrote · kept: it was changed in the target since it was written,
    so it is not deleted though the source has it no more · unfit: not all of it can be kept, by an index or by the
    file system of the target; the reason says what did arrive.
    """

    path: str
    kind: ProblemKind
    reason: str


def file_problem(path: bytes, kind: ProblemKind, reason: str) -> FileProblem:
    """Make one from a path of an index."""
    return FileProblem(shown(path), kind, reason)


@dataclass(frozen=True)
class Scanned:
    """The source has been looked through."""

    files: int
    total_bytes: int
    bytes_read: int


@dataclass(frozen=True)
class Planned:
    """What one target lacks."""

    target: str
    chunks: int
    total_bytes: int
    """Bytes of the missing chunks when open."""


@dataclass(frozen=True)
class Moved:
    """Chunks have arrived since the last event."""

    target: str
    chunks: int
    total_bytes: int
    """Bytes of these chunks when open."""
    stored_bytes: int
    """Bytes that moved."""


@dataclass(frozen=True)
class Finished:
    """A target is complete and its Ref is written."""

    target: str


Event = Scanned | Planned | Moved | Finished
Listener = Callable[[Event], None]
"""Called from any thread of a run, one call at a time."""


def unheard(_: Event) -> None:
    """Listen to nothing."""
