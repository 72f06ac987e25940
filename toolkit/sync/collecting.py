"""The documents of garbage collection in a store: what is about to go, and what is about to be promised.

    gc/sweeps/NUMBER   what one collection is about to delete (`Sweep`); the newest stays when it is done
    gc/marks           since when what has been unused (`Marks`)
    gc/clock           written to hear the store's own time
    gc/reserve         zeros that are given up when the disk is full, so that a collection can write what it must
    pending/ID         a Ref that somebody is about to write; what lies below it is not deleted

`gc` writes the first three, `promise` the last one; `layouts.packs` reads the sweeps so that no writer counts on what
is going. Why this is safe is told in `gc`.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from toolkit.errors import MissingObjectError, RemoteUnavailableError
from toolkit.sync.remotes.remote import MAX_OBJECT_BYTES, Remote
from toolkit.wire.document import Document, decode_json, encode_json

SWEEPS = "gc/sweeps/"
MARKS = "gc/marks"
CLOCK = "gc/clock"
RESERVE = "gc/reserve"
_RESERVE_BYTES = 256 * 1024
PENDING = "pending/"
_ATTEMPTS = 20


class Sweep(Document, frozen=True, kw_only=True):
    """What one collection is about to delete. The list does not change; only `done` does."""

    FORMAT: ClassVar[int] = 1
    began_ms: int
    """By the clock of the store."""
    condemned: tuple[str, ...]
    """Keys. Nobody may count on them from now on, also when they are still there."""
    done: bool = False
    """Nothing of the list will be deleted any more: what is there now stays."""


class Marks(Document, frozen=True, kw_only=True):
    """Since when what has been unused, as far as collections have looked."""

    FORMAT: ClassVar[int] = 1
    written_ms: int = 0
    since: dict[str, int] = msgspec.field(default_factory=dict)
    """Key → milliseconds since 1970 by the clock of the store."""


@dataclass(frozen=True)
class Collecting:
    """What is going on in a store."""

    names: tuple[str, ...] = ()
    """Keys of all sweeps. A sweep that began later has another name, so equal names mean that none has."""
    standing: tuple[str, ...] = ()
    """Those that are not done."""
    condemned: frozenset[str] = frozenset()
    """What they may delete at any moment."""


def read_collecting(remote: Remote) -> Collecting:
    """Look which collections are at work.

    Raises:
        IntegrityError: the list of one was damaged, so that nobody can say what is going.
        RemoteUnavailableError: the store does not answer.
    """
    for _ in range(_ATTEMPTS):
        names = tuple(found.key for found in remote.list(SWEEPS))
        try:
            sweeps = {name: read_sweep(remote, name) for name in names}
        except MissingObjectError:
            continue  # a later collection has tidied up since we listed
        standing = tuple(name for name, sweep in sweeps.items() if not sweep.done)
        gone = frozenset(key for name in standing for key in sweeps[name].condemned)
        return Collecting(names, standing, gone)
    message = f"{remote.url}: the list of collections does not hold still"
    raise RemoteUnavailableError(message, hint="try again")


def read_sweep(remote: Remote, name: str) -> Sweep:
    """Read what a collection is about to delete. Raises MissingObjectError, IntegrityError."""
    data = remote.read(name, limit=MAX_OBJECT_BYTES)
    return decode_json(data, Sweep, what=f"{remote.url}/{name}", limit=MAX_OBJECT_BYTES)


def read_marks(remote: Remote) -> Marks:
    """Read since when what has been unused; nothing before the first collection. Raises IntegrityError."""
    try:
        data = remote.read(MARKS, limit=MAX_OBJECT_BYTES)
    except MissingObjectError:
        return Marks()
    return decode_json(data, Marks, what=f"{remote.url}/{MARKS}", limit=MAX_OBJECT_BYTES)


def write_marks(remote: Remote, marks: Marks) -> None:
    """Keep since when what has been unused."""
    remote.write(MARKS, encode_json(marks))


def make_room(remote: Remote) -> bool:
    """Give up the reserve; say whether there was one."""
    return remote.delete(RESERVE)


def keep_room(remote: Remote, marks: Marks) -> None:
    """Put room aside for the documents of the next collection, if there is any to spare."""
    if not remote.exists(RESERVE):
        with suppress(RemoteUnavailableError):
            remote.write(RESERVE, bytes(_RESERVE_BYTES + 4 * len(encode_json(marks))))


def clock_of(remote: Remote) -> tuple[int, bool]:
    """Give the store's time in milliseconds since 1970, and whether it is the store's; else it is this machine's.

    Two machines that collect, or one whose clock was set, then mean the same hour.
    """
    remote.write(CLOCK, b"tick")
    told = next((found.modified_ms for found in remote.list("gc/") if found.key == CLOCK), 0)
    return (told, True) if told else (time.time_ns() // 1_000_000, False)
