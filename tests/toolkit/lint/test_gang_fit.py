"""What machines, queues, quotas and services hold: it just fits, one more would stay Pending, unknown is silence."""

from __future__ import annotations

import copy
from decimal import Decimal

import pytest

from tests.toolkit.lint.wrong_jobs import right_job
from toolkit.errors import Severity
from toolkit.lint.check import RULES, check_objects, lint
from toolkit.lint.document import from_objects, from_text
from toolkit.lint.gang_fit import STAYS_PENDING
from toolkit.lint.known_from_topology import known_from_topology
from toolkit.lint.surroundings import NOTHING_KNOWN, Machines, Quota, Standing, Surroundings, Taint
from toolkit.render.objects import render

GPU = "nvidia.com/gpu"
POOL = {"tiers.dev/pool": "a100"}
SIX = Machines("a100", 6, POOL, (), {GPU: Decimal(8), "cpu": Decimal(128)})


def gang(replicas=4, gpus=8, **spec):
    job = right_job(1, gpus)
    job["spec"]["queue"] = "default"
    job["spec"]["tasks"][0]["replicas"] = replicas
    job["spec"].update(spec)
    return job


def pod(job, task=0):
    return job["spec"]["tasks"][task]["template"]["spec"]


def pending(job, known, *others):
    found = lint(from_objects([job, *others]), known)
    assert all(each.code in STAYS_PENDING for each in found if each.severity is Severity.ERROR)
    return {each.code: each.message for each in found if each.code in STAYS_PENDING}


def machines(*listed, **more):
    return Surroundings(machines=listed, **more)


def standing(replicas, gpus=1, pool=None):
    return Standing("service s", replicas, {GPU: Decimal(gpus)}, POOL if pool is None else pool)


# ---------------------------------------------------------------- machines
@pytest.mark.parametrize(("replicas", "codes"), [(6, set()), (7, {"L155"})])
def test_a_gang_that_needs_every_machine_fits_and_one_worker_more_does_not(replicas, codes):
    assert set(pending(gang(replicas), machines(SIX))) == codes


def test_workers_that_share_machines_are_counted_by_machine():
    """Three GPUs each: two workers a machine, twelve in all; two GPUs of each machine stay unused."""
    assert pending(gang(12, 3), machines(SIX)) == {}
    assert "hold 12" in pending(gang(13, 3), machines(SIX))["L155"]


def test_a_worker_is_compared_with_the_largest_machine_it_may_run_on():
    small = Machines("h100", 2, {"tiers.dev/pool": "h100"}, (), {GPU: Decimal(4)})
    job = gang(1)
    assert pending(job, machines(SIX, small)) == {}
    pod(job)["nodeSelector"] = {"tiers.dev/pool": "h100"}
    assert "asks for 8 nvidia.com/gpu, the largest machine it may run on has 4" in (
        pending(job, machines(SIX, small))["L154"].replace("\n", " ")
    )


def test_no_worker_fits_where_each_resource_is_short_on_another_machine():
    many = Machines("gpus", 1, POOL, (), {GPU: Decimal(8), "cpu": Decimal("0.5")})
    fast = Machines("cores", 1, POOL, (), {GPU: Decimal(1), "cpu": Decimal(64)})
    assert set(pending(gang(1), machines(many, fast))) == {"L154"}


def test_two_tasks_share_the_machines():
    job = right_job(2, 8)
    job["spec"]["queue"] = "default"
    for task, replicas in zip(job["spec"]["tasks"], (4, 2), strict=True):
        task["replicas"] = replicas
    assert pending(job, machines(SIX)) == {}
    job["spec"]["tasks"][1]["replicas"] = 3
    assert set(pending(job, machines(SIX))) == {"L155"}
    job["spec"]["minAvailable"] = 6  # then any six of the seven may start
    assert pending(job, machines(SIX)) == {}


