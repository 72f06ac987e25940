"""Rendered gangs on the real Volcano scheduler: all workers get machines, or none does; services leave them room."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.toolkit.cluster.gangs import NO_SERVERS, Gangs, job


@pytest.fixture
def gangs(wait_until):
    return lambda site: Gangs(site, wait_until)


@pytest.mark.parametrize("servers", [2, 7])
def test_the_hospitals_gang_starts_beside_its_services(site, gangs, wait_until, servers):
    """Six machines of eight GPUs: the servers take one, so four of five whole ones are left for 4x8."""
    running = gangs(site({"services": {"medical-ai": {"replicas": {"min": servers}, "scale": None}}}))
    running.apply()
    wait_until(lambda: "" not in running.servers() and len(running.servers()) == servers, "all servers run")
    assert len(Counter(running.servers())) == 1, "servers stand beside each other"

    running.submit("seg3d")
    running.wait_running("seg3d", 4)
    machines = set(running.placed("seg3d").values())
    assert len(machines) == 4, "eight GPUs each, so a machine each"
    assert all(machine.startswith("a100-") for machine in machines)
    assert machines.isdisjoint(running.servers())


def test_small_workers_leave_machines_whole(site, gangs):
    """Seven workers with one GPU fit on one machine; spread over six they would keep every 8-GPU gang away."""
    running = gangs(site({**NO_SERVERS, "jobs": {"small": job(7, gpus=1), "large": job(5)}}))
    running.apply()
    running.submit("small")
    running.wait_running("small", 7)
    assert len(set(running.placed("small").values())) == 1
    running.submit("large")
    running.wait_running("large", 5)


def test_a_gang_that_does_not_fit_gets_no_machine_at_all_and_starts_when_it_does(site, gangs):
    """Six workers want all six machines. While two GPUs are taken five are free: the gang gets none."""
    running = gangs(
        site({**NO_SERVERS, "jobs": {"whole": job(6, queue=None), "small": job(2, queue=None, gpus=1)}})
    )
    running.apply()
    running.submit("small")
    running.wait_running("small", 2)
    running.submit("whole")
    running.wait_waiting("whole")
    running.delete("small")
    running.wait_running("whole", 6)
