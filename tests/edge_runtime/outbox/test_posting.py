"""Putting records down: what is accepted is durable, what gathers is written together, what is too much is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_runtime.drill import Drill
from edge_runtime.outbox import MIN_BYTES, ROW_OVERHEAD, OutboxFile
from edge_runtime.posting import MAX_TOGETHER_BYTES, WAITING_BYTES, BusyOutboxError, Note, Outbox, Stamp
from toolkit.errors import IntegrityError, StoreError
from toolkit.wire.records import MAX_PAYLOAD_BYTES

WAIT = 60.0
NOW = Stamp(1_700_000_000_000, 7, trusted=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


class Gate:
    """Stops the outbox' thread before its first write, and counts writes."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        self.drill = Drill(["outbox:before"], lambda *_: self.reached.set(), lambda: self.open.wait(WAIT))


@pytest.fixture
def outbox(file: Path) -> Iterator[Outbox]:
    outbox = Outbox(OutboxFile(file, MIN_BYTES), lambda: NOW)
    yield outbox
    outbox.close()


def test_what_is_accepted_is_on_the_disk(file: Path, outbox: Outbox) -> None:
    done = outbox.put("alarm", 1, b"hot", urgent=True)
    assert done.result(WAIT) == 1
    together = outbox.put_all([Note("telemetry", 3, b"a"), Note("result", 2, b"b")], urgent=True)
    assert together.result(WAIT) == 2
    assert outbox.settled().result(WAIT).records == (1, 1, 1)
    assert outbox.read(1, 0, 1000).result(WAIT)[0].payload == b"hot"
    assert [tuple(each)[1:5] for each in map(as_tuple, outbox.read(2, 0, 1000).result(WAIT))] == [
        ("result", *NOW)
    ]
    outbox.forget((1, 3, 0))
    outbox.close()
    again = OutboxFile(file, MIN_BYTES)
    assert [record.seq for record in again.read(3, 0, 1000)] == [2]
    assert again.fill().records == (0, 0, 1)
    again.close()


def as_tuple(record: object) -> tuple[object, ...]:
    names = ("seq", "kind", "at_ms", "up_ms", "trusted", "payload")
    return tuple(getattr(record, name) for name in names)


def test_what_gathers_is_written_in_one_step_and_nothing_is_accepted_before(file: Path) -> None:
    gate = Gate()
    outbox = Outbox(OutboxFile(file, MIN_BYTES, drill=gate.drill), lambda: NOW, gather_seconds=3600)
    lazy = [outbox.put("telemetry", 3, b"%d" % number) for number in range(100)]
    urgent = outbox.put("alarm", 1, b"", urgent=True)
    assert gate.reached.wait(WAIT), "one urgent record brings all that waited with it"
    assert not any(each.done() for each in (*lazy, urgent))
    gate.open.set()
    assert urgent.result(WAIT) == 101
    assert [each.result(WAIT) for each in lazy] == list(range(1, 101))
    late = outbox.put("telemetry", 3, b"late")
    outbox.close()
    assert late.result(WAIT) == 102, "an outbox that is closed writes what waited"
    with pytest.raises(StoreError, match="closed"):
        outbox.put("telemetry", 3, b"")


def test_what_waits_is_written_after_a_while(file: Path) -> None:
    outbox = Outbox(OutboxFile(file, MIN_BYTES), lambda: NOW, gather_seconds=0.01)
    assert outbox.put("telemetry", 3, b"a").result(WAIT) == 1
    outbox.close()


def test_more_than_memory_may_hold_is_refused_and_counted(file: Path) -> None:
    gate = Gate()
    outbox = Outbox(OutboxFile(file, MIN_BYTES, drill=gate.drill), lambda: NOW)
    first = outbox.put("telemetry", 3, b"", urgent=True)
    assert gate.reached.wait(WAIT)
    fits = WAITING_BYTES // (MAX_PAYLOAD_BYTES + ROW_OVERHEAD)
    taken = [outbox.put("telemetry", 3, bytes(MAX_PAYLOAD_BYTES)) for _ in range(fits)]
    with pytest.raises(BusyOutboxError):
        outbox.put("telemetry", 3, bytes(MAX_PAYLOAD_BYTES))
    assert outbox.refused == {"telemetry": 1}
    gate.open.set()
    assert [each.result(WAIT) for each in (first, *taken)] == list(range(1, fits + 2))
    outbox.close()


@pytest.mark.parametrize(
    ("note", "why"),
    [
        (Note("telemetry", 4, b""), "priority 4"),
        (Note("telemetry", 3, bytes(MAX_PAYLOAD_BYTES + 1)), "65537 bytes"),
        (Note("Tele metry", 3, b""), "must be 1 to 32"),
    ],
)
def test_what_cannot_be_is_refused(outbox: Outbox, note: Note, why: str) -> None:
    with pytest.raises(IntegrityError, match=why):
        outbox.put_all([note])
    with pytest.raises(IntegrityError, match=str(MAX_TOGETHER_BYTES)):
        outbox.put_all([Note("telemetry", 3, bytes(MAX_PAYLOAD_BYTES))] * 3)


def test_a_disk_that_does_not_take_them_is_told_to_who_put_them_down(file: Path) -> None:
    def broken() -> None:
        raise OSError(28, "No space left on device")

    drill = Drill(["outbox:before"], lambda *_: None, broken)
    outbox = Outbox(OutboxFile(file, MIN_BYTES, drill=drill), lambda: NOW)
    failed = outbox.put("telemetry", 3, b"", urgent=True)
    with pytest.raises(OSError, match="No space"):
        failed.result(WAIT)
    assert outbox.refused == {"telemetry": 1}
    assert outbox.put("telemetry", 3, b"", urgent=True).result(WAIT) == 1, "the next one is taken"
    outbox.close()
