"""What is read about a job, while the cluster changes between two reads."""

from __future__ import annotations

from toolkit.cluster.kinds import Kinds
from toolkit.jobs.observe import surroundings
from toolkit.jobs.seen import Seen


def test_a_pod_of_the_job_that_came_since_is_nobody_elses(ward, wait_until):
    """The scheduler makes pods between our two lists; they must not count as somebody who is in the way."""
    site = ward()
    kinds = Kinds(site.connection)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "seg3d-worker-0", "labels": {"volcano.sh/job-name": "seg3d"}},
        "spec": {"containers": [{"name": "c", "image": "busybox:1"}], "schedulerName": "nobody"},
    }
    path = f"/api/v1/namespaces/{site.name}"
    wait_until(lambda: not site.api.gone(f"{path}/serviceaccounts/default"), "pods may be made")
    site.api.create(f"{path}/pods", pod)
    foreign = {**pod, "metadata": {"name": "other-worker-0", "labels": {"volcano.sh/job-name": "other"}}}
    site.api.create(f"{path}/pods", foreign)
    before_it_came = Seen(name="seg3d", namespace=site.name, job={"spec": {}})
    others = surroundings(kinds, before_it_came).others
    mine = [each["metadata"]["name"] for each in others if each["metadata"]["namespace"] == site.name]
    assert mine == ["other-worker-0"]
    for name in ("seg3d-worker-0", "other-worker-0"):
        site.api.delete(f"{path}/pods/{name}?gracePeriodSeconds=0")
