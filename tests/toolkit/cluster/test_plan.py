"""A plan on a real API server: done verbatim when nothing moved, refused with names when something did."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from toolkit.cluster.apply import Outcome, apply, raise_for
from toolkit.cluster.carry_out import carry_out
from toolkit.cluster.diff import Action, diff
from toolkit.cluster.kinds import Kinds
from toolkit.cluster.lock import Claim, LockedError, hold
from toolkit.cluster.outcome import Applied
from toolkit.cluster.plan import ClusterPlan, Planned, plan_of
from toolkit.cluster.prune import delete, seen
from toolkit.cluster.recheck import PlanRefusedError
from toolkit.errors import PartlyAppliedError

NOWHERE = {
    name: {"nodes": {"count": None, "names": [f"{name}-of-nobody"]}, "devices": None}
    for name in ("ultrasound", "endoscopy")
}
CUT = {
    "jobs": None,
    "services": None,
    "monitoring": None,
    "models": {"us-segmentation": {"offload": None}},
    "priorities": {"batch": {"value": 1000, "preempts": True}},  # fixed for ever, with queues and without
    "tiers": {"edge": {"pools": NOWHERE}},
}
"""The hospital without jobs and services, and with devices that are not there: so no pod has to come and go."""
ME = Claim("anna@desk", command="tiers apply p", again="tiers plan -o p")


def queue(site) -> str:
    return f"/apis/scheduling.volcano.sh/v1beta1/queues/{site.name}-research"


def config_map(site) -> str:
    return f"/api/v1/namespaces/{site.name}/configmaps/tiers-edge-endoscopy-jetson-orin-nano"


def daemon_set(site) -> str:
    return f"/apis/apps/v1/namespaces/{site.name}/daemonsets/tiers-edge-endoscopy-jetson-orin-nano"


def planned(site) -> ClusterPlan:
    return plan_of(site.connection, site.name, site.objects).plan


def do(site, plan: ClusterPlan, **more: object) -> Applied:
    return carry_out(site.connection, site.name, Planned(plan), ME, **more)


def written(site) -> list[tuple[str, str]]:
    """Give the writes of this topology's objects, without locks, dry runs and other tests' names."""
    return [
        (verb, path)
        for verb, path in site.plane.writes()
        if site.name in path and "dryRun" not in path and "/leases" not in path
    ]


@pytest.fixture
def hospital(site):
    """The hospital, applied."""
    made = site(CUT)
    assert made.apply().failed == ()
    return made


@pytest.fixture
def changed(hospital, topology):
    """The hospital with another size of a queue and another room for a DaemonSet."""
    queues = {"research": {"deserved": {"gpus": 24}}}
    moved = {**NOWHERE["endoscopy"], "placement": {"labels": {"room": "7"}}}
    tiers = {"edge": {"pools": {**NOWHERE, "endoscopy": moved}}}
    return hospital.changed(topology({"name": hospital.name, **CUT, "queues": queues, "tiers": tiers}))


def test_a_plan_is_done_verbatim_and_again_it_does_nothing(site):
    hospital = site(CUT)
    plan = planned(hospital)
    assert {each.action for each in plan.objects} == {Action.CREATE}
    assert written(hospital) == [], "a plan changes nothing"
    first = do(hospital, plan)
    assert {each.outcome for each in first.objects} == {Outcome.CREATED}
    assert hospital.diff().differences == ()
    again = do(hospital, plan)
    assert {each.outcome for each in again.objects} == {Outcome.UNCHANGED}
    assert hospital.api.items(f"/apis/coordination.k8s.io/v1/namespaces/{hospital.name}/leases") == []


def test_only_what_differs_is_written_over_the_version_that_was_looked_at(changed):
    plan = planned(changed)
    begin = len(written(changed))
    done = do(changed, plan)
    assert done.count(Outcome.CHANGED) == 2
    assert len(written(changed)) - begin == 2
    assert changed.diff().differences == ()


def test_a_plan_without_work_takes_no_lock(hospital):
    plan, begin = planned(hospital), len(hospital.plane.writes())
    assert plan.work == 0
    assert do(hospital, plan).count(Outcome.UNCHANGED) == len(plan.objects)
    assert len(hospital.plane.writes()) == begin


def refusal(site, plan: ClusterPlan) -> PlanRefusedError:
    begin = written(site)
    with pytest.raises(PlanRefusedError, match="nothing was written") as caught:
        do(site, plan)
    assert written(site) == begin
    assert caught.value.exit_code == 7
    assert caught.value.hint == "tiers plan -o p"
    return caught.value


def test_what_somebody_changed_is_named_with_who_and_when(changed):
    plan = planned(changed)
    changed.api.merge(queue(changed), {"spec": {"weight": 7}}, manager="kubectl-edit")
    (move,) = refusal(changed, plan).moves
    assert move.label == f"Queue {changed.name}-research"
    assert move.what.startswith("it was changed (by ")
    assert "kubectl-edit at 20" in move.what


def test_what_was_deleted_or_made_anew_is_named(changed):
    plan = planned(changed)
    changed.api.delete(queue(changed))
    (move,) = refusal(changed, plan).moves
    assert move.what == "it is gone"
    body = next(
        each.body for each in plan.objects if each.body["kind"] == "Queue" and "research" in str(each.body)
    )
    changed.api.apply(queue(changed), body, manager="somebody")
    (move,) = refusal(changed, plan).moves
    assert "made anew (by " in move.what


def test_what_came_in_between_is_named(site):
    hospital = site(CUT)
    plan = planned(hospital)
    hospital.api.create("/api/v1/namespaces", {"metadata": {"name": hospital.name}})
    (move,) = refusal(hospital, plan).moves
    assert move.label == f"Namespace {hospital.name}"
    assert "it is there already" in move.what


def test_an_object_that_needed_nothing_and_now_does_is_named(changed):
    plan = planned(changed)
    changed.api.merge(config_map(changed), {"data": {"config.json": "{}"}}, manager="kubectl-edit")
    (move,) = refusal(changed, plan).moves
    assert move.label.startswith("ConfigMap")
    assert "kubectl-edit" in move.what


def test_a_new_member_of_the_set_is_named(changed):
    plan = planned(changed)
    one = next(each.body for each in plan.objects if each.body["kind"] == "ConfigMap")
    metadata = {**one["metadata"], "name": "more"}
    changed.api.apply(config_map(changed).rpartition("/")[0] + "/more", {**one, "metadata": metadata})
    (move,) = refusal(changed, plan).moves
    assert move.label == f"ConfigMap {changed.name}/more"
    assert "does not know" in move.what


def test_the_parent_that_volcano_gives_a_queue_is_no_move(hospital, topology, wait_until):
    """A plan that was made between `tiers apply` and the controller's patch of the new queue."""
    fewer = hospital.changed(topology({"name": hospital.name, "queues": {"research": None}, **CUT}))
    wait_until(lambda: hospital.api.get(queue(hospital))["spec"].get("parent") == "root", "Volcano's default")
    plan = planned(fewer)
    (doomed,) = plan.deletions
    early = hospital.api.get(queue(hospital))
    del early["spec"]["parent"]
    looked = msgspec.structs.replace(doomed, live=replace(seen(doomed.live.key, early), version="1"))
    assert looked.live.content != doomed.live.content
    assert do(fewer, msgspec.structs.replace(plan, deletions=(looked,))).count(Outcome.PRUNED) == 1
    assert hospital.api.gone(queue(hospital))


