"""What a driver of rollouts heard, when it looked, and what it wrote: in order, with times, as lines of JSON.

`driver` writes it while a real `fleet.steer.Steering` works; `replay` hands it to a `desk`, which must come to the same
documents.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from toolkit.errors import IntegrityError
from toolkit.wire.learnt import learn


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line. `looked` stands before what that look wrote."""

    at: float
    """Seconds of the driver's clock, which only grows."""
    kind: Literal["heard", "looked", "wrote"]
    topic: str = ""
    payload: bytes = b""


class Journal:
    """The entries of one driver. Written by the driver's thread."""

    def __init__(self) -> None:
        """Begin empty."""
        self.entries: list[Entry] = []

    def save(self, file: Path) -> None:
        """Write it to a file, a line an entry."""
        file.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in self.entries))


def load_journal(file: Path) -> list[Entry]:
    """Read a journal.

    Raises:
        IntegrityError: a line is none of a journal.
    """
    entries = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        try:
            entries.append(msgspec.json.decode(line, type=learn(Entry)))
        except msgspec.DecodeError as error:
            raise IntegrityError(f"{file}:{number} is no line of a journal: {error}") from error
    return entries
