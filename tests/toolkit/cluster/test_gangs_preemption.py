"""An emergency takes the place of a batch gang, which comes back and has lost one attempt; servers stay."""

from __future__ import annotations

import pytest

from tests.toolkit.cluster.gangs import ATTEMPTS_OF_ONE_END, NO_SERVERS, Gangs, job
from toolkit.render.scheduler import scheduler_config

URGENT = {"urgent": job(4, priority="emergency")}
FIVE = {f"urgent-{number}": job(4, priority="emergency") for number in range(1, 6)}


@pytest.fixture
def gangs(wait_until):
    return lambda site: Gangs(site, wait_until)


@pytest.mark.slow
def test_five_emergencies_in_a_row_and_the_gang_still_has_its_attempts(site, gangs, wait_until):
    running = gangs(site({"jobs": FIVE}))
    running.apply()
    running.submit("seg3d")
    running.wait_running("seg3d", 4)
    for number, urgent in enumerate(FIVE, 1):
        running.submit(urgent)
        running.wait_running(urgent, 4)
        wait_until(lambda: not running.placed("seg3d"), "no part of the gang stays behind")
        wait_until(lambda number=number: running.retries("seg3d") >= number, "the attempt is counted")
        running.delete(urgent)
        running.wait_running("seg3d", 4)
    (spec,) = [each.body["spec"] for each in running.site.objects if each.name == "seg3d"]
    # Each worker counted, it would be twenty.
    attempts = range(5, 5 * ATTEMPTS_OF_ONE_END + 1)
    assert running.retries("seg3d") in attempts, "a preemption of four workers is one attempt"
    assert spec["maxRetry"] == 100


@pytest.mark.slow
def test_a_gang_with_few_attempts_ends_for_good(site, gangs, wait_until):
    """Volcano counts an eviction like a failure: this is what W0704 warns of."""
    few = {"few": job(4, retry={"attempts": 2, "after": ["evicted"]})}
    running = gangs(site({**NO_SERVERS, "jobs": {**FIVE, **few}}))
    running.apply()
    running.submit("few")
    for urgent in ("urgent-1", "urgent-2"):
        wait_until(
            lambda: running.phase("few") == "Failed" or len(running.placed("few", "Running")) == 4, "few runs"
        )
        if running.phase("few") == "Failed":
            break  # Volcano has counted the first one twice, see ATTEMPTS_OF_ONE_END
        running.submit(urgent)
        running.wait_running(urgent, 4)
        running.delete(urgent)
    wait_until(lambda: running.phase("few") == "Failed", "few has failed")


@pytest.mark.slow
def test_equal_priorities_wait_for_each_other(site, gangs):
    running = gangs(site({**NO_SERVERS, "jobs": {"same": job(4), "urgent": job(4)}}))
    running.apply()
    running.submit("same")
    running.wait_running("same", 4)
    running.submit("urgent")
    running.wait_waiting("urgent")
    assert (len(running.placed("same")), running.retries("same")) == (4, 0)


@pytest.mark.slow
def test_an_emergency_takes_nobodys_server_and_ends_nothing_in_vain(site, gangs, wait_until):
    """It wants all six machines; one has servers on it, so ending the batch gang would not help."""
    steady = {"medical-ai": {"scale": None}}  # two servers, whatever no autoscaler says here
    running = gangs(site({"jobs": {"urgent": job(6, priority="emergency")}, "services": steady}))
    running.apply()
    wait_until(lambda: len([each for each in running.servers() if each]) == 2, "both servers run")
    before = running.servers()
    running.submit("seg3d")
    running.wait_running("seg3d", 4)
    running.submit("urgent")
    running.wait_waiting("urgent")
    assert running.servers() == before
    assert (len(running.placed("seg3d")), running.retries("seg3d")) == (4, 0)


@pytest.mark.slow
def test_the_profile_whole_gang_preempts_too(site, gangs, topology, plane, wait_until):
    running = gangs(site({**NO_SERVERS, "jobs": URGENT}))
    with plane.scheduled_by(scheduler_config(topology({"scheduler": {"profile": "whole-gang"}}))):
        running.apply()
        running.submit("seg3d")
        running.wait_running("seg3d", 4)
        running.submit("urgent")
        running.wait_running("urgent", 4)
        wait_until(lambda: running.retries("seg3d") >= 1, "the attempt is counted")
        assert running.retries("seg3d") <= ATTEMPTS_OF_ONE_END


@pytest.mark.slow
def test_the_profile_queued_keeps_jobs_beyond_the_capability_without_pods(
    site, gangs, topology, plane, wait_until
):
    """Which is why it is not the default: an emergency waits there like everybody."""
    running = gangs(site({**NO_SERVERS, "jobs": URGENT}))
    with plane.scheduled_by(scheduler_config(topology({"scheduler": {"profile": "queued"}}))):
        running.apply()
        running.submit("seg3d")
        running.wait_running("seg3d", 4)
        running.submit("urgent")
        wait_until(lambda: running.group("urgent").get("phase") == "Pending", "urgent waits in its queue")
        quota = "queue resource quota insufficient"
        path = f"/api/v1/namespaces/{running.site.name}/events"
        wait_until(
            lambda: any(quota in each.get("message", "") for each in running.site.api.items(path)), quota
        )
        assert running.site.pods("urgent") == []
        assert len(running.placed("seg3d")) == 4
