"""SFTP version 3 as bytes: requests of ours are packed here, answers of a server are taken apart and believed nothing.

Format: draft-ietf-secsh-filexfer-02; the extensions that end in @openssh.com: OpenSSH's file PROTOCOL, section 4. `ssh`
carries the packets, `sftp` makes a Remote of them. Every length, count and name that comes from the other side is
checked against what is there before anything is allocated for it.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from toolkit.errors import IntegrityError

VERSION = 3
MAX_PACKET_BYTES = 256 * 1024
"""Longest packet that we take; OpenSSH's own bound (SFTP_MAX_MSG_LENGTH)."""
MAX_DATA_BYTES = 255 * 1024
"""Most bytes in one read or write: sftp-server closes the connection at 256 KiB with its header."""
SURE_DATA_BYTES = 32 * 1024
"""What every server takes and gives (section 3 of the draft)."""
MAX_HANDLE_BYTES = 256
HEAD = struct.Struct(">IBII")
"""Begin of every answer but the first: length, type, number of the request, and one number more that all types have."""
_START = struct.Struct(">IBI")
_NUMBER, _LONG = struct.Struct(">I"), struct.Struct(">Q")
_PLACE = struct.Struct(">QI")

INIT, VERSION_ANSWER = 1, 2
OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, OPENDIR, READDIR, REMOVE, MKDIR, STAT = (
    3,
    4,
    5,
    6,
    7,
    8,
    11,
    12,
    13,
    14,
    17,
)
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED, EXTENDED_REPLY = 101, 102, 103, 104, 105, 200, 201
OK, END, NO_SUCH_FILE, PERMISSION_DENIED, FAILURE, NO_CONNECTION, CONNECTION_LOST, UNSUPPORTED = (
    0,
    1,
    2,
    3,
    4,
    6,
    7,
    8,
)
FOR_READING, FOR_WRITING, NEW, ONLY_NEW = 0x01, 0x02, 0x08, 0x20
_HAS_SIZE, _HAS_OWNER, _HAS_MODE, _HAS_TIMES, _HAS_MORE = 0x01, 0x02, 0x04, 0x08, 0x80000000

FSYNC, RENAME, LINK = "fsync@openssh.com", "posix-rename@openssh.com", "hardlink@openssh.com"
LIMITS, ROOM = "limits@openssh.com", "statvfs@openssh.com"


