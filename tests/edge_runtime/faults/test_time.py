"""Time that is wrong: a device that boots in 1970 or next year installs all the same; one that comes back late gets
what is wanted now, and nothing that was wanted meanwhile.

The clock is that of `edge_runtime.clock`, the only one on the wall that it looks at; `--clock` turns it. Windows
wait until time can be trusted, and have their tests in test_permit.py and in tests/toolkit/protocol.
"""

from __future__ import annotations

import datetime as dt

import pytest

from tests.edge_runtime.faults.ledger import assert_whole, make, paced

pytestmark = pytest.mark.broker


@pytest.mark.parametrize("years", [None, 1], ids=["1970", "next-year"])
def test_a_daemon_with_a_wrong_clock_installs_as_any_other(depot, device, keys, years: int | None) -> None:
    now = dt.datetime.now(dt.timezone.utc)
    shown = "1970-01-01T00:00" if years is None else f"{now.year + years}-{now.month:02}-01T00:00"
    made, files = make(keys, 1, 1024 * 1024)
    device.start(*paced(), "--clock", shown)
    depot.offer(made)
    depot.wait_for_state("ACTIVE", "v1")
    assert_whole(device, made, files)
    assert device.infer([1, 0, 0, 0]) == ("v1", [0.0, 1.0, 2.0])


def test_one_that_returns_late_gets_only_what_is_wanted_then(depot, device, keys) -> None:
    first, second, third = (keys.model(version) for version in ("v1", "v2", "v3"))
    device.start()
    depot.offer(first)
    depot.wait_for_state("ACTIVE", "v1")
    assert device.stop() == 0
    depot.offer(second, rollout="r2")
    depot.offer(third, rollout="r3")
    depot.settle()  # else it might start while the second one is still retained
    device.start()
    depot.wait_for(lambda model: (model.state.value, model.serving_version) == ("ACTIVE", "v3"))
    assert not depot.chunks_sent(second)
    assert depot.chunks_sent(third)
    assert {model.version for report in depot.history for model in report.models} == {"v1", "v3"}
