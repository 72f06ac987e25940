"""Batches of records and their answers: bytes are frozen, and whatever cannot be is refused before it is looked at."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import IntegrityError
from toolkit.wire.records import (
    BATCH_OVERHEAD,
    MAX_BATCH_BYTES,
    MAX_PAYLOAD_BYTES,
    RECORD_OVERHEAD,
    Record,
    RecordBatch,
    RecordsAnswer,
    check_kind,
    decode_batch,
    decode_records_answer,
    encode_batch,
    encode_records_answer,
)

VECTOR = Path(__file__).parent / "vectors" / "records-1.json"
RECORDS = (
    Record(17, "result", 1_700_000_000_123, 4_200, True, b"polyp"),
    Record(19, "frame", 0, 4_300, False, b"\x00\xff"),
)
BATCH = RecordBatch(
    device="us-001",
    epoch="0123456789abcdef",
    round=3,
    priority=2,
    after=16,
    records=RECORDS,
    dropped=(0, 0, 7),
)
ANSWER = RecordsAnswer(
    epoch="0123456789abcdef", round=3, stored=(0, 19, 5), code="busy", retry_ms=5000, message="later"
)


def test_the_bytes_are_those_of_the_vector() -> None:
    vector = json.loads(VECTOR.read_text())
    assert encode_batch(BATCH).hex() == vector["batch"]
    assert encode_records_answer(ANSWER).hex() == vector["answer"]
    assert decode_batch(bytes.fromhex(vector["batch"]), "us-001") == BATCH
    assert decode_records_answer(bytes.fromhex(vector["answer"])) == ANSWER


def test_a_question_is_small() -> None:
    ask = RecordBatch(device="us-001", epoch="0123456789abcdef", round=1)
    assert len(encode_batch(ask)) < 100


def changed(**values: object) -> bytes:
    names = {name: getattr(BATCH, name) for name in BATCH.__struct_fields__}
    return encode_batch(RecordBatch(**(names | values)))  # type: ignore[arg-type]


def record(**values: object) -> tuple[Record, ...]:
    names = {name: getattr(RECORDS[0], name) for name in RECORDS[0].__struct_fields__}
    return (Record(**(names | values)),)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        changed(device="us-002"),
        changed(epoch="../../etc"),
        changed(epoch="0" * 15),
        changed(priority=0),
        changed(priority=4),
        changed(after=-1),
        changed(after=17),
        changed(round=-1),
        changed(round=1 << 60),
        changed(dropped=(0, -1, 0)),
        changed(records=(RECORDS[1], RECORDS[0])),
        changed(records=(RECORDS[0], RECORDS[0])),
        changed(records=record(seq=1 << 60)),
        changed(records=record(kind="a b")),
        changed(records=record(kind="")),
        changed(records=record(kind="x" * 33)),
        changed(records=record(at_ms=1 << 60)),
        changed(records=record(payload=bytes(MAX_PAYLOAD_BYTES + 1))),
        changed(records=tuple(record(seq=20 + each)[0] for each in range(8193))),
        bytes(MAX_BATCH_BYTES + 1),
    ],
)
def test_what_cannot_be_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_batch(data, "us-001")


@given(st.binary(max_size=300), st.integers(0, 200))
def test_whatever_comes_is_refused_or_whole(noise: bytes, place: int) -> None:
    good = encode_batch(BATCH)
    for data in (noise, good[:place], good[:place] + noise + good[place:]):
        try:
            batch = decode_batch(data, "us-001")
        except IntegrityError:
            continue
        assert batch.device == "us-001"
        assert all(new.seq > batch.after for new in batch.records)


def test_overheads_are_upper_bounds() -> None:
    most = Record((1 << 53) - 1, "x" * 32, -(1 << 52), 1 << 52, False, b"")
    one = len(changed(records=(most,), after=0, device="d" * 63, round=1 << 52, dropped=(1 << 52,) * 3))
    none = len(changed(records=(), after=0, device="d" * 63, round=1 << 52, dropped=(1 << 52,) * 3))
    assert one - none <= RECORD_OVERHEAD
    assert one <= BATCH_OVERHEAD


def test_an_answer_with_nonsense_is_refused() -> None:
    for data in (
        b"",
        b"\x80",
        b"x" * 5000,
        encode_records_answer(RecordsAnswer(epoch="", round=1, stored=(0, -1, 0))),
    ):
        with pytest.raises(IntegrityError):
            decode_records_answer(data)


@pytest.mark.parametrize("kind", ["", "A", "1a", "a b", "a/b", "x" * 33, "ä"])
def test_a_kind_is_a_word(kind: str) -> None:
    with pytest.raises(IntegrityError):
        check_kind(kind)
    assert check_kind("alarm.door-2_x") == "alarm.door-2_x"
