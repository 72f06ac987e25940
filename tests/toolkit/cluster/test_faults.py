"""Killed at every request and repeated, or disturbed at every request: the cluster ends as tiers.yaml says."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from tests.cluster.faults import CountingPool, Fault, StumblingPool, Work, killed_at
from toolkit.cluster.apply import Applied, apply
from toolkit.cluster.applyset import ApplySet
from toolkit.cluster.carry_out import carry_out
from toolkit.cluster.delete import delete_all, find_doomed
from toolkit.cluster.history import Author, Revision, revisions, stored, with_revision
from toolkit.cluster.live import key_of
from toolkit.cluster.lock import Claim
from toolkit.cluster.plan import plan_of
from toolkit.cluster.refusal import RefusedError
from toolkit.cluster.request import Connection
from toolkit.cluster.rollback import find_rollback
from toolkit.render.objects import render
from toolkit.render.rendered import RenderedObject
from toolkit.topology.topology import Topology

ME = Author("nurse@ward")
CLAIM = Claim("a test")
BRIEF = Claim("a test", duration_seconds=10)
"""So long that no machine is too slow to renew it."""
LOOKS_AGAIN, SLACK = 1, 60
"""Seconds: between two looks at a lock; and what a server that is busy may add to a wait."""
AFTER = Claim("the next one", break_lock=True)
SMALL = 12
"""Objects of the small topology."""
KINDS = 6
"""Kinds of these objects."""
POINTS = 10
"""How often an apply of the hospital is killed, each time at another request."""

PLACES = {
    "Namespace": "/api/v1/namespaces",
    "ConfigMap": "/api/v1/configmaps",
    "Secret": "/api/v1/secrets",
    "Service": "/api/v1/services",
    "DaemonSet": "/apis/apps/v1/daemonsets",
    "Deployment": "/apis/apps/v1/deployments",
    "PriorityClass": "/apis/scheduling.k8s.io/v1/priorityclasses",
    "NodeGroup": "/apis/apps.kubeedge.io/v1alpha1/nodegroups",
    "Queue": "/apis/scheduling.volcano.sh/v1beta1/queues",
    "Job": "/apis/batch.volcano.sh/v1alpha1/jobs",
    "ServiceAccount": "/api/v1/serviceaccounts",
    "PodDisruptionBudget": "/apis/policy/v1/poddisruptionbudgets",
    "ScaledObject": "/apis/keda.sh/v1alpha1/scaledobjects",
    "ServiceMonitor": "/apis/monitoring.coreos.com/v1/servicemonitors",
    "PodMonitor": "/apis/monitoring.coreos.com/v1/podmonitors",
    "PrometheusRule": "/apis/monitoring.coreos.com/v1/prometheusrules",
}
"""Every kind of the hospital, and where the server lists it."""

NOWHERE = {"count": None, "labels": None}
SMALL_TOPOLOGY: dict = {
    # Machines that do not exist, so that no pod starts; no queue keeps machines from the tests beside this one.
    "tiers": {
        "edge": {
            "pools": {
                "ultrasound": {"nodes": {**NOWHERE, "names": ["nowhere-1"]}},
                "endoscopy": {"nodes": {"names": ["nowhere-2"]}, "devices": None},
            }
        }
    },
    "monitoring": None,
    # fixed for ever, with queues and without
    "priorities": {"emergency": 1_000_000, "normal": 100_000, "batch": {"value": 1000, "preempts": True}},
    "queues": {"research": {"guarantee": None}, "spare": {"tier": "hot", "capability": {"gpus": 8}}},
    "models": {"us-segmentation": {"offload": None}},
    "services": None,
    "jobs": None,
}
LESS: dict = {"tiers": {"edge": {"pools": {"endoscopy": None}}}, "queues": None}
"""Without a pool, whose kinds stay, and without queues, of which no rendered kind reminds anybody."""
GONE = {"NodeGroup", "ConfigMap", "DaemonSet", "Queue"}
DELETIONS = 5


# ---------------------------------------------------------------- what is done
def wanted(topology: Topology) -> list[RenderedObject]:
    return [each for each in render(topology) if not each.submitted]


def apply_all(connection: Connection, topology: Topology, claim: Claim = CLAIM) -> Applied:
    """Do what `tiers apply` does: plan, take the lock, write, prune, write the history."""
    plan = plan_of(connection, topology.name, wanted(topology))
    keep = partial(with_revision, connection, topology.name, wanted(topology), author=ME)
    return carry_out(connection, topology.name, plan, claim, finish=lambda done: keep(applied=done))


def go_back(connection: Connection, topology: Topology, claim: Claim = CLAIM) -> Applied:
    """Do what `tiers rollback 1` does."""
    plan = find_rollback(connection, own(topology), 1).planned
    author = replace(ME, rollback_of=1)
    keep = partial(with_revision, connection, topology.name, plan.plan.rendered(), author=author)
    return carry_out(connection, topology.name, plan, claim, finish=lambda done: keep(applied=done))


def delete_everything(connection: Connection, topology: Topology, claim: Claim = CLAIM) -> Applied:
    """Do what `tiers delete` does."""
    found = find_doomed(connection, topology.name, wanted(topology))
    return delete_all(connection, topology.name, wanted(topology), claim, found=found)


def own(topology: Topology) -> ApplySet:
    return ApplySet(topology.name, topology.name)


# ---------------------------------------------------------------- what must hold
def requests_of(site, work: Work) -> CountingPool:
    """Do it undisturbed and give every request that it took."""
    counting = CountingPool(site.connection.pool)
    work(replace(site.connection, pool=counting), site.topology)
    return counting


def there(site) -> dict[tuple[str, str], str]:
    """Give kind, name and uid of everything that carries the topology's name, as the server tells a stranger."""
    found = {}
    for kind, place in PLACES.items():
        for item in site.api.items(f"{place}?labelSelector=tiers.dev/topology={site.name}"):
            found[kind, item["metadata"]["name"]] = item["metadata"]["uid"]
    return found


