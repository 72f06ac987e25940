"""The outbox' file: all is found again in order, its size is bounded at every moment, and drops are counted."""

from __future__ import annotations

import random
import shutil
import stat
from collections import Counter
from pathlib import Path

import pytest

from edge_runtime.outbox import KINDS, MIN_BYTES, OTHER, Entry, OutboxFile
from edge_runtime.sealing import KeySeal, read_seal
from toolkit.errors import StoreError, UsageError
from toolkit.wire.records import MAX_PAYLOAD_BYTES, PRIORITIES

MIB = 1024 * 1024


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


def entry(payload: bytes, priority: int = 3, kind: str = "telemetry") -> Entry:
    return Entry(kind, priority, 1_700_000_000_000, 5, True, payload)


def size_of(file: Path) -> int:
    """Everything that belongs to the file, whatever it is called."""
    return sum(each.stat().st_size for each in file.parent.glob(f"{file.name}*"))


def seqs(outbox: OutboxFile, priority: int) -> list[int]:
    found: list[int] = []
    while some := outbox.read(priority, found[-1] if found else 0, MIB):
        found += [record.seq for record in some]
    return found


def test_what_is_put_down_is_there_after_a_restart_in_order(file: Path) -> None:
    outbox = OutboxFile(file, MIN_BYTES)
    assert outbox.append([entry(b"a"), entry(b"b", 1, "alarm"), entry(b"c")]) == 1
    assert outbox.append([entry(b"d", 2, "result")]) == 4
    epoch = outbox.epoch
    outbox.close()
    outbox = OutboxFile(file, MIN_BYTES)
    assert outbox.epoch == epoch
    assert [(each.seq, each.payload) for each in outbox.read(3, 0, MIB)] == [(1, b"a"), (3, b"c")]
    alarm = outbox.read(1, 0, MIB)[0]
    assert (alarm.kind, alarm.at_ms, alarm.up_ms, alarm.trusted) == ("alarm", 1_700_000_000_000, 5, True)
    assert outbox.fill().records == (1, 1, 2)
    outbox.forget((2, 0, 1))
    assert (outbox.fill().records, seqs(outbox, 3)) == ((0, 1, 1), [3])
    outbox.close()
    outbox = OutboxFile(file, MIN_BYTES)
    assert outbox.fill().records == (0, 1, 1)
    assert outbox.append([entry(b"e")]) == 5, "a number is never given twice"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    outbox.close()


