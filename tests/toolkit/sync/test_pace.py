"""The limit holds on average, whoever asks and however much."""

from __future__ import annotations

import pytest

from toolkit.sync.pace import Pace


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        assert seconds > 0
        self.now += seconds


@pytest.mark.parametrize("piece", [1_000, 70_000, 3_000_000])
def test_bytes_pass_at_the_rate(piece):
    clock = Clock()
    pace = Pace(1_000_000, clock=clock, sleep=clock.sleep)
    passed = 0
    while passed < 12_000_000:
        pace.take(piece)
        passed += piece
    assert passed / 1_000_000 - 0.3 <= clock.now - 100 <= passed / 1_000_000 + 1e-6


def test_a_pause_gives_no_more_than_a_short_burst():
    clock = Clock()
    pace = Pace(1_000_000, clock=clock, sleep=clock.sleep)
    pace.take(500_000)
    clock.now += 3600
    begun = clock.now
    for _ in range(20):
        pace.take(100_000)
    assert clock.now - begun == pytest.approx(1.75)


def test_no_limit_never_waits():
    Pace(0, clock=Clock(), sleep=lambda _: pytest.fail("waited")).take(10**12)