def test_only_what_must_start_counts():
    job = gang(20)
    job["spec"]["minAvailable"] = job["spec"]["tasks"][0]["minAvailable"] = 6
    assert pending(job, machines(SIX)) == {}


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ({"nodeSelector": {"tiers.dev/pool": "b100"}}, {"L161"}),
        ({"nodeSelector": {"disk": "fast"}}, {"L161"}),
        ({"tolerations": [{"key": "held", "operator": "Exists"}]}, set()),
        ({"tolerations": [{"key": "held", "value": "by us"}]}, {"L161"}),
        ({"tolerations": [{"operator": "Exists", "effect": "NoExecute"}]}, {"L161"}),
    ],
)
def test_labels_and_taints_decide_where_a_pod_may_run(change, codes):
    held = Machines(
        "a100-1",
        1,
        POOL,
        (Taint("held", "", "NoSchedule"),),
        {GPU: Decimal(8), "pods": Decimal(9)},
        complete=True,
    )
    job = gang(1, 1)
    resources = pod(job)["containers"][0]["resources"]
    resources["requests"], resources["limits"] = {}, {GPU: 1}
    pod(job).update({"tolerations": [{"operator": "Exists"}], **change})
    found = lint(from_objects([job]), machines(held))
    assert {each.code for each in found if each.code in STAYS_PENDING} == codes


def test_node_affinity_counts_as_a_selector():
    job, other = gang(1), Machines("nvme", 4, {"tiers.dev/pool": "nvme"}, (), {GPU: Decimal(0)})
    del pod(job)["nodeSelector"]

    def where(*expressions):
        terms = [{"matchExpressions": [each]} for each in expressions]
        needed = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        pod(job)["affinity"] = {"nodeAffinity": needed}
        return set(pending(job, machines(SIX, other)))

    key = "tiers.dev/pool"
    assert where({"key": key, "operator": "In", "values": ["nvme"]}) == {"L154"}
    assert where({"key": key, "operator": "In", "values": ["nvme", "a100"]}) == set()
    assert where({"key": key, "operator": "NotIn", "values": ["a100"]}) == {"L154"}
    assert where({"key": key, "operator": "DoesNotExist"}) == {"L161"}
    assert where({"key": key, "operator": "DoesNotExist"}, {"key": key, "operator": "Exists"}) == set()


def test_what_is_not_known_of_a_machine_is_not_held_against_a_pod():
    """tiers.yaml names neither every label nor every resource; a Node object does."""
    job = gang(1, 1)
    pod(job)["nodeSelector"] = {"tiers.dev/pool": "a100", "disk": "fast"}
    pod(job)["containers"][0]["resources"]["limits"]["rdma/hca"] = 1
    assert pending(job, machines(SIX)) == {}
    whole = Machines(
        "a100-1", 1, {**POOL, "disk": "fast"}, (), {GPU: Decimal(8), "cpu": Decimal(8)}, complete=True
    )
    assert set(pending(job, machines(whole))) == {"L154"}


def test_without_machines_nothing_is_said_about_machines():
    assert pending(gang(1000), NOTHING_KNOWN) == {}


# ---------------------------------------------------------------- services
@pytest.mark.parametrize(
    ("workers", "servers", "each", "codes"),
    [
        (6, 0, 1, set()),
        (6, 1, 1, {"L156"}),
        (5, 8, 1, set()),  # eight servers fill one machine
        (5, 9, 1, {"L156"}),
        (4, 2, 5, set()),
        (5, 2, 5, {"L156"}),  # five GPUs twice do not share a machine
    ],
)
def test_gpus_of_services_are_taken_first_as_tightly_as_they_go(workers, servers, each, codes):
    known = machines(SIX, standing=(standing(servers, each),))
    assert set(pending(gang(workers), known)) == codes


def test_services_use_what_workers_leave_on_their_machines():
    """Workers of six GPUs leave two on each machine: twelve servers cost no worker, the thirteenth does."""
    assert pending(gang(6, 6), machines(SIX, standing=(standing(12),))) == {}
    assert set(pending(gang(6, 6), machines(SIX, standing=(standing(13),)))) == {"L156"}


def test_a_service_that_may_stand_elsewhere_holds_nothing():
    elsewhere = Machines("h100", 2, {"tiers.dev/pool": "h100"}, (), {GPU: Decimal(4)})
    anywhere = standing(8, pool={})
    assert pending(gang(6), machines(SIX, elsewhere, standing=(anywhere,))) == {}
    assert (
        pending(gang(6), machines(SIX, elsewhere, standing=(standing(8, pool={"tiers.dev/pool": "h100"}),)))
        == {}
    )