def test_a_crash_keeps_all_that_was_committed(file: Path, tmp_path: Path) -> None:
    outbox = OutboxFile(file, MIN_BYTES)
    outbox.append([entry(b"a"), entry(b"b")])
    copy = tmp_path / "copy"
    copy.mkdir()
    for each in tmp_path.glob("outbox.sqlite*"):
        shutil.copy(each, copy)
    outbox.close()
    crashed = OutboxFile(copy / file.name, MIN_BYTES)
    assert seqs(crashed, 3) == [1, 2]
    crashed.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_budget_holds_at_every_moment_and_every_drop_is_counted(file: Path, seed: int) -> None:
    """Records of all sizes and priorities come and go; the file is measured after each step."""
    source = random.Random(seed)
    budget = MIN_BYTES + source.randrange(2 * MIB)
    outbox = OutboxFile(file, budget)
    put: dict[int, set[int]] = {1: set(), 2: set(), 3: set()}
    most = gone = 0
    for _ in range(150):
        entries: list[Entry] = []
        while True:
            payload = bytes(source.choice((0, 30, 400, 2100, 4000, 5000, MAX_PAYLOAD_BYTES)))
            new = entry(payload, source.choice((1, 2, 3, 3, 3)))
            if sum(each.cost for each in (*entries, new)) > outbox.step_bytes:
                break
            entries.append(new)
        first = outbox.append(entries)
        for number, each in enumerate(entries):
            put[each.priority].add(first + number)
        if source.random() < 0.1:
            found = seqs(outbox, 1)
            mark = found[len(found) // 2] if found else 0
            gone += len([each for each in found if each <= mark])
            outbox.forget((mark, 0, 0))
        most = max(most, size_of(file))
        assert most <= budget
    kept = {priority: seqs(outbox, priority) for priority in PRIORITIES}
    dropped = outbox.dropped_marks
    print(f"budget {budget}, most {most}, dropped {dropped}")
    assert sum(dropped) > 500, "the budget was too small for all of them"
    assert kept[1] == sorted(kept[1])
    for priority in PRIORITIES:
        missing = len(put[priority]) - len(kept[priority]) - (gone if priority == 1 else 0)
        assert missing == dropped[priority - 1]
    assert most > budget / 3, "the room is used"
    outbox.close()
    again = OutboxFile(file, budget)
    assert again.dropped_marks == dropped, "the counts are as durable as the drops"
    again.close()


def test_the_lowest_priority_goes_first_and_of_it_the_oldest(file: Path) -> None:
    outbox = OutboxFile(file, MIN_BYTES)
    outbox.append([entry(b"alarm", 1, "alarm")])
    outbox.append([entry(bytes(1000), 2, "result") for _ in range(100)])
    for _ in range(40):
        outbox.append([entry(bytes(1000)) for _ in range(100)])
    telemetry = seqs(outbox, 3)
    assert telemetry == list(range(4101 - len(telemetry) + 1, 4102)), "the newest, without a hole"
    assert len(telemetry) * 1048 > 0.6 * outbox.fill().cap_bytes
    assert outbox.fill().dropped == {
        ("telemetry", 3): (4000 - len(telemetry), (4000 - len(telemetry)) * 1000)
    }
    for _ in range(40):
        outbox.append([entry(bytes(1000), 2, "result") for _ in range(100)])
    assert (seqs(outbox, 3), seqs(outbox, 1)) == ([], [1])
    assert outbox.dropped_marks[2] == 4000
    outbox.close()


def test_kinds_that_are_counted_apart_are_limited(file: Path) -> None:
    outbox = OutboxFile(file, MIN_BYTES)
    for number in range(KINDS * 2):
        outbox.append([entry(bytes(50_000), kind=f"kind-{number}")])
    dropped = outbox.fill().dropped
    waiting = outbox.fill().records[2]
    assert len(dropped) <= KINDS + 1
    assert dropped[OTHER, 3][0] > 0
    assert sum(count for count, _ in dropped.values()) + waiting == KINDS * 2
    outbox.close()


def test_a_smaller_budget_is_obeyed_at_the_next_start(file: Path) -> None:
    outbox = OutboxFile(file, 8 * MIB)
    for _ in range(40):
        outbox.append([entry(bytes(1000)) for _ in range(100)])
    assert outbox.dropped_marks == (0, 0, 0)
    outbox.close()
    assert size_of(file) > 4 * MIB
    outbox = OutboxFile(file, 4 * MIB)
    assert size_of(file) <= 4 * MIB
    kept = seqs(outbox, 3)
    assert kept[-1] == 4000
    assert len(kept) + outbox.dropped_marks[2] == 4000
    outbox.close()


def test_payloads_are_sealed_by_a_key(file: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    outbox = OutboxFile(file, MIN_BYTES, seal=read_seal(str(key)))
    outbox.append([entry(b"patient 4711"), entry(b"patient 4711")])
    assert [each.payload for each in outbox.read(3, 0, MIB)] == [b"patient 4711"] * 2
    outbox.close()
    assert b"4711" not in b"".join(each.read_bytes() for each in tmp_path.glob("outbox*"))
    with pytest.raises(StoreError, match="another key"):
        OutboxFile(file, MIN_BYTES, seal=KeySeal(bytes(32)))
    with pytest.raises(StoreError, match="another key"):
        OutboxFile(file, MIN_BYTES)
    key.write_bytes(b"short")
    with pytest.raises(UsageError, match="5 bytes, not 32"):
        read_seal(str(key))


def test_a_record_that_was_changed_on_the_disk_is_dropped_and_counted(file: Path) -> None:
    seal = KeySeal(bytes(32))
    outbox = OutboxFile(file, MIN_BYTES, seal=seal)
    outbox.append([entry(b"a"), entry(b"b"), entry(b"c")])
    first, second = (
        seal.close(text, f"{outbox.epoch}/3/{number}".encode()) for text, number in ((b"x", 9), (b"y", 2))
    )
    outbox._db.execute("UPDATE record_3 SET payload = ? WHERE seq = 1", (first,))
    outbox._db.execute("UPDATE record_3 SET payload = ? WHERE seq = 2", (second,))
    found = outbox.read(3, 0, MIB)
    assert [(each.seq, each.payload) for each in found] == [(2, b"y"), (3, b"c")], (
        "1 was sealed for another place"
    )
    assert Counter(outbox.fill().dropped) == {("telemetry", 3): (1, 29)}
    outbox.close()


def test_what_is_no_outbox_is_said(file: Path) -> None:
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="cannot be used"):
        OutboxFile(file, MIN_BYTES)