def assert_converged(site) -> dict[tuple[str, str], str]:
    """Apply again, then hold the cluster against tiers.yaml; give what is there."""
    applied = apply_all(site.connection, site.topology, AFTER)
    assert [(each.label, each.message) for each in applied.failed] == []
    assert applied.note == ""
    assert requests_of(site, apply_all).writes == [], "the next apply finds no difference and sends nothing"
    found = there(site)
    assert set(found) == expected(site)
    assert_history(site, wanted(site.topology))
    return found


def expected(site) -> set[tuple[str, str]]:
    """Name what is rendered, and what is kept beside it: the parent of the set and the revisions."""
    known = {f"tiers.{site.name}.revision-{each.number}" for each in history(site)}
    kept = {("ConfigMap", name) for name in {f"tiers.{site.name}", *known}}
    return kept | {(each.kind, each.name) for each in wanted(site.topology)}


def history(site) -> tuple[Revision, ...]:
    return revisions(site.connection, own(site.topology))


def assert_history(site, newest: list[RenderedObject]) -> None:
    """See that every revision can be read, that the newest says what is there, and that none came twice."""
    known = history(site)
    members = [stored(site.connection, own(site.topology), each) for each in known]
    assert {key_of(each.body) for each in members[-1]} == {key_of(each.body) for each in newest}
    assert [each.number for each in known] == list(range(1, len(known) + 1))
    assert all(one.digest != other.digest for one, other in itertools.pairwise(known))


# ---------------------------------------------------------------- fixtures
@pytest.fixture
def small(site) -> Callable[..., object]:
    """Give `small()`: a new topology of twelve objects each time, with no machines of its own."""
    return lambda: site(SMALL_TOPOLOGY)


def clean_run(small) -> int:
    """Count the requests of an apply from empty."""
    first = small()
    assert len(wanted(first.topology)) == SMALL
    counted = len(requests_of(first, apply_all).asked)
    assert counted > SMALL, "every object and every kind is a request"
    assert_converged(first)
    return counted


@pytest.fixture
def less_of(topology) -> Callable[..., object]:
    """Give `less_of(site)`: the same site when tiers.yaml has lost a pool and the queues."""
    return lambda full: full.changed(topology({**merged(SMALL_TOPOLOGY, LESS), "name": full.name}))