class Facts(NamedTuple):
    """What a server says of a file: bytes, mode and time of its last change (0 where it says nothing)."""

    size: int
    mode: int
    mtime: int

    @property
    def is_file(self) -> bool:
        """Whether it is a plain file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.mode)


@dataclass(slots=True)
class Request:
    """A request, and where the data of its answer goes."""

    kind: int
    body: bytes
    data: memoryview | bytes = b""
    """Sent behind the body without being copied."""
    into: memoryview | None = None
    """Takes the bytes of a DATA answer; the server may not send more than fit."""

    def start(self, number: int) -> bytes:
        """Give everything before `data`, as request `number`."""
        return _START.pack(5 + len(self.body) + len(self.data), self.kind, number) + self.body


@dataclass(slots=True)
class Answer:
    """An answer: its type, the number behind its head (code, count, flags or length), and the rest."""

    kind: int
    number: int
    rest: bytes = b""

    @property
    def is_ok(self) -> bool:
        """Whether it says that all went well."""
        return self.kind == STATUS and self.number == OK

    def fails_with(self, code: int) -> bool:
        """Tell whether it is a status with this code."""
        return self.kind == STATUS and self.number == code

    @property
    def handle(self) -> bytes:
        """The handle that it brings. Raises IntegrityError."""
        if self.kind != HANDLE or not 0 < self.number <= MAX_HANDLE_BYTES or self.number != len(self.rest):
            raise broken(f"a handle was expected, type {self.kind} with {self.number} came")
        return self.rest

    @property
    def facts(self) -> Facts:
        """The facts that it brings. Raises IntegrityError."""
        if self.kind != ATTRS:
            raise broken(f"facts of a file were expected, type {self.kind} came")
        return _Parcel(self.rest).facts(self.number)

    @property
    def names(self) -> list[tuple[bytes, Facts]]:
        """Names and facts of a part of a folder. Raises IntegrityError, also for a name that leads elsewhere."""
        if self.kind != NAME:
            raise broken(f"names were expected, type {self.kind} came")
        parcel, found = _Parcel(self.rest), []
        for _ in range(self.number):
            name = parcel.text()
            parcel.text()  # the line that `ls -l` would print
            found.append((name, parcel.facts(parcel.count())))
            if not name or b"/" in name or b"\0" in name:
                raise broken(f"a folder has the name {name[:60]!r}")
        return found

    @property
    def message(self) -> str:
        """What a status says in words, without what could trouble a terminal."""
        if self.kind != STATUS:
            return f"an answer of type {self.kind}"
        text = ""
        if len(self.rest) >= _NUMBER.size:
            text = _Parcel(self.rest).text()[:200].decode("utf-8", "replace")
        return "".join(each for each in text if each.isprintable()) or f"status {self.number}"


@dataclass
class _Parcel:
    """The rest of an answer, being taken apart."""

    data: bytes
    at: int = field(default=0)

    def text(self) -> bytes:
        length = self.count()
        if length > len(self.data) - self.at:
            raise broken(f"a text of {length} bytes in a packet that has {len(self.data) - self.at} more")
        self.at += length
        return self.data[self.at - length : self.at]

    def count(self) -> int:
        return int(self._number(_NUMBER))

    def long(self) -> int:
        return int(self._number(_LONG))

    def facts(self, flags: int) -> Facts:
        size = self.long() if flags & _HAS_SIZE else 0
        if flags & _HAS_OWNER:
            self.long()
        mode = self.count() if flags & _HAS_MODE else 0
        mtime = self.long() & 0xFFFFFFFF if flags & _HAS_TIMES else 0
        if flags & _HAS_MORE:
            for _ in range(self.count()):
                self.text(), self.text()
        return Facts(size, mode, mtime)

    def _number(self, form: struct.Struct) -> int:
        if form.size > len(self.data) - self.at:
            raise broken("a packet ends in the middle of a number")
        self.at += form.size
        return int(form.unpack_from(self.data, self.at - form.size)[0])


def broken(why: str) -> IntegrityError:
    """Make the error for a server that does not keep to the protocol."""
    return IntegrityError(f"the SFTP server does not keep to version 3: {why}")


def text(value: bytes | str) -> bytes:
    """Pack a string."""
    raw = value.encode() if isinstance(value, str) else value
    return _NUMBER.pack(len(raw)) + raw


def hello() -> bytes:
    """Give the first packet, which says our version."""
    return _NUMBER.pack(5) + bytes([INIT]) + _NUMBER.pack(VERSION)


def read_hello(packet: bytes) -> Mapping[str, bytes]:
    """Give the extensions of a server from its first packet, without the length.

    Raises:
        IntegrityError: it is none, or of another version.
    """
    parcel = _Parcel(packet, 1)
    if packet[:1] != bytes([VERSION_ANSWER]) or (version := parcel.count()) != VERSION:
        raise broken("it did not say so" if packet[:1] != bytes([VERSION_ANSWER]) else f"it speaks {version}")
    extensions: dict[str, bytes] = {}
    while parcel.at < len(packet):
        name = parcel.text().decode("ascii", "replace")
        extensions[name] = parcel.text()
    return extensions


def open_file(path: str, flags: int) -> Request:
    """Open a file; one that is made may be read by all, as DirectoryRemote's."""
    return Request(OPEN, text(path) + struct.pack(">III", flags, _HAS_MODE, 0o644))


def make_folder(path: str) -> Request:
    """Make a folder."""
    return Request(MKDIR, text(path) + struct.pack(">II", _HAS_MODE, 0o755))


def by_path(kind: int, path: str) -> Request:
    """Ask something of a path: LSTAT, STAT, OPENDIR or REMOVE."""
    return Request(kind, text(path))


def by_handle(kind: int, handle: bytes) -> Request:
    """Ask something of a handle: FSTAT, READDIR or CLOSE."""
    return Request(kind, text(handle))


def read_at(handle: bytes, start: int, into: memoryview) -> Request:
    """Read as many bytes as fit into a buffer."""
    return Request(READ, text(handle) + _PLACE.pack(start, len(into)), into=into)


def write_at(handle: bytes, start: int, data: memoryview) -> Request:
    """Write bytes."""
    return Request(WRITE, text(handle) + _PLACE.pack(start, len(data)), data)


def extended(name: str, *texts: bytes | str) -> Request:
    """Ask for an extension, with strings behind its name."""
    return Request(EXTENDED, b"".join(map(text, (name, *texts))))


def read_longs(answer: Answer, count: int) -> tuple[int, ...]:
    """Give the first numbers of 64 bits of an EXTENDED_REPLY (`number` holds half of the first one).

    Raises:
        IntegrityError: it is none, or too short.
    """
    if answer.kind != EXTENDED_REPLY:
        raise broken(f"an answer to an extension was expected, type {answer.kind} came")
    parcel = _Parcel(_NUMBER.pack(answer.number) + answer.rest)
    return tuple(parcel.long() for _ in range(count))
