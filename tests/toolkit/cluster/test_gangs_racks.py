"""A gang with `network: hard` stands in one rack, on the real scheduler; three gangs fill three racks."""

from __future__ import annotations

import pytest

from tests.toolkit.cluster.gangs import NO_SERVERS, Gangs, job
from toolkit.render.scheduler import scheduler_config

NAMES = [f"a100-{number:03d}" for number in range(1, 7)]
RACKS = {"one": [NAMES[0], NAMES[3]], "two": [NAMES[1], NAMES[4]], "three": [NAMES[2], NAMES[5]]}


@pytest.mark.slow
def test_workers_stay_in_one_rack(site, wait_until, plane):
    nodes = {
        "count": None,
        "names": NAMES,
        "racks": {rack: {"names": names} for rack, names in RACKS.items()},
    }
    jobs = {name: job(2) for name in ("first", "second", "third")}
    for each in jobs.values():
        each["gang"]["network"] = {"mode": "hard", "highest_tier": 1}
    near = site(
        {
            **NO_SERVERS,
            "scheduler": {"profile": "whole-gang"},
            "tiers": {"hot": {"pools": {"a100": {"nodes": nodes}}}},
            "queues": {"research": {"guarantee": None}},
            "jobs": {**jobs, "seg3d": None, "digits": None},
        }
    )
    running = Gangs(near, wait_until)
    with plane.scheduled_by(scheduler_config(near.topology)):
        running.apply()
        for name in jobs:
            running.submit(name)
        for name in jobs:
            running.wait_running(name, 2)
    racks = {name: set(running.placed(name).values()) for name in jobs}
    assert {frozenset(machines) for machines in racks.values()} == {
        frozenset(names) for names in RACKS.values()
    }
