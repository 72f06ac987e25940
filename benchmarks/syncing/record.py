"""What was measured, a line of JSON each, on the disk as soon as it is known: a run that is killed loses nothing.

`benchmarks/sync.py` appends to a file, and reads one or several of them to report; lines of several runs go together as
long as they are of the same size of work.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec


class Measured(msgspec.Struct, frozen=True, kw_only=True, tag="measured", forbid_unknown_fields=True):
    """One tool's run of one step."""

    place: str
    case: str
    tool: str
    turn: int
    """Repetition of the run that measured it, from 0."""
    seconds: float
    processor: float
    """Seconds of the processor."""
    memory: int
    """Largest resident set in bytes."""
    moved: int
    """Bytes that it moved, as `moved` of the tool counts them."""
    wire: int
    """Bytes that crossed loopback; 0 where that cannot be told."""
    new: int
    """Bytes that the step made new in the source; of a restore all bytes that come back."""
    size: int
    """Bytes of the large file."""
    files: int
    """Number of small files."""
    run: str
    """When the run began, UTC."""


class Walked(msgspec.Struct, frozen=True, kw_only=True, tag="walked", forbid_unknown_fields=True):
    """A whole walk at a place, what lies between the measurements included: how long the next one will take."""

    place: str
    walk: str
    turn: int
    seconds: float
    size: int
    files: int
    run: str


Line = Measured | Walked


class UnreadableRecordError(Exception):
    """A record is not one, or does not go with the others; the message says where."""


def append(file: Path, line: Line) -> None:
    """Add a line and wait until the disk has it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # who wrote it was killed
        os.write(descriptor, b"\n" * torn + msgspec.json.encode(line) + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(files: Iterable[Path]) -> Iterator[Line]:
    """Yield the lines of records; what a killed run left of its last line is passed over.

    Raises:
        UnreadableRecordError: a file cannot be read, a whole line is none of ours, or sizes of work are mixed.
    """
    sizes: set[tuple[int, int]] = set()
    for file in files:
        try:
            rows = file.read_bytes().split(b"\n")
        except OSError as error:
            raise UnreadableRecordError(f"{file}: {error.strerror}") from error
        for number, row in enumerate(rows, 1):
            if not row.endswith(b"}"):
                continue  # empty, or torn
            try:
                line = msgspec.json.decode(row, type=Line)
            except msgspec.DecodeError as error:
                raise UnreadableRecordError(f"{file}:{number}: {error}") from error
            sizes.add((line.size, line.files))
            if len(sizes) > 1:
                raise UnreadableRecordError(
                    f"{file}:{number}: {line.size} bytes and {line.files} files, other lines have another size of work;"
                    " report each size for itself"
                )
            yield line
