"""Rendered gangs on the real Volcano scheduler: all workers get nodes, or none does."""

from __future__ import annotations

from toolkit.cluster.wait import wait

EMPTY = {"jobs": {"digits": None}}


def bound(site, job: str) -> int:
    return sum(1 for pod in site.pods(job) if pod["spec"].get("nodeName"))


def test_a_gang_that_fits_runs_whole(site):
    hospital = site(EMPTY)
    assert hospital.apply().failed == ()
    waited = wait(hospital.connection, hospital.name, hospital.objects, seconds=60)
    assert [(each.name, each.reason) for each in waited.not_ready] == []
    nodes = {pod["spec"]["nodeName"] for pod in hospital.pods("seg3d")}
    assert len(nodes) == 4, "eight GPUs each, so a node each"
    assert all(node.startswith("a100-") for node in nodes)


def test_a_gang_that_does_not_fit_gets_no_node_at_all_and_starts_when_it_does(site, topology, wait_until):
    """Six workers want all six machines. While two GPUs are taken five are free: the gang gets none."""
    no_queue = {"digits": {"queue": None}, "seg3d": None}
    hospital = site({"jobs": no_queue})
    hospital.apply()
    wait_until(lambda: bound(hospital, "digits") == 2, "the small gang runs", 60)

    whole_pool = {"queue": None, "gang": {"workers": 6, "gpus_per_worker": 8}}
    both = hospital.changed(topology({"name": hospital.name, "jobs": {**no_queue, "seg3d": whole_pool}}))
    assert both.apply().failed == ()

    def conditions() -> list[dict]:
        groups = f"/apis/scheduling.volcano.sh/v1beta1/namespaces/{both.name}/podgroups"
        mine = [each for each in both.api.items(groups) if each["metadata"]["name"].startswith("seg3d")]
        return [one for each in mine for one in each.get("status", {}).get("conditions") or []]

    wait_until(
        lambda: any(each["type"] == "Unschedulable" for each in conditions()), "Volcano has judged it", 60
    )
    waited = wait(both.connection, both.name, both.objects, seconds=2)
    assert [each.name for each in waited.not_ready] == ["seg3d"]
    assert bound(both, "seg3d") == 0

    both.api.delete(both.gang("digits"))
    wait_until(lambda: bound(both, "seg3d") == 6, "all six start when the pool is free", 60)