def test_the_parent_is_no_change_to_what_is_deleted_by_hand(hospital, wait_until):
    wait_until(lambda: hospital.api.get(queue(hospital))["spec"].get("parent") == "root", "Volcano's default")
    early = hospital.api.get(queue(hospital))
    del early["spec"]["parent"]
    key = ("scheduling.volcano.sh/v1beta1", "Queue", "", early["metadata"]["name"])
    looked = replace(seen(key, early), version="1")
    kinds = Kinds(hospital.connection)
    (other,) = delete(kinds, [replace(looked, content="another")])
    assert (other.outcome, other.message) == (
        Outcome.REFUSED,
        "somebody has changed it since it was looked at",
    )
    assert [each.outcome for each in delete(kinds, [looked])] == [Outcome.PRUNED]


def test_what_would_be_deleted_and_was_changed_is_named(hospital, topology):
    fewer = hospital.changed(topology({"name": hospital.name, "queues": {"research": None}, **CUT}))
    plan = planned(fewer)
    assert [each.live.key[1] for each in plan.deletions] == ["Queue"]
    hospital.api.merge(queue(hospital), {"spec": {"weight": 7}}, manager="kubectl-edit")
    (move,) = refusal(fewer, plan).moves
    assert "would be deleted" in move.what
    assert do(fewer, planned(fewer)).count(Outcome.PRUNED) == 1
    assert do(fewer, plan).count(Outcome.PRUNED) == 0, "gone is gone"