# ---------------------------------------------------------------- queues and quotas
def queue(name="default", **spec):
    return {
        "apiVersion": "scheduling.volcano.sh/v1beta1",
        "kind": "Queue",
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest.mark.parametrize(
    ("capability", "codes"),
    [
        ({GPU: 32}, set()),
        ({GPU: 31}, {"L153"}),
        ({GPU: 0}, {"L153"}),
        ({"cpu": "3"}, {"L153"}),
        ({"cpu": 0, "memory": 0}, set()),  # 0 of these two is no limit
        ({"cpu": "64"}, set()),  # GPUs that are not named have no limit
        ({"memory": "3Gi"}, {"L153"}),
    ],
)
def test_the_pods_that_must_start_stay_within_the_capability(capability, codes):
    assert set(pending(gang(), NOTHING_KNOWN, queue(capability=capability))) == codes


def test_the_cheapest_pods_count_where_any_may_start():
    job = right_job(2, 8)
    job["spec"]["queue"] = "default"
    job["spec"]["tasks"][1]["template"]["spec"]["containers"][0]["resources"]["limits"][GPU] = 1
    job["spec"]["minAvailable"] = 3
    assert pending(job, NOTHING_KNOWN, queue(capability={GPU: 10})) == {}
    assert "ask for 10 nvidia.com/gpu" in pending(job, NOTHING_KNOWN, queue(capability={GPU: 9}))["L153"]


def test_what_other_queues_are_guaranteed_is_not_there():
    other = queue("other", deserved={GPU: 20}, guarantee={"resource": {GPU: 16}})
    assert pending(gang(4), machines(SIX), other) == {}
    assert set(pending(gang(5), machines(SIX), other)) == {"L160"}
    own = queue(deserved={GPU: 20}, guarantee={"resource": {GPU: 20}})
    assert pending(gang(5), machines(SIX), own) == {}
    below = queue("below", parent="other", deserved={GPU: 20}, guarantee={"resource": {GPU: 16}})
    assert pending(gang(5), machines(SIX), below) == {}


@pytest.mark.parametrize(
    ("hard", "codes"),
    [
        ({"pods": 4}, set()),
        ({"pods": 3}, {"L158"}),
        ({"count/pods": 3}, {"L158"}),
        ({"requests.nvidia.com/gpu": 32}, set()),
        ({"requests.nvidia.com/gpu": 31}, {"L158"}),
        ({"cpu": "3900m"}, {"L158"}),
        ({"limits.memory": "4Gi"}, set()),
        ({"limits.memory": "3Gi"}, {"L158"}),
        ({"secrets": 1, "services": 0}, set()),
    ],
)
def test_the_pods_that_must_start_stay_within_the_quota(hard, codes):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "corpus"}}
    assert set(pending(gang(), NOTHING_KNOWN, {**quota, "spec": {"hard": hard}})) == codes
    scoped = {"hard": hard, "scopes": ["BestEffort"]}
    assert pending(gang(), NOTHING_KNOWN, {**quota, "spec": scoped}) == {}
    elsewhere = {**quota, "metadata": {"name": "q", "namespace": "other"}}
    assert pending(gang(), NOTHING_KNOWN, {**elsewhere, "spec": {"hard": hard}}) == {}


def test_a_container_that_leaves_out_what_a_quota_counts_is_refused():
    job = gang(1, 0)
    del pod(job)["containers"][0]["resources"]["limits"]["cpu"]
    known = Surroundings(quotas=(Quota("q", "corpus", {"limits.cpu": Decimal(100)}),))
    assert "every container must name it" in pending(job, known)["L158"]
    pod(job)["containers"][0]["resources"]["limits"]["cpu"] = "1"
    assert pending(job, known) == {}


# ---------------------------------------------------------------- where it is known from
def test_a_listing_of_a_cluster_tells_which_queues_and_classes_there_are():
    job = gang(1, 0, queue="mine", priorityClassName="fast")
    some = [
        queue("other"),
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "slow"}},
    ]
    assert [each.code for each in lint(from_objects([job, *some])) if each.severity is Severity.ERROR] == []
    system = {**some[1], "metadata": {"name": "system-node-critical"}}
    root = {**queue("root"), "status": {"state": "Open"}}
    found = lint(from_objects([job, *some, root, system]))
    assert {each.code for each in found if each.severity is Severity.ERROR} == {"L132", "L157"}


