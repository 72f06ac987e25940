"""What a run asks of a target, whatever its layout: plan, fill, commit, read back.

`push.PackTarget` and `layouts.mirror.MirrorTarget` are the two; `run` drives them in this order.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from toolkit.sync.chunk_source import ChunkSource
from toolkit.sync.events import FileProblem, Listener
from toolkit.sync.pace import Pace
from toolkit.wire.index import Entry, Listing


@dataclass(frozen=True)
class Wish:
    """What a target shall hold after the run."""

    new: Listing
    """What the source has and the run brings."""
    left_out: frozenset[bytes] = frozenset()
    """Paths that the source has but the run does not bring; the target keeps its copy."""
    keep_all: bool = False
    """Nothing is deleted, because the source is emptied after each run."""
    max_delete: int | None = None
    """Most files that may be deleted; None allows half of them."""
    check: bool = False
    """Read what the target has, and believe no sizes and times: finds and mends bits that have turned."""


@dataclass(frozen=True)
class Plan:
    """What a target lacks."""

    chunks: int
    """Chunks to move."""
    total_bytes: int
    """Their bytes when open."""
    files: int
    """Files that change or appear."""
    deletions: int
    """Files and links that go."""


@dataclass(frozen=True)
class Filled:
    """What moved."""

    chunks: int = 0
    total_bytes: int = 0
    stored_bytes: int = 0
    torn: tuple[FileProblem, ...] = ()
    torn_paths: frozenset[bytes] = frozenset()

    def __add__(self, other: Filled) -> Filled:
        """Put together what moved at different times."""
        return Filled(
            self.chunks + other.chunks,
            self.total_bytes + other.total_bytes,
            self.stored_bytes + other.stored_bytes,
            self.torn + other.torn,
            self.torn_paths | other.torn_paths,
        )


@dataclass(frozen=True)
class Committed:
    """What stands in the target now."""

    files_written: int = 0
    deleted: int = 0
    changed: bool = False
    """Whether a new index was written."""
    problems: tuple[FileProblem, ...] = ()


class Target(Protocol):
    """One target of a run. For one thread; it may use others inside."""

    def plan(self, wish: Wish) -> Plan:
        """Look at what is there and find what is missing; change nothing.

        Raises:
            SyncError: more files would be deleted than may be.
            IntegrityError: what the target says of itself was damaged.
        """
        ...

    def fill(self, source: ChunkSource, pace: Pace, listen: Listener) -> Filled:
        """Bring the missing chunks. What has arrived stays, even when this is interrupted."""
        ...

    def commit(self, torn: Collection[bytes]) -> Committed:
        """Put everything but the torn files in its place, the Ref last."""
        ...

    def read_back(self, entries: Collection[Entry]) -> frozenset[bytes]:
        """Read files again as the target holds them now, and give the paths that are not what their entries say."""
        ...

    def close(self) -> None:
        """Let go of files and locks."""
        ...
