"""Records of devices as plain files: lines of JSON, appended, each record once. `records` writes them, anybody reads.

    AT/lock                                   held by the receiver that writes here
    AT/DEVICE/records-000001.jsonl            a record a line, in order of arrival; a new file every 16 MiB
    AT/DEVICE/marks.json                      how far each stream was when the last of these files was begun

A line is whole or it does not count: what a kill left behind the last whole line was never acknowledged, and is put
aside before anything is written behind it. The marks of the present file are found again by reading it, so that a mark
is never ahead of its records. Older files belong to the site: move, compress or delete them while the receiver runs.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from toolkit.errors import IntegrityError, SyncError
from toolkit.sync.whole import sync_folder, write_whole
from toolkit.wire.document import Document, decode_json, encode_json
from toolkit.wire.records import Marks, Record
from toolkit.wire.topics import check_label

SEGMENT_BYTES: Final = 16 * 1024 * 1024
MAX_EPOCHS: Final = 1000
"""Of one device, of which the marks are kept: the outboxes that it had last, and those of all pods of a service."""
NOTHING: Final[Marks] = (0, 0, 0)
_MARKS_LIMIT: Final = 1024 * 1024
_SEGMENT = re.compile(r"records-([0-9]{6,})\.jsonl")


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record in a file. A payload that is text stands in `text`, any other in `data` (base64)."""

    epoch: str
    seq: int
    priority: int
    kind: str
    at_ms: int
    up_ms: int
    trusted: bool = False
    """Whether the device knew what time it was."""
    text: str | None = None
    data: bytes | None = None

    @property
    def payload(self) -> bytes:
        """The payload."""
        return self.text.encode() if self.text is not None else self.data or b""


class DeviceMarks(Document, frozen=True, kw_only=True):
    """AT/DEVICE/marks.json."""

    FORMAT: ClassVar[int] = 1
    segment: int
    """Number of the file that was begun with these marks."""
    epochs: dict[str, Marks]


