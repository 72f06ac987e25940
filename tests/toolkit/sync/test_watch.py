"""Routes that are kept going by hand: each in its time, an error does not end them, a stop does."""

from __future__ import annotations

import threading

import msgspec

from tests.toolkit.sync.trees import make_tree, task_of
from toolkit.sync.watch import watch


def runs_of(tasks, count, **options):
    """Watch until so many runs were told."""
    stop, told = threading.Event(), []

    def tell(run):
        told.append(run)
        if len(told) == count:
            stop.set()

    assert watch(tasks, stop, tell, **options) == count
    return told


def test_a_change_is_brought_by_the_next_run(tmp_path):
    make_tree(tmp_path / "edge/frames")
    task = task_of(tmp_path, every_seconds=0.01)
    first, second = runs_of([task], 2)
    assert (first.did_nothing, second.did_nothing) == (False, True)
    assert first.result.targets[0].files_written == 60
    assert first.route == "frames"


def test_an_error_is_told_and_does_not_end_it(tmp_path):
    task = task_of(tmp_path, route="bad", path="nothing")
    told = runs_of([task], 2, every_seconds=0.01)
    assert [(run.exit_code, run.did_nothing) for run in told] == [(1, False)] * 2
    assert "has no folder 'nothing'" in told[0].error


def test_what_waits_for_a_demand_is_run_because_somebody_asks(tmp_path):
    make_tree(tmp_path / "edge/frames")
    demand = task_of(tmp_path, trigger="demand")
    other = msgspec.structs.replace(demand, route="other", trigger="schedule")
    told = runs_of([demand, other], 2)
    assert {run.route for run in told} == {"frames", "other"}


def test_a_stop_that_came_before_runs_nothing(tmp_path):
    stop = threading.Event()
    stop.set()
    assert watch([task_of(tmp_path)], stop, lambda _: None) == 0
