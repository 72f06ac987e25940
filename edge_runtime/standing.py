"""STATE/standing.json: what only the running daemon knows of itself, for `tiers-edge status` beside it.

The daemon writes it every few seconds if it has changed, and does not wait for the disk: after a crash it is worthless,
and `status` reads it only while a daemon has the folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from edge_runtime.outbox import Fill
from toolkit.errors import IntegrityError
from toolkit.wire.document import Document, decode_json, encode_json

LOOK_SECONDS: Final = 5.0


class DroppedStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Records that there was no room for, since the outbox began."""

    kind: str
    priority: int
    records: int
    payload_bytes: int


class OutboxStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How full the outbox is."""

    waiting: tuple[int, int, int]
    """Records of each priority: emergency, normal, batch."""
    used_bytes: int
    cap_bytes: int
    """Above which records are dropped; 0 when the daemon does not run."""
    oldest_ms: int
    dropped: tuple[DroppedStanding, ...]
    refused: int = 0
    """Not accepted since the daemon started."""


class Standing(Document, frozen=True, kw_only=True):
    """The file."""

    FORMAT: ClassVar[int] = 1
    connected: bool
    """To the broker."""
    receiver: bool
    """Something takes records."""
    problem: str
    """Why it does not, in its words."""
    outbox: OutboxStanding | None
    rungs: Mapping[str, str]
    """Model -> how far its service is cut back."""
    engines: Mapping[str, str]
    """Model -> what runs it."""


def outbox_standing(fill: Fill, refused: int = 0) -> OutboxStanding:
    """Say how full an outbox is."""
    return OutboxStanding(
        waiting=fill.records,
        used_bytes=fill.used_bytes,
        cap_bytes=fill.cap_bytes,
        oldest_ms=fill.oldest_ms,
        dropped=tuple(
            DroppedStanding(kind=kind, priority=priority, records=records, payload_bytes=size)
            for (kind, priority), (records, size) in sorted(fill.dropped.items())
        ),
        refused=refused,
    )


def write_standing(file: Path, standing: Standing) -> None:
    """Replace the file; a disk that does not take it keeps the old one."""
    draft = file.with_name(f".{file.name}.{os.getpid()}.part")
    with suppress(OSError):
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as written:
                written.write(encode_json(standing))
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)


def read_standing(file: Path) -> Standing | None:
    """Read the file; None when there is none that can be read."""
    try:
        return decode_json(file.read_bytes(), Standing, what=str(file))
    except (OSError, IntegrityError):
        return None