class DeviceFiles:
    """The files of one device, open for writing. `append` and then `sync`; after an error close it and open it anew."""

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Open a device's files, making its folder if need be.

        Raises:
            OSError: the disk failed.
            IntegrityError: the marks are damaged.
        """
        self._folder, self._segment_bytes = folder, segment_bytes
        if not folder.is_dir():
            folder.mkdir(mode=0o700)
            sync_folder(folder.parent)
        self._number, self.marks = _read_marks(folder)
        while _segment(folder, self._number + 1).exists():
            # Begun, and killed before its marks were written: they are those at the end of the file before it.
            self._scan(_segment(folder, self._number))
            self._number += 1
        self._path = _segment(folder, self._number)
        whole = self._scan(self._path)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._put_aside(whole)
            os.fsync(self._descriptor)
            sync_folder(folder)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._size = self._synced = whole
        self.stored_bytes = 0
        """Of all files that are there, as they were counted last and have grown since."""
        self.count_again()

    def count_again(self) -> None:
        """Count the bytes of the files: the site may have made room."""
        self.stored_bytes = sum(path.stat().st_size for path in segments(self._folder))

    def mark(self, epoch: str) -> Marks:
        """Say up to which seq each stream of an epoch is there."""
        return self.marks.get(epoch, NOTHING)

    def append(self, epoch: str, priority: int, records: Iterable[Record]) -> int:
        """Write the records of a stream that are not there yet; give how many. Durable after `sync`.

        Raises:
            OSError: the disk did not take them.
        """
        marks = self.mark(epoch)
        fresh = [record for record in records if record.seq > marks[priority - 1]]
        if not fresh:
            return 0
        if self._size >= self._segment_bytes:
            self._turn()
        data = b"\n".join([*(_ENCODER.encode(_line(epoch, priority, record)) for record in fresh), b""])
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self._size += len(data)
        self.stored_bytes += len(data)
        self._note(epoch, priority, fresh[-1].seq)
        return len(fresh)

    def sync(self) -> None:
        """Make all that was appended durable.

        Raises:
            OSError: the disk did not take it; what was appended since the last time is taken back.
        """
        if self._synced != self._size:
            os.fdatasync(self._descriptor)
            self._synced = self._size

    def close(self, *, failed: bool = False) -> None:
        """Close the files; after an error take back what is not known to be durable."""
        if self._descriptor >= 0:
            if failed:
                # Read again it would seem to be there, while the disk may have nothing.
                with suppress(OSError):
                    os.ftruncate(self._descriptor, self._synced)
                    os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _turn(self) -> None:
        self.sync()
        number = self._number + 1
        path = _segment(self._folder, number)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.close(self._descriptor)
        self._descriptor, self._path, self._number, self._size, self._synced = descriptor, path, number, 0, 0
        write_whole(
            self._folder / "marks.json",
            encode_json(DeviceMarks(segment=number, epochs=self.marks)),
            mode=0o600,
        )

    def _scan(self, path: Path) -> int:
        """Take the marks out of a file; give the size of its whole lines."""
        whole = 0
        for line, end in read_lines(path):
            self._note(line.epoch, line.priority, line.seq)
            whole = end
        return whole

    def _note(self, epoch: str, priority: int, seq: int) -> None:
        """Raise a mark, and forget the epoch of which nothing came for longest when there are too many."""
        self.marks[epoch] = _with(self.marks.pop(epoch, NOTHING), priority, seq)
        while len(self.marks) > MAX_EPOCHS:
            del self.marks[next(iter(self.marks))]

    def _put_aside(self, whole: int) -> None:
        size = os.fstat(self._descriptor).st_size
        if size > whole:
            with self._path.open("rb") as file:
                file.seek(whole)
                write_whole(self._path.with_suffix(".damaged"), file.read(_MARKS_LIMIT))
            os.ftruncate(self._descriptor, whole)


def open_device(at: Path, device: str, *, segment_bytes: int = SEGMENT_BYTES) -> DeviceFiles:
    """Open the files of a device below `at`. Errors as of `DeviceFiles`."""
    return DeviceFiles(at / check_label(device, what="device"), segment_bytes=segment_bytes)


def lock(at: Path) -> int:
    """Take a folder of records for this process, until the returned descriptor is closed.

    Raises:
        SyncError: the folder is not there, or another receiver writes there.
    """
    if not at.is_dir():
        raise SyncError(f"{at} is not a folder", hint=f"mount it, or make it: mkdir {at}")
    descriptor = os.open(at / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise SyncError(f"another receiver writes to {at}", hint="stop it, or take another folder") from error
    return descriptor


@dataclass(frozen=True)
class Kept:
    """What is kept of one outbox of a device. Files, size and time are of all its outboxes."""

    device: str
    epoch: str
    stored: Marks
    """Of each priority, up to which number."""
    files: int
    total_bytes: int
    written_ms: int
    """When the last record was written, Unix time."""


def kept(at: Path) -> tuple[Kept, ...]:
    """List what is kept; a receiver may run meanwhile.

    Raises:
        SyncError: the folder is not there.
        IntegrityError: marks are damaged.
    """
    if not at.is_dir():
        raise SyncError(f"{at} is not a folder", hint="give the one that `tiers records run --at` writes to")
    found: list[Kept] = []
    for folder in sorted(path for path in at.iterdir() if path.is_dir()):
        number, marks = _read_marks(folder)
        while (path := _segment(folder, number)).exists():
            for line, _ in read_lines(path):
                marks[line.epoch] = _with(marks.get(line.epoch, NOTHING), line.priority, line.seq)
            number += 1
        stats = [path.stat() for path in segments(folder)]
        size, written = sum(each.st_size for each in stats), max((each.st_mtime for each in stats), default=0)
        found += [
            Kept(folder.name, epoch, stored, len(stats), size, int(written * 1000))
            for epoch, stored in sorted(marks.items())
        ]
    return tuple(found)


def segments(folder: Path) -> list[Path]:
    """Give a device's files of records, oldest first."""
    return sorted(path for path in folder.iterdir() if _SEGMENT.fullmatch(path.name))


def read_lines(path: Path) -> Iterator[tuple[Line, int]]:
    """Give the whole lines of a file and where each ends; nothing when it is not there."""
    end = 0
    with suppress(FileNotFoundError), path.open("rb") as file:
        for raw in file:
            if not raw.endswith(b"\n"):
                return
            try:
                line = _DECODER.decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return
            end += len(raw)
            yield line, end


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Line)


def _line(epoch: str, priority: int, record: Record) -> Line:
    text, data = None, None
    try:
        text = record.payload.decode()
    except UnicodeDecodeError:
        data = record.payload
    return Line(
        epoch, record.seq, priority, record.kind, record.at_ms, record.up_ms, record.trusted, text, data
    )


def _with(marks: Marks, priority: int, seq: int) -> Marks:
    first, second, third = (seq if place == priority else old for place, old in enumerate(marks, start=1))
    return (first, second, third)


def _segment(folder: Path, number: int) -> Path:
    return folder / f"records-{number:06}.jsonl"


def _read_marks(folder: Path) -> tuple[int, dict[str, Marks]]:
    try:
        data = (folder / "marks.json").read_bytes()
    except FileNotFoundError:
        numbers = [int(path.stem.rpartition("-")[2]) for path in segments(folder)]
        if min(numbers, default=1) > 1:
            message = f"{folder}: marks.json is missing, and so are the first files"
            hint = "put it back, or move the folder away: the device goes on from where it is"
            raise IntegrityError(message, hint=hint) from None
        return 1, {}
    marks = decode_json(data, DeviceMarks, what=str(folder / "marks.json"), limit=_MARKS_LIMIT)
    return marks.segment, dict(marks.epochs)