@pytest.fixture
def shrunk(small, less_of) -> Callable[[], tuple]:
    """Give `shrunk()`: a site that was applied before tiers.yaml lost something, and what is there still."""

    def make():
        full = small()
        assert apply_all(full.connection, full.topology).failed == ()
        return less_of(full), there(full)

    return make


def merged(*changes: dict) -> dict:
    """Lay changes over each other; None stays, because the fixture `topology` takes keys away for it."""
    result: dict = {}
    for each in changes:
        for key, value in each.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def is_deletion(method: str, place: str) -> bool:
    return method == "DELETE" and "/leases/" not in place


def assert_pruned(less, before: dict[tuple[str, str], str]) -> None:
    """See that exactly what tiers.yaml lost went, and that the rest is the same and not made anew."""
    after = assert_converged(less)
    gone = set(before) - set(after)
    assert len(gone) == DELETIONS
    assert {kind for kind, _ in gone} == GONE
    assert all(kind == "Queue" or "endoscopy" in name for kind, name in gone), gone
    assert without_history(after).items() <= before.items()
    assert len(history(less)) == 2


# ---------------------------------------------------------------- killed
def kill(work: Work, site, number: int, answered: bool, *, reads: bool = False) -> bool:
    """Kill it before or after its write of this number; with `reads`, before its request of this number.

    Between two writes the server is the same at every read, so an apply alone is killed at each of them.
    """
    kubeconfig = site.plane.kubeconfig
    return killed_at(work, site.topology, kubeconfig, number, answered=answered, writes_only=not reads)


def test_killed_once_and_repeated_it_converges(small):
    number = random.Random(1).randint(1, SMALL + KINDS)
    broken = small()
    assert killed_at(apply_all, broken.topology, broken.plane.kubeconfig, number, answered=True)
    assert_converged(broken)


@pytest.mark.faults
@pytest.mark.timeout(400)
@pytest.mark.parametrize("answered", [False, True], ids=["before it is sent", "after the server did it"])
def test_killed_at_every_request_and_repeated_it_converges(small, answered):
    assert clean_run(small) > SMALL
    for number in itertools.count(1):
        broken = small()
        killed = kill(apply_all, broken, number, answered, reads=not answered)
        assert_converged(broken)
        if not killed:  # it has no such request: it went through
            break
    assert number > SMALL if answered else number > SMALL + KINDS


@pytest.mark.faults
@pytest.mark.timeout(400)
def test_the_hospital_killed_at_ten_points_and_repeated_converges(site):
    chosen = random.Random(3)
    first = site()
    total = (
        len(requests_of(first, apply_all).asked) - 2
    )  # a busy server is asked a request twice now and then
    assert total > len(wanted(first.topology))
    killed = 0
    for point in chosen.sample(range(1, total + 1), POINTS):
        broken, answered = site(), chosen.random() < 0.5
        killed += killed_at(apply_all, broken.topology, broken.plane.kubeconfig, point, answered=answered)
        assert_converged(broken)
    assert killed >= POINTS - 2, "those at the end may not come where the counted one was asked more often"


def test_killed_once_while_it_prunes_and_repeated_it_prunes_what_is_left_over(shrunk):
    less, before = shrunk()
    assert killed_at(apply_all, less.topology, less.plane.kubeconfig, 2, answered=True, method="DELETE")
    pruned = before.keys() - there(less).keys()
    assert 2 <= len(pruned) < DELETIONS, pruned
    assert_pruned(less, before)


@pytest.mark.faults
@pytest.mark.timeout(400)
@pytest.mark.parametrize("answered", [False, True], ids=["before it is sent", "after the server did it"])
def test_killed_at_every_write_of_a_prune_and_repeated_it_prunes_what_is_left_over(shrunk, answered):
    for number in itertools.count(1):
        less, before = shrunk()
        killed = kill(apply_all, less, number, answered)
        assert_pruned(less, before)
        if not killed:
            break
    assert number > DELETIONS


@pytest.mark.faults
@pytest.mark.timeout(400)
def test_killed_at_every_request_and_repeated_with_less_nothing_is_forgotten(small, less_of):
    """What a killed apply wrote is known also to one that does not render its kind any more."""
    for number in itertools.count(1):
        full = small()
        killed = kill(apply_all, full, number, answered=True)
        assert_converged(less_of(full))
        if not killed:
            break
    assert number > SMALL


