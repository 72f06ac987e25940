"""What the daemon puts down by itself: each step once, what went wrong first, counts by the minute."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_runtime.clock import Clock
from edge_runtime.drill import NO_DRILL
from edge_runtime.journal import Journal, Stamps, open_outbox, outbox_report
from edge_runtime.outbox import Fill
from edge_runtime.posting import Outbox
from toolkit.errors import UsageError
from toolkit.wire.device_config import BrokerConfig, DeviceConfig, OutboxConfig
from toolkit.wire.report import Dropped, ModelReport, OutboxReport, Report
from toolkit.wire.states import InstallState

WAIT = 60.0


@dataclass
class Stats:
    model: str = "m"
    version: str = "v1"
    outcomes: Counter[str] = field(default_factory=Counter)


@dataclass
class Bench:
    """A journal with an outbox and a clock that stands still until it is moved."""

    folder: Path
    now: float = 0.0
    stats: list[Stats] = field(default_factory=list)

    def __post_init__(self) -> None:
        config = DeviceConfig(site="s", state="s", keyring_file="k", broker=BrokerConfig(host="h"))
        clock = Clock(now=lambda: 2_000_000_000.5, is_kept=lambda: True)
        opened = open_outbox(config, self.folder / "outbox.sqlite", clock, NO_DRILL, lambda: self.now)
        assert opened is not None
        self.outbox: Outbox = opened
        self.journal = Journal(self.outbox, lambda: self.stats, lambda: self.now)

    def kept(self) -> list[tuple[str, int, dict[str, object]]]:
        self.outbox.settled().result(WAIT)
        found = [
            (record.seq, record.kind, priority, json.loads(record.payload))
            for priority in (1, 2, 3)
            for record in self.outbox.read(priority, 0, 1 << 20).result(WAIT)
        ]
        return [(kind, priority, said) for _, kind, priority, said in sorted(found, key=lambda each: each[0])]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.outbox.close()


def test_each_step_is_put_down_once_and_what_went_wrong_is_an_alarm(bench: Bench) -> None:
    seeding = ModelReport(model="m", state=InstallState.SEEDING, version="v2")
    for report in (
        seeding,
        seeding,
        ModelReport(model="m", state=InstallState.SEEDING, version="v2", chunks_have=3),
    ):
        bench.journal.reported([report])
    failed = ModelReport(model="m", state=InstallState.FAILED, version="v2", code="no-space", reason="full")
    bench.journal.reported([failed])
    bench.journal.reported([failed])
    kept = bench.kept()
    assert [(kind, priority) for kind, priority, _ in kept] == [
        ("installation", 2),
        ("installation", 2),
        ("alarm", 1),
    ]
    assert kept[2][2] == {
        "model": "m", "state": "FAILED", "version": "v2", "rollout": "", "serving": "",
        "code": "no-space", "reason": "full",
    }  # fmt: skip


def test_serving_is_counted_by_the_minute(bench: Bench) -> None:
    stats = Stats()
    bench.stats = [stats, Stats(model="idle")]
    stats.outcomes.update(ok=5)
    bench.journal.look()
    assert bench.kept() == [], "a minute is not over"
    for outcomes in ({}, {"ok": 2, "shed": 1}):
        stats.outcomes.update(outcomes)
        bench.now += 60
        bench.journal.look()
        bench.journal.look()
    bench.now += 60
    bench.journal.look()
    assert [said["outcomes"] for _, _, said in bench.kept()] == [{"ok": 5}, {"ok": 2, "shed": 1}]


def test_a_record_says_when_and_whether_the_time_was_known() -> None:
    asked = 0
    kept = True

    def is_kept() -> bool:
        nonlocal asked
        asked += 1
        return kept

    now = 100.0
    stamps = Stamps(Clock(now=lambda: 2_000_000_000.5, is_kept=is_kept), lambda: now)
    assert stamps() == (2_000_000_000_500, 100_000, True)
    kept = False
    assert stamps().trusted, "the kernel is not asked for every record"
    now = 106.0
    assert (stamps().trusted, asked) == (False, 2)


def test_without_an_outbox_nothing_is_put_down_and_nothing_breaks(tmp_path: Path) -> None:
    config = DeviceConfig(site="s", state="s", keyring_file="k", broker=BrokerConfig(host="h"))
    (tmp_path / "outbox.sqlite").write_bytes(b"no database" * 1000)
    assert open_outbox(config, tmp_path / "outbox.sqlite", Clock(), NO_DRILL, lambda: 0.0) is None
    Journal(None, list, lambda: 0.0).note("start", 2, {})
    sealed = DeviceConfig(
        site="s", state="s", keyring_file="k", broker=BrokerConfig(host="h"),
        outbox=OutboxConfig(key_file=str(tmp_path / "none")),
    )  # fmt: skip
    with pytest.raises(UsageError, match="cannot be read"):
        open_outbox(sealed, tmp_path / "other.sqlite", Clock(), NO_DRILL, lambda: 0.0)


def test_a_report_tells_of_drops_and_of_nothing_else() -> None:
    assert outbox_report(Fill(records=(1, 2, 3), used_bytes=5), 0) == OutboxReport()
    assert Report(device="d", seq=1, outbox=outbox_report(Fill(), 0)).format == 1
    told = outbox_report(Fill((1, 0, 9), 7, 8, {("telemetry", 3): (4, 400)}, 6), 2)
    dropped = (Dropped(kind="telemetry", priority=3, records=4, bytes=400),)
    assert told == OutboxReport(
        waiting=(1, 0, 9), used_bytes=7, cap_bytes=8, oldest_ms=6, dropped=dropped, refused=2
    )
    assert Report(device="d", seq=1, outbox=told).format == 3
