"""The file of a patch: how the files of one artifact are made out of those of another, and from what else.

`sync.delta.encode` writes one, a registry stores it in an artifact of kind patch, and a device replays it with
`sync.delta.replay`. The head says everything that has to be known before a byte is made: which files, of what size, by
which operations, and how many bytes of the file each of them takes. Layout in docs/formats.md.
"""

from __future__ import annotations

import struct
from typing import ClassVar, Final

import msgspec
import zstandard

from toolkit.errors import IntegrityError
from toolkit.wire.document import Document, decode_msgpack, encode_msgpack
from toolkit.wire.paths import check_path, shown

PATCH_FILE: Final = "patch"
"""Path of the patch in an artifact of kind patch; the only one there."""
MAX_HEAD_BYTES: Final = 2 * 1024 * 1024
"""A patch of 4 GiB of weights has a head of about 50 KiB."""
MAX_OP_BYTES: Final = 32 * 1024 * 1024
"""Most that one operation makes, a copy aside: what a device must hold at once."""
MAX_SPAN_BYTES: Final = 64 * 1024 * 1024
"""Most of the base that one operation looks at."""
RAW, ZSTD, FILL = 0, 1, 2
"""First byte of a section: its bytes as they are, one zstd frame, or one byte that is repeated."""
WIDTHS: Final = (1, 2, 4, 8)
_MAGIC = b"TDP1"
_START = struct.Struct(">4sII")
START_BYTES: Final = _START.size
_HEAD_LEVEL = 9


class Copy(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=0):
    """Bytes that stand in the base."""

    length: int
    offset: int


class Plain(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1):
    """Bytes that stand in the patch, as one section of `stored` bytes."""

    length: int
    stored: int


class Prefix(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2):
    """One zstd frame whose matches reach back into a stretch of the base."""

    length: int
    offset: int
    span: int
    """Bytes of the base, from `offset`, that the frame takes as if they stood before it."""
    stored: int


class Planes(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3):
    """Numbers that differ little from those in the base: differences, byte by byte of their places."""

    length: int
    offset: int
    width: int
    """Bytes of a number: 1, 2, 4 or 8; little-endian."""
    floats: bool
    """Whether the top bit is a sign and the rest a magnitude, as in IEEE 754."""
    stored: tuple[int, ...]
    """Bytes of each plane's section, the lowest byte of the numbers first."""


Op = Copy | Plain | Prefix | Planes