@pytest.mark.faults
@pytest.mark.timeout(400)
def test_killed_at_every_write_of_a_rollback_and_repeated_it_restores(shrunk):
    for number in itertools.count(1):
        less, before = shrunk()
        assert apply_all(less.connection, less.topology).failed == ()
        killed = kill(go_back, less, number, number % 2 == 0)
        assert go_back(less.connection, less.topology, AFTER).failed == ()
        assert without_history(there(less)).keys() == without_history(before).keys()
        assert history(less)[-1].digest == history(less)[0].digest
        assert requests_of(less, go_back).writes == []
        if not killed:
            break
    assert number > DELETIONS


@pytest.mark.faults
@pytest.mark.timeout(400)
def test_killed_at_every_write_of_a_deletion_and_repeated_all_is_gone(small):
    for number in itertools.count(1):
        full = small()
        assert apply_all(full.connection, full.topology).failed == ()
        answered = number % 2 == 0
        killed = kill(delete_everything, full, number, answered)
        applied = delete_everything(full.connection, full.topology, AFTER)
        assert [(each.label, each.message) for each in applied.failed] == []
        assert without_history(there(full)).keys() == {("Namespace", full.name)}
        if not killed:
            break
    assert number >= SMALL


def without_history(found: dict[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    return {key: uid for key, uid in found.items() if ".revision-" not in key[1]}


def apply_briefly(connection: Connection, topology: Topology) -> Applied:
    return apply_all(connection, topology, BRIEF)


@pytest.mark.faults
@pytest.mark.timeout(400)
def test_the_lock_of_a_killed_apply_ends_by_itself(small):
    asked = requests_of(small(), apply_briefly).asked
    taken = max(at for at, (method, place) in enumerate(asked, 1) if method == "POST" and "/leases" in place)
    points = [taken, (taken + len(asked)) // 2]
    assert taken < points[1]
    for number in points:
        broken = small()
        assert killed_at(apply_briefly, broken.topology, broken.plane.kubeconfig, number, answered=True)
        begin = time.monotonic()
        not_long = replace(CLAIM, wait_seconds=BRIEF.duration_seconds + LOOKS_AGAIN + SLACK)
        assert apply_all(broken.connection, broken.topology, not_long).failed == ()
        assert time.monotonic() - begin > 0.5, "it is waited for"
        assert_converged(broken)


# ---------------------------------------------------------------- disturbed
@pytest.mark.parametrize("fault", list(Fault), ids=lambda each: each.value)
def test_a_fault_at_every_request_does_not_show(small, fault):
    disturbed = small()
    stumbling = StumblingPool(disturbed.connection.pool, fault)
    applied = apply_all(replace(disturbed.connection, pool=stumbling), disturbed.topology)
    assert len(stumbling.stumbled) > SMALL
    assert [(each.label, each.message) for each in applied.failed] == []
    assert_converged(disturbed)


@pytest.mark.parametrize("fault", list(Fault), ids=lambda each: each.value)
def test_a_fault_at_every_request_of_a_prune_does_not_show(shrunk, fault):
    less, before = shrunk()
    stumbling = StumblingPool(less.connection.pool, fault)
    applied = apply_all(replace(less.connection, pool=stumbling), less.topology)
    assert sum(is_deletion(*each) for each in stumbling.stumbled) == DELETIONS
    assert [(each.label, each.message) for each in applied.failed] == []
    assert_pruned(less, before)


def test_a_schema_error_is_final(small):
    """A wrong type in a custom resource is a 500 too, and no attempt makes it right."""
    broken = small()
    queue = next(each for each in wanted(broken.topology) if each.kind == "Queue")
    wrong = replace(queue, body={**queue.body, "spec": {"weight": "much"}})
    counting = CountingPool(broken.connection.pool)
    connection = replace(broken.connection, pool=counting)
    (applied,) = apply(connection, broken.name, [wrong]).objects
    assert applied.failed
    assert "expected numeric" in applied.message
    assert len(counting.writes) == 1
    with pytest.raises(RefusedError) as caught:
        connection.send("PATCH", f"{counting.writes[0][1]}", {"fieldManager": "tiers"}, wrong.body)
    assert caught.value.status == 500
