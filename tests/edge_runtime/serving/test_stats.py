"""What a report says of the version that serves: requests, failures, and the 99th percentile of the last answers."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.serving.stats import LAST_ANSWERS, Latest, ModelStats
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