class PatchedFile(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A file of the target and the operations that make it, in order."""

    path: bytes
    base: bytes
    """Path of the file in the base that the operations look at; empty when none does."""
    size: int
    ops: tuple[Op, ...]


class PatchHead(Document, frozen=True, kw_only=True):
    """What stands at the beginning of a patch."""

    FORMAT: ClassVar[int] = 1
    files: tuple[PatchedFile, ...] = ()


def stored_bytes(op: Op) -> int:
    """Give what an operation takes of the patch."""
    if isinstance(op, Copy):
        return 0
    return sum(op.stored) if isinstance(op, Planes) else op.stored


def encode_head(head: PatchHead) -> bytes:
    """Give the bytes before the sections.

    Raises:
        IntegrityError: there are more operations than a reader takes.
    """
    data = encode_msgpack(head)
    if len(data) > MAX_HEAD_BYTES:
        raise IntegrityError(f"the head of a patch has {len(data)} bytes; at most {MAX_HEAD_BYTES} are read")
    coded = zstandard.ZstdCompressor(level=_HEAD_LEVEL).compress(data)
    return _START.pack(_MAGIC, len(coded), len(data)) + coded


def head_length(start: bytes) -> int:
    """Give how many bytes follow the first `START_BYTES` of a patch until its first section.

    Raises:
        IntegrityError: it is no patch, or its head is too large to be looked at.
    """
    if len(start) != START_BYTES or not start.startswith(_MAGIC):
        raise IntegrityError("it is no patch: its first bytes are others", hint="push the version again")
    _, coded, size = _START.unpack(start)
    if not 0 < coded <= MAX_HEAD_BYTES or size > MAX_HEAD_BYTES:
        raise IntegrityError(
            f"the head of a patch claims {max(coded, size)} bytes; at most {MAX_HEAD_BYTES} are read"
        )
    return int(coded)


def decode_head(start: bytes, coded: bytes, *, patch_bytes: int) -> PatchHead:
    """Read the head of a patch that may come from anybody, and prove that its sizes are possible.

    Args:
        start: the first `START_BYTES` of the patch.
        coded: the bytes after them, as many as `head_length` said.
        patch_bytes: size of the whole patch.

    Raises:
        IntegrityError: it was damaged, or contradicts itself.
        UnsafePathError: a path would leave its folder.
    """
    size = _START.unpack(start)[2]
    data = _unpack(coded, size, None)
    head = decode_msgpack(data, PatchHead, what="head of a patch", limit=MAX_HEAD_BYTES)
    seen: set[bytes] = set()
    taken = START_BYTES + len(coded)
    for file in head.files:
        if check_path(file.path) in seen:
            raise IntegrityError(f"a patch makes {shown(file.path)!r} twice")
        seen.add(file.path)
        _check_file(file)
        taken += sum(map(stored_bytes, file.ops))
    if taken != patch_bytes:
        raise IntegrityError(f"a patch of {patch_bytes} bytes has sections up to byte {taken}")
    return head


def store_section(data: bytes | memoryview, *, level: int = 1) -> bytes:
    """Give the shortest section that holds some bytes; never more than one byte longer than they are."""
    data = bytes(data)
    if data and data[0] == data[-1] and data.count(data[0]) == len(data):
        return bytes([FILL, data[0]])
    packed = zstandard.ZstdCompressor(level=level, write_checksum=False).compress(data)
    return b"".join((bytes([ZSTD]), packed)) if len(packed) < len(data) else b"".join((bytes([RAW]), data))


def open_section(
    stored: bytes, length: int, dictionary: zstandard.ZstdCompressionDict | None = None
) -> bytes:
    """Give the `length` bytes of a section; nothing larger is allocated.

    Raises:
        IntegrityError: it does not hold that many bytes, or was damaged.
    """
    coding, body = stored[:1], memoryview(stored)[1:]
    if coding == bytes([RAW]) and len(body) == length:
        return bytes(body)
    if coding == bytes([FILL]) and len(body) == 1:
        return bytes(body) * length
    if coding == bytes([ZSTD]):
        return _unpack(body, length, dictionary)
    raise IntegrityError(f"a section of a patch does not hold the {length} bytes that it should")


def _unpack(
    frame: bytes | memoryview, length: int, dictionary: zstandard.ZstdCompressionDict | None
) -> bytes:
    try:
        # The reader allocates what the frame claims, so the claim is checked first.
        if zstandard.frame_content_size(frame) != length:
            raise IntegrityError(f"a frame of a patch claims other than {length} bytes")
        reader = (
            zstandard.ZstdDecompressor(dict_data=dictionary) if dictionary else zstandard.ZstdDecompressor()
        )
        return reader.decompress(frame, max_output_size=length)
    except zstandard.ZstdError as error:
        raise IntegrityError(
            f"a frame of a patch was damaged: {error}", hint="push the version again"
        ) from error


def _check_file(file: PatchedFile) -> None:
    what = f"a patch: {shown(file.path)!r}"
    if file.base:
        check_path(file.base)
    elif any(not isinstance(op, Plain) for op in file.ops):
        raise IntegrityError(f"{what} looks at a base that it does not name")
    for op in file.ops:
        fault = _fault_of(op)
        if fault:
            raise IntegrityError(f"{what} {fault}")
    if sum(op.length for op in file.ops) != file.size:
        raise IntegrityError(f"{what} has {file.size} bytes, but its operations make another number")


def _fault_of(op: Op) -> str:
    """Say how an operation contradicts itself, if it does."""
    if op.length <= 0 or (not isinstance(op, Copy) and op.length > MAX_OP_BYTES):
        return f"has an operation of {op.length} bytes"
    if not isinstance(op, Plain) and op.offset < 0:
        return f"looks at the base before its beginning, at {op.offset}"
    if isinstance(op, Prefix) and not 0 < op.span <= MAX_SPAN_BYTES:
        return f"looks at {op.span} bytes of the base at once"
    if isinstance(op, Planes):
        if op.width not in WIDTHS or op.length % op.width or len(op.stored) != op.width:
            return f"has numbers of {op.width} bytes that do not fit"
        return (
            ""
            if all(_fits(each, op.length // op.width) for each in op.stored)
            else "has a plane of a wrong size"
        )
    if isinstance(op, (Plain, Prefix)) and not _fits(op.stored, op.length):
        return f"has a section of {op.stored} bytes for {op.length}"
    return ""


def _fits(stored: int, length: int) -> bool:
    return 1 < stored <= length + 1
