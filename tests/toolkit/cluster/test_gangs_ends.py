"""How gangs end: a lost machine, an exit code that is retried, one that is not, an eviction by the machine, success."""

from __future__ import annotations

import pytest

from tests.toolkit.cluster.gangs import ATTEMPTS_OF_ONE_END, NO_SERVERS, Gangs

ONCE = range(1, ATTEMPTS_OF_ONE_END + 1)
LOST = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}


@pytest.fixture
def seg3d(site, wait_until):
    """Run the hospital's gang."""
    gangs = Gangs(site(NO_SERVERS), wait_until)
    gangs.apply()
    gangs.submit("seg3d")
    gangs.wait_running("seg3d", 4)
    return gangs


def test_a_lost_machine_restarts_the_gang_on_others(seg3d):
    before, (lost, *_) = seg3d.uids("seg3d"), seg3d.placed("seg3d").values()
    node = f"/api/v1/nodes/{lost}"
    seg3d.site.api.merge(node, {"spec": {"taints": [LOST]}})
    try:
        seg3d.wait_until(lambda: lost not in seg3d.placed("seg3d").values(), f"nobody is on {lost}")
        seg3d.wait_running("seg3d", 4)
        assert lost not in seg3d.placed("seg3d").values()
        assert seg3d.uids("seg3d").isdisjoint(before), (
            "all workers are new: those that were left cannot go on alone"
        )
        assert seg3d.retries("seg3d") in ONCE
    finally:
        seg3d.site.api.merge(node, {"spec": {"taints": None}})


def test_an_exit_code_that_is_retried_starts_all_workers_again(seg3d):
    before = seg3d.uids("seg3d")
    seg3d.end("seg3d-worker-2", 143)
    seg3d.wait_until(lambda: seg3d.uids("seg3d").isdisjoint(before), "four new workers")
    seg3d.wait_running("seg3d", 4)
    assert seg3d.retries("seg3d") in ONCE


@pytest.mark.parametrize("code", [1, 137])
def test_another_exit_code_ends_the_job_whatever_is_left_of_its_attempts(seg3d, code):
    seg3d.end("seg3d-worker-2", code)
    seg3d.wait_until(lambda: seg3d.phase("seg3d") == "Terminated", "seg3d is terminated")
    assert seg3d.retries("seg3d") == 0
    seg3d.wait_until(lambda: not running_pods(seg3d), "its other workers are gone")


def test_an_eviction_through_the_api_starts_the_gang_again(seg3d):
    before = seg3d.uids("seg3d")
    pod = f"/api/v1/namespaces/{seg3d.site.name}/pods/seg3d-worker-1"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "seg3d-worker-1"}}
    seg3d.site.api.create(f"{pod}/eviction", eviction)
    seg3d.wait_until(lambda: seg3d.uids("seg3d").isdisjoint(before), "four new workers")
    seg3d.wait_running("seg3d", 4)
    assert seg3d.retries("seg3d") in ONCE


@pytest.mark.slow
@pytest.mark.parametrize(("after", "ends"), [(["evicted"], True), (["evicted", "exit:137"], False)])
def test_an_eviction_by_the_machine_is_a_failure_to_volcano(site, wait_until, after, ends):
    """Kubelet leaves the pod failed, with exit code 137; Volcano has the event PodEvicted for deleted pods alone."""
    gangs = Gangs(site({**NO_SERVERS, "jobs": {"seg3d": {"retry": {"after": after}}}}), wait_until)
    gangs.apply()
    gangs.submit("seg3d")
    gangs.wait_running("seg3d", 4)
    before = gangs.uids("seg3d")
    gangs.put_out("seg3d-worker-3")
    if ends:
        wait_until(lambda: gangs.phase("seg3d") == "Terminated", "seg3d is terminated")
    else:
        wait_until(lambda: gangs.uids("seg3d").isdisjoint(before), "four new workers")
        gangs.wait_running("seg3d", 4)


def test_all_workers_done_is_the_job_done(seg3d):
    for rank in range(4):
        seg3d.end(f"seg3d-worker-{rank}", 0)
    seg3d.wait_until(lambda: seg3d.phase("seg3d") == "Completed", "seg3d is completed")
    assert seg3d.retries("seg3d") == 0


def running_pods(gangs: Gangs) -> list[str]:
    return [
        pod["metadata"]["name"] for pod in gangs.site.pods("seg3d") if pod["status"]["phase"] == "Running"
    ]
