"""What is due, and when the next one is."""

from __future__ import annotations

import msgspec

from tests.toolkit.sync.trees import task_of
from toolkit.sync.schedule import Schedule


def test_a_schedule_takes_what_is_due_and_makes_up_for_nothing(tmp_path):
    task = task_of(tmp_path)
    often = msgspec.structs.replace(task, route="often", every_seconds=10.0)
    seldom = msgspec.structs.replace(task, route="seldom", every_seconds=25.0)
    once = msgspec.structs.replace(task, route="once")
    demand = msgspec.structs.replace(task, route="demand", trigger="demand")
    schedule = Schedule([often, seldom, once, demand], now=0.0)
    assert [schedule.take(0.0).route for _ in range(3)] == ["often", "seldom", "once"]
    assert schedule.wait(3.0) == 7.0
    assert schedule.take(10.0).route == "often"
    assert schedule.wait(25.0) == 0.0
    assert [schedule.take(100.0).route for _ in range(2)] == ["often", "seldom"]
    assert schedule.wait(100.0) == 10.0  # the runs that were missed are gone
    assert schedule.take(110.0).route == "often"


def test_nothing_to_do_waits_for_the_end(tmp_path):
    assert Schedule([task_of(tmp_path, trigger="demand")], now=0.0).wait(0.0) is None
