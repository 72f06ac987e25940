"""What a device has put down to be told later: records, the batches they travel in, and the answer that ends them.

`edge_runtime.drain` writes batches, `fleet.records` stores them and answers. MessagePack, QoS 0, one message at most a
frame. A record's name is (device, epoch, seq): the epoch is random and as old as the device's outbox, the seq grows by
one with each record. Each priority is a stream of its own, in order of seq. An answer says up to where each stream is
stored durably; what comes twice is known by its name; what comes too early, because a batch was lost, is not taken.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final, Literal

import msgspec

from toolkit.errors import IntegrityError
from toolkit.wire.document import Document, decode_msgpack, encode_msgpack

PRIORITIES: Final = (1, 2, 3)
"""1 emergency, 2 normal, 3 batch: the numbers of inference requests."""
MAX_PAYLOAD_BYTES: Final = 64 * 1024
"""Of one record; in what is sent, ciphertext does not count."""
MAX_BATCH_BYTES: Final = 1024 * 1024
"""No message of ours is larger."""
MAX_BATCH_RECORDS: Final = 8192
RECORD_OVERHEAD: Final = 80
"""Bytes that a record takes in a batch beside its payload, at most."""
BATCH_OVERHEAD: Final = 512
_KIND = re.compile(r"[a-z][a-z0-9._-]{0,31}")
_EPOCH = re.compile(r"[0-9a-f]{16}")
_MOST: Final = 1 << 53
"""Larger numbers are not exact in every reader of JSON."""

Marks = tuple[int, int, int]
"""One number for each priority."""
Code = Literal["", "gap", "busy", "full"]
"""Why a batch was not taken. gap: one before it is missing. busy: too much at once, or the disk failed. full: the
receiver keeps no more of this device until somebody makes room."""


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One record."""

    seq: int
    kind: str
    """What it is about: a word such as telemetry, result, alarm."""
    at_ms: int
    """When it was put down, Unix time as the device's clock had it."""
    up_ms: int
    """The same on the device's monotonic clock, which starts anew with the machine."""
    trusted: bool
    """Whether the device knew what time it was."""
    payload: bytes


class RecordBatch(Document, frozen=True, kw_only=True, omit_defaults=True):
    """Records of one priority; without any it asks how far the receiver is."""

    FORMAT: ClassVar[int] = 1
    device: str
    epoch: str
    round: int
    """Grows when the device begins again from what is stored; comes back in the answer."""
    priority: int = 1
    after: int = 0
    """These are all the records above this seq, up to the last of them, that the device has not dropped."""
    records: tuple[Record, ...] = ()
    dropped: Marks = (0, 0, 0)
    """How many records of each priority the device has dropped in this epoch."""


class RecordsAnswer(Document, frozen=True, kw_only=True, omit_defaults=True):
    """How far the receiver is."""

    FORMAT: ClassVar[int] = 1
    epoch: str
    round: int
    stored: Marks
    """Of each priority, the seq up to which everything that was sent is stored durably."""
    code: Code = ""
    retry_ms: int = 0
    """busy, full: when to try again."""
    message: str = ""
    """For people."""


def check_kind(kind: str) -> str:
    """Return a record's kind.

    Raises:
        IntegrityError: it is not a word that may stand in a topic of conversation and a label of a metric.
    """
    if not _KIND.fullmatch(kind):
        message = f"kind {kind[:80]!r} must be 1 to 32 lower-case letters, digits, dots or dashes"
        raise IntegrityError(message, hint="use a word such as telemetry, result or alarm")
    return kind


def encode_batch(batch: RecordBatch) -> bytes:
    """Give a batch's bytes."""
    return encode_msgpack(batch)


def decode_batch(data: bytes, device: str) -> RecordBatch:
    """Read a batch that came on the topic of `device`.

    Raises:
        IntegrityError: it is damaged, too large, speaks for another device, or says what cannot be.
    """
    batch = decode_msgpack(data, RecordBatch, what=f"records of {device}", limit=MAX_BATCH_BYTES)
    if batch.device != device:
        raise IntegrityError(f"records on the topic of {device} speak for {batch.device[:70]!r}")
    if not _EPOCH.fullmatch(batch.epoch) or batch.priority not in PRIORITIES:
        raise IntegrityError(f"records of {device}: no epoch, or no priority {batch.priority}")
    numbers = (batch.round, batch.after, *batch.dropped)
    if min(numbers) < 0 or max(numbers) > _MOST or len(batch.records) > MAX_BATCH_RECORDS:
        raise IntegrityError(f"records of {device}: a number is out of bounds")
    last = batch.after
    for record in batch.records:
        if not last < record.seq <= _MOST:
            raise IntegrityError(f"records of {device}: {record.seq} does not follow {last}")
        if len(record.payload) > MAX_PAYLOAD_BYTES or not _KIND.fullmatch(record.kind):
            raise IntegrityError(f"records of {device}: record {record.seq} is too large or of no kind")
        if max(abs(record.at_ms), abs(record.up_ms)) > _MOST:
            raise IntegrityError(f"records of {device}: record {record.seq} has no time")
        last = record.seq
    return batch


def encode_records_answer(answer: RecordsAnswer) -> bytes:
    """Give an answer's bytes."""
    return encode_msgpack(answer)


MAX_ANSWER_BYTES: Final = 4096


def decode_records_answer(data: bytes) -> RecordsAnswer:
    """Read an answer.

    Raises:
        IntegrityError: it is damaged, too large, or says what cannot be.
    """
    answer = decode_msgpack(data, RecordsAnswer, what="answer to records", limit=MAX_ANSWER_BYTES)
    if min(answer.stored) < 0 or answer.retry_ms < 0:
        raise IntegrityError("answer to records has a negative number")
    return answer
