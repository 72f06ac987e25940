"""An SFTP server that lies, as the subsystem of a real sshd: `python odd_sftp_server.py HOW`. One file is all it has.

Speaks version 3 as the draft says, but for the one thing that HOW names.
"""

from __future__ import annotations

import stat
import struct
import sys

EXTENSIONS = ("fsync@openssh.com", "posix-rename@openssh.com", "hardlink@openssh.com", "statvfs@openssh.com")
CONTENT = bytes(range(256)) * 400
how = sys.argv[1]


def text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def facts(mode: int, size: int) -> bytes:
    return struct.pack(">IQI", 0x05, size, mode)


def send(kind: int, body: bytes, *, number: int | None = None, length: int | None = None) -> None:
    packet = bytes([kind]) + (b"" if number is None else struct.pack(">I", number)) + body
    sys.stdout.buffer.write(struct.pack(">I", len(packet) if length is None else length) + packet)
    sys.stdout.buffer.flush()


def status(number: int, code: int, message: bytes = b"so it is") -> None:
    send(101, struct.pack(">I", code) + text(message) + text(b""), number=number)


def answer(kind: int, number: int, body: bytes) -> None:  # noqa: C901, PLR0912, PLR0915 -- a line for each lie
    if how == "other-number":
        number += 1000
    file = facts(stat.S_IFREG | 0o644, 2**50 if how == "huge-file" else len(CONTENT))
    folder = facts(stat.S_IFDIR | 0o755, 0)
    if how == "huge-packet" and kind == 7:
        send(105, file, number=number, length=2**31)
    elif how == "silent" and kind == 7:
        sys.stdin.buffer.read()  # until the line is cut
    elif kind == 17:
        send(105, folder, number=number)
    elif kind in {7, 8}:
        send(105, file[: -2 if how == "cut-facts" else None], number=number)
    elif kind in {3, 11}:
        send(102, text(b"h" * (1000 if how == "long-handle" else 4)), number=number)
    elif kind == 5:
        length = struct.unpack(">I", body[:4])[0]
        start, wanted = struct.unpack(">QI", body[4 + length : 16 + length])
        if how == "more-data":
            wanted += 5
        if how == "little-data":
            wanted = min(wanted, 1000)
        data = CONTENT[start : start + wanted]
        if how == "more-data":
            data += bytes(wanted - len(data))
        if data:
            send(103, text(data), number=number)
        else:
            status(number, 1)
    elif kind == 12:
        names = {"slash-name": b"../../etc/passwd", "no-name": b"", "endless-folder": b"a"}
        if how == "many-names":
            send(104, struct.pack(">I", 2**31), number=number)
        elif how == "no-names":
            send(104, struct.pack(">I", 0), number=number)
        elif how in names:
            send(104, struct.pack(">I", 1) + text(names[how]) + text(b"") + file, number=number)
        else:
            status(number, 1)
    elif kind == 6 and how == "full":
        status(number, 4, b"Failure\x1b[31m")
    elif kind == 200 and body[4:].startswith(b"statvfs"):
        send(201, struct.pack(">11Q", *[0] * 11), number=number)
    else:
        status(number, 0)


def main() -> None:
    source = sys.stdin.buffer
    if how == "noise":
        sys.stdout.buffer.write(b"Welcome to the archive, the lift is out of order today\n")
    while head := source.read(4):
        packet = source.read(int.from_bytes(head, "big"))
        if packet[0] == 1:
            offered = EXTENSIONS[:1] if how == "lacks" else EXTENSIONS
            version = 2 if how == "version-2" else 3
            send(
                2, struct.pack(">I", version) + b"".join(text(each.encode()) + text(b"1") for each in offered)
            )
        else:
            answer(packet[0], int.from_bytes(packet[1:5], "big"), packet[5:])


if __name__ == "__main__":
    main()
