"""A p50 that is taken apart is the sum of its parts."""

from __future__ import annotations

import pytest

from benchmarks.asking.contest import OURS, RAW, Sample
from benchmarks.asking.floors import BLOCKING, BLOCKING_ECHO, LOOP, LOOP_ECHO, parts_of


def test_the_parts_are_the_whole():
    p50 = {RAW: 20.0, BLOCKING_ECHO: 17.0, LOOP_ECHO: 18.0, BLOCKING: 41.0, LOOP: 45.0, OURS: 104.0}
    found = {who: [Sample(1.0, us + more, 1e3, 1.0) for more in (-0.5, 0.0, 90.0)] for who, us in p50.items()}
    parts = parts_of(found)
    assert [part.us for part in parts] == pytest.approx([20, 17, 4, 4, 59])
    assert sum(part.us for part in parts) == pytest.approx(p50[OURS])