def test_a_status_and_other_peoples_labels_on_what_needs_nothing_are_no_move(changed):
    plan = planned(changed)
    changed.api.merge(queue(changed) + "/status", {"status": {"running": 1}}, manager="controller")
    changed.api.merge(config_map(changed), {"metadata": {"labels": {"seen-by": "somebody"}}})
    assert do(changed, plan).count(Outcome.CHANGED) == 2


def test_another_cluster_behind_the_context_is_refused(changed):
    plan = msgspec.structs.replace(planned(changed), uid="another")
    begin = written(changed)
    with pytest.raises(PlanRefusedError, match="is another cluster now") as caught:
        do(changed, plan)
    assert "kubeconfig" in caught.value.hint
    assert written(changed) == begin


# ---------------------------------------------------------------- between the last look and the write
def test_the_server_refuses_what_changed_after_the_last_look(changed):
    found = diff(changed.connection, changed.name, changed.objects)
    changed.api.merge(queue(changed), {"metadata": {"annotations": {"seen": "yes"}}}, manager="kubectl-edit")
    done = apply(changed.connection, changed.name, changed.objects, found=found, exact=True)
    (failed, *_) = done.failed
    assert (failed.outcome, failed.kind) == (Outcome.REFUSED, "Queue")
    assert "since it was looked at" in failed.message
    assert changed.api.get(queue(changed))["spec"]["deserved"]["nvidia.com/gpu"] == "32"


def test_a_status_that_moved_after_the_last_look_is_no_reason(changed):
    found = diff(changed.connection, changed.name, changed.objects)
    changed.api.merge(queue(changed) + "/status", {"status": {"running": 1}}, manager="controller")
    done = apply(changed.connection, changed.name, changed.objects, found=found, exact=True)
    assert (done.failed, done.count(Outcome.CHANGED)) == ((), 2)


def test_a_write_whose_answer_was_lost_has_happened(changed):
    found = diff(changed.connection, changed.name, changed.objects)
    assert apply(changed.connection, changed.name, changed.objects).failed == ()
    done = apply(changed.connection, changed.name, changed.objects, found=found, exact=True)
    assert done.failed == ()


# ---------------------------------------------------------------- one writer, and how it ends early
def test_a_lost_lock_stops_before_the_next_write(site, wait_until: Callable[..., None]):
    hospital = site(CUT)
    plan, taken = planned(hospital), threading.Event()
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{hospital.name}/leases/tiers-{hospital.name}"

    def steal(done: object) -> None:
        if taken.is_set() or done.kind != "PriorityClass":
            return
        taken.set()
        spec = {"holderIdentity": "ben@desk 2"}
        hospital.api.merge(lease, {"spec": spec})
        wait_until(lock_is_lost, "the holder has noticed")

    found: list[threading.Thread] = []

    def lock_is_lost() -> bool:
        found[:] = [each for each in threading.enumerate() if each.name == "lock"]
        return not found

    # It looks every 3 s; shorter, and a slow server alone would cost the lock.
    quick = Claim("anna@desk", duration_seconds=9)
    done = carry_out(hospital.connection, hospital.name, Planned(plan), quick, progress=steal)
    assert done.count(Outcome.CREATED) >= 2
    assert done.count(Outcome.NOT_TRIED) >= 5
    with pytest.raises(PartlyAppliedError, match=r"the lock was taken by ben@desk 2") as caught:
        raise_for([done])
    assert caught.value.exit_code == 4
    assert hospital.api.get(lease)["spec"]["holderIdentity"] == "ben@desk 2", "not ours to give back"
    hospital.api.delete(lease)
    assert do(hospital, plan).failed == (), "the same plan goes on where it was"
    assert hospital.diff().differences == ()


def test_an_interrupt_stops_before_the_next_write_and_the_lock_is_given_back(site):
    hospital = site(CUT)
    plan, stop = planned(hospital), threading.Event()
    done = do(hospital, plan, stop=stop, progress=lambda _: stop.set())
    assert done.count(Outcome.CREATED) < len(plan.objects)
    assert all("interrupted" in each.message for each in done.failed)
    assert hospital.api.items(f"/apis/coordination.k8s.io/v1/namespaces/{hospital.name}/leases") == []
    assert do(hospital, plan).failed == ()


def test_nobody_writes_while_another_one_does(changed):
    plan, begin = planned(changed), written(changed)
    with (
        hold(changed.connection, changed.name, changed.name, Claim("ben@desk")),
        pytest.raises(LockedError, match="ben@desk"),
    ):
        do(changed, plan)
    assert written(changed) == begin
