"""A day offline at full rate, by a clock that is not the machine's: ten records a second, 864,000 in all.

The long form is marked slow; a day of an hour is not.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge_runtime.outbox import Entry
from tests.edge_runtime.outbox.crossing import Crossing
from toolkit.fleet.records import RecordLimits
from toolkit.protocol.buckets import Rate

pytestmark = pytest.mark.timeout(900)  # a day is a minute of work, and four such tests may share two cores
A_SECOND = 10
TOGETHER = 500
"""Records that the writer gathers, as it does where they come faster."""
PAYLOAD = b'{"frame":%07d,"model":"us-segmentation","version":"1.4.0","ms":12.25,"dice":0.93}'
BUDGET_OF_ONE = 153
"""Bytes for a payload of 82: its row, and its share of what one transaction and the log may take (6/32)."""
UNLIMITED = RecordLimits(rate=Rate())
ALARM_EVERY = 36_000


def size_of(crossing: Crossing) -> int:
    return sum(path.stat().st_size for path in crossing.file.parent.iterdir())


def live_offline(crossing: Crossing, records: int) -> int:
    """Put down a day's records; give the most that the files had after any step."""
    most = 0
    for first in range(0, records, TOGETHER):
        crossing.outbox.put_all(
            [
                Entry(
                    kind="alarm" if number % ALARM_EVERY == 0 else "telemetry",
                    priority=1 if number % ALARM_EVERY == 0 else 3,
                    at_ms=1_700_000_000_000 + number * 1000 // A_SECOND,
                    up_ms=number * 1000 // A_SECOND,
                    trusted=False,
                    payload=PAYLOAD % number,
                )
                for number in range(first, first + TOGETHER)
            ]
        )
        most = max(most, size_of(crossing))
    return most


def drain(crossing: Crossing, what: str) -> list[tuple[int, int]]:
    """Drain all; give priority and seq of each record that the receiver has, as they came."""
    waiting = sum(crossing.outbox.fill().records)
    crossing.draining.connected()
    began, used = time.perf_counter(), time.process_time()
    while any(crossing.outbox.file.fill().records):
        crossing.step()
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    print(
        f"{what}: {waiting} records drained at {waiting / seconds:,.0f}/s, {waiting / cpu:,.0f} for a second of CPU"
    )
    return [(priority, seq) for _, priority, seq, _ in crossing.stored()]


@pytest.mark.parametrize("seconds", [3600, pytest.param(86_400, marks=pytest.mark.slow)])
def test_a_day_offline_is_kept_in_a_bounded_file_and_drained_in_order(tmp_path: Path, seconds: int) -> None:
    records = seconds * A_SECOND
    budget = records * BUDGET_OF_ONE
    crossing = Crossing(tmp_path, budget=budget, frame_bytes=256 * 1024, limits=UNLIMITED)
    most = live_offline(crossing, records)
    print(f"{records} records in {most} bytes of {budget}: {most / records:.0f} bytes a record")
    assert most <= budget
    assert crossing.outbox.dropped == (0, 0, 0)
    assert sum(crossing.outbox.fill().records) == records
    came = drain(crossing, f"{seconds} s offline")
    alarms = [(1, number + 1) for number in range(0, records, ALARM_EVERY)]
    assert came == alarms + [(3, seq) for seq in range(1, records + 1) if (seq - 1) % ALARM_EVERY]
    assert crossing.receiver.counters.known == 0, "nothing went twice"
    assert size_of(crossing) <= budget


@pytest.mark.parametrize("seconds", [3600, pytest.param(86_400, marks=pytest.mark.slow)])
def test_with_half_the_budget_the_oldest_telemetry_goes_and_is_counted(tmp_path: Path, seconds: int) -> None:
    records = seconds * A_SECOND
    budget = records * BUDGET_OF_ONE // 2
    crossing = Crossing(tmp_path, budget=budget, frame_bytes=256 * 1024, limits=UNLIMITED)
    most = live_offline(crossing, records)
    assert most <= budget
    fill = crossing.outbox.fill()
    alarms = [(1, number + 1) for number in range(0, records, ALARM_EVERY)]
    kept = fill.records[2]
    dropped = records - len(alarms) - kept
    assert dropped > records // 3
    bytes_of_one = len(PAYLOAD % 0)
    assert fill.dropped == {("telemetry", 3): (dropped, dropped * bytes_of_one)}, (
        "counted, by kind and priority"
    )
    came = drain(crossing, f"{seconds} s offline, half the budget")
    telemetry = [(3, seq) for seq in range(1, records + 1) if (seq - 1) % ALARM_EVERY]
    assert came == alarms + telemetry[dropped:], "every alarm, and the newest telemetry without a hole"
    assert crossing.outbox.dropped == (0, 0, dropped), "draining drops nothing"
    assert kept * bytes_of_one > fill.cap_bytes * 0.6, "the room is used"
    assert crossing.receiver._dropped["us-001"][1] == (0, 0, dropped), "and the receiver was told"
