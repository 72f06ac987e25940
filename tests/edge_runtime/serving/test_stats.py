"""What a report says of the version that serves: requests, failures, and the 99th percentile of the last answers."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.serving.stats import LAST_ANSWERS, Latest, ModelStats, Tally
from toolkit.wire.report import Served

VALUES = st.lists(st.floats(0, 60), max_size=40)


@given(VALUES, st.integers(1, 20), st.integers(1, 100))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(values, size, percent) -> None:
    latest = Latest(size)
    for value in values:
        latest.add(value)
    last = values[-size:]
    found = latest.percentile(percent)
    if not last:
        assert found == 0
        return
    assert found in last
    assert sum(value <= found for value in last) >= math.ceil(len(last) * percent / 100)
    assert sum(value < found for value in last) < math.ceil(len(last) * percent / 100)


def test_requests_are_those_that_were_answered_or_failed() -> None:
    stats = ModelStats("linear", "v1")
    assert stats.served == Served()
    stats.outcomes.update(ok=7, failed=2, cancelled=5, shed=4, timeout=3, invalid=1, not_ready=1)
    for number in range(1, 101):
        stats.answered(number / 1000)
    assert stats.served == Served(requests=9, failures=2, p99_seconds=0.099)


def test_slow_answers_of_long_ago_are_forgotten() -> None:
    stats = ModelStats("linear", "v1")
    for _ in range(LAST_ANSWERS):
        stats.answered(9.0)
    for _ in range(LAST_ANSWERS):
        stats.answered(0.001)
    assert stats.served.p99_seconds == 0.001


def test_a_snapshot_says_what_triton_says_and_stays_as_it_is() -> None:
    stats = ModelStats("linear", "v1")
    nothing = stats.snapshot()
    assert (nothing.inference_count, nothing.execution_count, nothing.last_inference) == (0, 0, 0)
    assert nothing.batch_stats == {}
    stats.called(rows=3, waits=[0.25, 0.5], seconds=0.125, reason="full")
    stats.called(rows=1, waits=[0.0], seconds=0.0625, reason="idle")
    stats.called(rows=3, waits=[0.25], seconds=0.125, reason="full")
    for _ in range(4):
        stats.finished("ok", 0.5)
    stats.finished("shed", 0.25)
    stats.finished("timeout", 1.0)
    stats.cache_hit.add(0.5)
    stats.cache_miss.add(0.25, 2)
    taken = stats.snapshot()
    stats.called(rows=1, waits=[1.0], seconds=1.0, reason="idle")
    stats.finished("failed", 1.0)
    stats.cache_hit.add(1.0)
    second = 1_000_000_000
    assert (taken.inference_count, taken.execution_count) == (7, 3)
    assert taken.last_inference > 1_600_000_000_000
    assert taken.success == Tally(4, 2 * second)
    assert taken.fail == Tally(2, 5 * second // 4)
    assert taken.queue == Tally(4, second)
    assert taken.compute_infer == Tally(4, 3 * second // 8 + second // 16)
    assert (taken.cache_hit, taken.cache_miss) == (Tally(1, second // 2), Tally(2, second // 2))
    assert taken.batch_stats == {1: Tally(1, second // 16), 3: Tally(2, second // 4)}
    assert list(taken.batch_stats) == [1, 3]
    assert stats.batches == {"full": 2, "idle": 2}
    assert stats.outcomes == {"ok": 4, "shed": 1, "timeout": 1, "failed": 1}