@pytest.mark.parametrize(
    ("name", "status", "found"),
    [
        ("q", "Open", False),
        ("q", "Closed", True),
        ("q", "Closing", True),
        ("up", "Open", True),
        ("root", "Open", True),
    ],
)
def test_a_job_needs_an_open_leaf(name, status, found):
    listed = [
        {**queue("q"), "status": {"state": status}},
        queue("up"),
        queue("low", parent="up"),
        queue("root"),
    ]
    codes = {each.code for each in lint(from_objects([gang(1, 0, queue=name), *listed]))}
    assert ("L132" in codes) == found


@pytest.mark.parametrize(("taint", "codes"), [("held", {"L161"}), ("node.kubernetes.io/not-ready", set())])
def test_nodes_are_read_with_the_taints_that_stay(taint, codes):
    """A machine that is not ready, under pressure or in maintenance may be free again when the job comes."""
    text = f"""
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Node
  metadata: {{name: one, labels: {{tiers.dev/pool: a100}}}}
  spec: {{unschedulable: true, taints: [{{key: {taint}, effect: NoExecute}}]}}
  status: {{allocatable: {{cpu: "4", memory: 8Gi, pods: "110", nvidia.com/gpu: "2"}}}}
"""
    found = lint((*from_objects([gang(2, 1)]), *from_text(text, "nodes.yaml")))
    assert {each.code for each in found if each.code in STAYS_PENDING} == codes


def test_tiers_yaml_knows_its_machines_services_and_names(topology):
    hospital = known_from_topology(topology())
    assert set(pending(gang(6), hospital)) == {"L156"}
    assert pending(gang(5), hospital) == {}
    assert set(pending(gang(7), hospital)) == {"L155"}
    job = gang(1, 8)
    pod(job)["nodeSelector"] = {"tiers.dev/pool": "h100"}
    assert set(pending(job, hospital)) == {"L154"}
    assert set(pending(gang(1, 1, priorityClassName="urgent"), hospital)) == {"L157"}
    assert pending(gang(1, 1, priorityClassName="emergency"), hospital) == {}


def test_one_cluster_of_several_has_only_its_own_machines(topology):
    split = {
        "main": {"context": "hospital", "tiers": ["edge", "warm", "cold"]},
        "gpu": {"context": "gpus", "tiers": ["hot"]},
    }
    known = topology({"clusters": split})
    assert {each.name for each in known_from_topology(known, "gpu").machines} == {"a100", "h100"}
    assert pending(gang(1), known_from_topology(known, "gpu")) == {}
    assert set(pending(gang(1), known_from_topology(known, "main"))) == {"L161"}


def test_deployments_beside_the_job_hold_their_gpus_but_not_twice(topology):
    hospital = known_from_topology(topology())
    service = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "s", "namespace": "n", "labels": {"tiers.dev/topology": "medical-imaging"}},
        "spec": {"replicas": 7, "template": {"spec": copy.deepcopy(pod(gang(1, 1)))}},
    }
    assert pending(gang(5), hospital, service) == {}
    service["metadata"]["labels"] = {}
    assert set(pending(gang(5), hospital, service)) == {"L156"}


def test_the_codes_of_pending_are_errors_and_say_so():
    listed = [rule for rule in RULES if rule.code in STAYS_PENDING]
    assert len(listed) == 12
    for rule in listed:
        assert rule.severity is Severity.ERROR
        assert "would stay Pending" in rule.why
    assert not any("would stay Pending" in rule.why for rule in RULES if rule not in listed)


def test_the_hospital_refuses_none_of_its_own_jobs(topology):
    hospital = topology()
    found = check_objects((each.body for each in render(hospital)), known_from_topology(hospital))
    assert [str(each) for each in found if each.severity is Severity.ERROR] == []
    crowded = topology(
        {"services": {"medical-ai": {"replicas": {"min": 20, "max": 40}, "scale": {"peaks": []}}}}
    )
    refused = check_objects((each.body for each in render(crowded)), known_from_topology(crowded))
    assert [
        (each.code, each.place.where.split()[1]) for each in refused if each.severity is Severity.ERROR
    ] == [("L156", "medical-imaging/seg3d")]
