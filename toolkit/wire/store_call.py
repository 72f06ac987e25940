"""One operation on a store at the other end of a link, and its answer: how data leaves a device through the broker.

`sync.remotes.link` writes calls, `fleet.inbox` carries them out. MessagePack, QoS 0, one message at most a frame: an
object that is larger goes up in pieces, each with its place, and is answered with a bitmap of those that are there.
A call may come twice, in any order, or not at all: its name makes a repetition harmless.
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal, NamedTuple

import msgspec

from toolkit.errors import IntegrityError
from toolkit.wire.digest import digest_of
from toolkit.wire.document import Document, decode_msgpack, encode_msgpack

MAX_CALL_BYTES = 1024 * 1024
"""No message of ours is larger."""
MAX_PIECES = 16_384
PIECE_OVERHEAD = 2048
"""Bytes of a call beside its data: names, a key of at most 2400 characters does not occur in what we write."""

_CALL = re.compile(r"[0-9a-f]{8,32}-[0-9]{1,12}")

Operation = Literal["hello", "read", "write", "new", "exists", "list", "delete"]
Code = Literal["", "missing", "unsafe", "damaged", "unavailable", "refused", "busy"]
"""Why an operation failed. busy: try later."""


class StoreCall(Document, frozen=True, kw_only=True, omit_defaults=True):
    """What a device wants done. A repetition carries the same `call`."""

    FORMAT: ClassVar[int] = 1
    device: str
    call: str
    """Random hexadecimal digits of the caller's process, a dash, and a number that grows."""
    operation: Operation
    key: str = ""
    """Of the object; of `list` the prefix."""
    start: int = 0
    """read: offset of the first byte."""
    length: int = -1
    """read: how many bytes; -1 is all."""
    after: str = ""
    """list: keys up to this one are known."""
    total: int = 0
    """write, new: size of the object."""
    digest: str = ""
    """write, new: of the whole object."""
    piece_bytes: int = 0
    """write, new: size of every piece but the last."""
    piece: int = -1
    """write, new: number of the piece in `data`, from 0."""
    data: bytes = b""
    answer: bool = True
    """Whether this message wants an answer; of a burst of pieces only the last one does."""


class Listed(NamedTuple):
    """An object in a listing."""

    key: str
    size: int


class StoreAnswer(Document, frozen=True, kw_only=True, omit_defaults=True):
    """What came of a call."""

    FORMAT: ClassVar[int] = 1
    call: str
    done: bool = False
    """The operation has been carried out, or has failed with `code`. Otherwise `pieces` says what has come of it."""
    code: Code = ""
    message: str = ""
    """For people."""
    hint: str = ""
    stored: bool = False
    """new, delete, exists: yes or no."""
    data: bytes = b""
    """read: what lies at `start`, as much as fits into a frame."""
    listed: tuple[Listed, ...] = ()
    more: bool = False
    """list: there are more keys after the last one. read: there may be more bytes after these."""
    pieces: bytes = b""
    """write, new: bitmap of the pieces that are there."""
    inbox: str = ""
    """hello: name of the process that answers."""


def encode_call(call: StoreCall) -> bytes:
    """Give a call's bytes."""
    return encode_msgpack(call)


def decode_call(data: bytes) -> StoreCall:
    """Read a call from anybody.

    Raises:
        IntegrityError: it is damaged, too large, or wants what cannot be.
    """
    call = decode_msgpack(data, StoreCall, what="store call", limit=MAX_CALL_BYTES)
    if not _CALL.fullmatch(call.call):
        raise IntegrityError(f"store call: {call.call[:70]!r} is not the name of a call")
    if min(call.start, call.total, call.piece_bytes) < 0 or min(call.length, call.piece) < -1:
        raise IntegrityError("store call has a negative number")
    if call.operation in {"write", "new"}:
        count = piece_count(call.total, call.piece_bytes)
        if count > MAX_PIECES or not 0 <= call.piece < count:
            raise IntegrityError(f"store call has {count} pieces of which it sends number {call.piece}")
        if len(call.data) != piece_size(call.total, call.piece_bytes, call.piece):
            raise IntegrityError(f"store call: piece {call.piece} has {len(call.data)} bytes")
    return call


def digest_of_call(call: StoreCall) -> str:
    """Name what is asked: the same for each piece and each repetition of a call, another for any other call."""
    asked = (
        call.device, call.call, call.operation, call.key, call.start, call.length, call.after, call.total,
        call.digest, call.piece_bytes,
    )  # fmt: skip
    return digest_of(msgspec.msgpack.encode(asked))


def encode_answer(answer: StoreAnswer) -> bytes:
    """Give an answer's bytes."""
    return encode_msgpack(answer)


def decode_answer(data: bytes) -> StoreAnswer:
    """Read an answer.

    Raises:
        IntegrityError: it is damaged or too large.
    """
    return decode_msgpack(data, StoreAnswer, what="store answer", limit=MAX_CALL_BYTES)


def piece_count(total: int, piece_bytes: int) -> int:
    """Say in how many pieces an object travels; an empty one in one."""
    return max(1, -(-total // piece_bytes)) if piece_bytes > 0 else MAX_PIECES + 1


def piece_size(total: int, piece_bytes: int, number: int) -> int:
    """Give the size of one piece."""
    return min(piece_bytes, total - number * piece_bytes)
