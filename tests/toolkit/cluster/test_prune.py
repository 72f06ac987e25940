"""Ownership and pruning on a real API server: what goes, what stays, and that nothing else is touched."""

from __future__ import annotations

import pytest

from toolkit.cluster.apply import Outcome, apply
from toolkit.cluster.applyset import KINDS_ANNOTATION, PART_OF_LABEL, TOOLING_ANNOTATION, ApplySet
from toolkit.cluster.diff import Action, diff
from toolkit.cluster.rules import Rules
from toolkit.errors import ClusterError, GateRefusedError
from toolkit.render.rendered import RenderedObject

GONE = {"NodeGroup", "ConfigMap", "DaemonSet"}
NAMESPACED = (
    "/api/v1/{}/configmaps", "/api/v1/{}/secrets", "/api/v1/{}/services", "/api/v1/{}/serviceaccounts",
    "/apis/apps/v1/{}/daemonsets", "/apis/apps/v1/{}/deployments", "/apis/batch.volcano.sh/v1alpha1/{}/jobs",
)  # fmt: skip
CLUSTER_WIDE = (
    "/api/v1/namespaces", "/apis/scheduling.k8s.io/v1/priorityclasses",
    "/apis/scheduling.volcano.sh/v1beta1/queues", "/apis/apps.kubeedge.io/v1alpha1/nodegroups",
)  # fmt: skip
OWNED_ANNOTATION = "tiers.dev/prune"


def listing(site) -> dict[tuple[str, str], str]:
    """Give everything of the namespace and everything cluster-wide: place and name → uid."""
    places = [place.format(f"namespaces/{site.name}") for place in NAMESPACED] + list(CLUSTER_WIDE)
    found = [(place, each["metadata"]) for place in places for each in site.api.items(place)]
    going = {each["name"] for _, each in found if "deletionTimestamp" in each}  # namespaces of earlier tests
    return {(place, each["name"]): each["uid"] for place, each in found if each["name"] not in going}


def parent(site) -> dict:
    own = ApplySet(site.name, site.name)
    return site.api.get(f"/api/v1/namespaces/{site.name}/configmaps/{own.name}")["metadata"]


def config_map(site, pool: str = "labs-jetson-orin-nano") -> str:
    return f"/api/v1/namespaces/{site.name}/configmaps/tiers-edge-{pool}"


def deletions(site, since: int) -> list[str]:
    return [path.partition("?")[0] for verb, path in site.plane.writes()[since:] if verb == "delete"]


def test_a_pool_that_is_taken_away_goes_with_exactly_its_objects(two_pools, one_pool, wait_until):
    site = two_pools()
    site.apply()
    accounts = f"/api/v1/namespaces/{site.name}/serviceaccounts"
    wait_until(lambda: site.api.items(accounts), "the controllers have made what every namespace gets")
    before, begin = listing(site), site.requests()
    smaller = one_pool(site)
    shown = smaller.diff().differences
    assert {(each.action, each.kind) for each in shown} == {(Action.PRUNE, kind) for kind in GONE}

    applied = smaller.apply()
    assert applied.failed == ()
    assert {each.kind for each in applied.objects if each.outcome is Outcome.PRUNED} == GONE
    after = listing(site)
    gone = {(place.rpartition("/")[2], name) for place, name in before.keys() - after.keys()}
    assert gone == {
        ("nodegroups", f"{site.name}-labs"),
        ("configmaps", "tiers-edge-labs-jetson-orin-nano"),
        ("daemonsets", "tiers-edge-labs-jetson-orin-nano"),
    }
    assert after.items() <= before.items(), "nothing is new and nothing was made anew"
    written = [(verb, path) for verb, path in site.plane.writes()[begin:] if "dryRun" not in path]
    kinds = [path.split("/")[-2] for verb, path in written]
    assert [verb for verb, _ in written] == ["delete"] * 3, "the parent has the same kinds as before"
    assert kinds == ["daemonsets", "configmaps", "nodegroups"], "in reverse order"

    begin = site.requests()
    assert smaller.apply().count(Outcome.UNCHANGED) == len(smaller.objects)
    assert site.requests() == begin


def test_the_parent_forgets_a_kind_when_its_last_object_is_gone(two_pools, without_queue):
    site = two_pools()
    site.apply()
    before = parent(site)
    assert before["labels"]["applyset.kubernetes.io/id"] == ApplySet(site.name, site.name).id
    assert before["annotations"][TOOLING_ANNOTATION].startswith("tiers/")
    assert before["annotations"][KINDS_ANNOTATION].split(",") == [
        "ConfigMap", "DaemonSet.apps", "Namespace", "NodeGroup.apps.kubeedge.io",
        "PriorityClass.scheduling.k8s.io", "Queue.scheduling.volcano.sh",
    ]  # fmt: skip
    bare = without_queue(site)
    assert [each.kind for each in bare.diff().having(Action.PRUNE)] == ["Queue"]
    assert bare.apply().failed == ()
    assert "Queue.scheduling.volcano.sh" not in parent(site)["annotations"][KINDS_ANNOTATION]
    assert bare.diff().differences == ()


def test_what_is_annotated_stays_and_is_no_difference(two_pools, one_pool):
    site = two_pools()
    site.apply()
    site.api.merge(config_map(site), {"metadata": {"annotations": {OWNED_ANNOTATION: "false"}}})
    found = one_pool(site).diff()
    (kept,) = found.having(Action.LEFT_OVER)
    assert (kept.kind, kept.message) == ("ConfigMap", 'stays: it is annotated tiers.dev/prune: "false"')
    applied = one_pool(site).apply()
    assert applied.count(Outcome.PRUNED) == 2
    assert site.api.get(config_map(site))
    assert one_pool(site).diff().differences == ()


def test_without_pruning_everything_stays_and_is_found_the_next_time(two_pools, one_pool):
    site = two_pools()
    site.apply()
    assert one_pool(site).apply(prune=False).count(Outcome.LEFT_OVER) == 3
    assert site.api.get(config_map(site))
    assert len(one_pool(site).diff().having(Action.PRUNE)) == 3


def test_what_was_changed_since_it_was_looked_at_is_not_deleted(two_pools, one_pool):
    site = two_pools()
    site.apply()
    smaller = one_pool(site)
    found = smaller.diff()
    site.api.merge(config_map(site), {"metadata": {"annotations": {OWNED_ANNOTATION: "false"}}})
    applied = apply(smaller.connection, smaller.name, smaller.objects, found=found)
    (refused,) = [each for each in applied.failed if each.outcome is Outcome.REFUSED]
    assert refused.kind == "ConfigMap"
    assert "changed it since" in refused.message
    assert site.api.get(config_map(site))


def test_what_was_made_anew_since_it_was_looked_at_is_not_deleted(two_pools, one_pool):
    site = two_pools()
    site.apply()
    smaller = one_pool(site)
    found = smaller.diff()
    body = site.api.get(config_map(site))
    site.api.delete(config_map(site))
    for name in ("uid", "resourceVersion", "managedFields"):
        del body["metadata"][name]
    site.api.create(config_map(site).rpartition("/")[0], body)
    applied = apply(smaller.connection, smaller.name, smaller.objects, found=found)
    assert [each.kind for each in applied.failed if each.outcome is Outcome.REFUSED] == ["ConfigMap"]
    assert site.api.get(config_map(site))


def test_a_status_that_moved_is_no_reason_to_leave_it(two_pools, one_pool):
    site = two_pools()
    site.apply()
    smaller = one_pool(site)
    found = smaller.diff()
    path = f"/apis/apps/v1/namespaces/{site.name}/daemonsets/tiers-edge-labs-jetson-orin-nano"
    site.api.merge(f"{path}/status", {"status": {"numberAvailable": 7}})
    applied = apply(smaller.connection, smaller.name, smaller.objects, found=found)
    assert applied.failed == ()
    assert site.api.gone(path)


def test_nothing_is_pruned_when_something_was_refused(two_pools, one_pool):
    site = two_pools()
    site.apply()
    site.api.merge(config_map(site, "wards-jetson-orin-nx"), {"data": {"config.json": "{}"}}, "kubectl-edit")
    begin = len(site.plane.writes())
    applied = one_pool(site).apply()
    assert applied.count(Outcome.CONFLICT) == 1
    assert deletions(site, begin) == []
    assert site.api.get(config_map(site))


def test_most_of_a_site_goes_only_when_it_is_allowed(two_pools):
    site = two_pools()
    site.apply()
    begin = site.requests()
    namespace = [each for each in site.objects if each.kind == "Namespace"]
    with pytest.raises(GateRefusedError, match="10 of the 11 objects") as caught:
        apply(site.connection, site.name, namespace)
    assert caught.value.exit_code == 7
    assert "--allow-mass-deletion" in caught.value.hint
    assert site.requests() == begin, "nothing was written"
    applied = apply(site.connection, site.name, namespace, rules=Rules(allow_mass_deletion=True))
    assert applied.failed == ()
    assert applied.count(Outcome.PRUNED) == 10


def test_guarded_kinds_go_only_by_name(two_pools):
    site = two_pools()
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": site.name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip
    with_claim = (*site.objects, RenderedObject("main", "test", claim))
    assert apply(site.connection, site.name, with_claim).failed == ()
    (kept,) = site.diff().having(Action.LEFT_OVER)
    assert "--prune-kind PersistentVolumeClaim" in kept.message
    path = f"/api/v1/namespaces/{site.name}/persistentvolumeclaims/data"
    assert site.apply().failed == ()
    assert site.api.get(path)
    (doomed,) = site.diff(prune_kinds=frozenset({"PersistentVolumeClaim"})).having(Action.PRUNE)
    assert doomed.name == "data"
    assert site.apply(prune_kinds=frozenset({"PersistentVolumeClaim"})).count(Outcome.PRUNED) == 1
    claims = [each["metadata"] for each in site.api.items(path.rpartition("/")[0])]
    assert all("deletionTimestamp" in each for each in claims), "a finalizer may hold it, but it is going"


def test_a_foreign_object_is_found_on_an_empty_site_and_left_alone(two_pools):
    site = two_pools()
    site.api.create("/api/v1/namespaces", {"metadata": {"name": site.name}})
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"config.json": "mine"}}
    name = config_map(site).rpartition("/")[2]
    site.api.create(config_map(site).rpartition("/")[0], foreign | {"metadata": {"name": name}})
    found = site.diff()
    assert {each.kind for each in found.having(Action.FOREIGN)} == {"Namespace", "ConfigMap"}

    applied = site.apply()
    refused = [each for each in applied.failed if each.outcome is Outcome.REFUSED]
    assert [each.kind for each in refused] == ["Namespace"], "what leans on it is not tried"
    assert "--adopt" in refused[0].cure
    assert site.api.get(config_map(site))["data"] == {"config.json": "mine"}

    adopted = site.apply(adopt=True)
    assert [(each.kind, each.outcome) for each in adopted.failed[:1]] == [("ConfigMap", Outcome.CONFLICT)]
    assert site.api.get(config_map(site))["data"] == {"config.json": "mine"}, (
        "its fields are still its owner's"
    )
    taken = site.apply(adopt=True, force_conflicts=True)
    assert taken.failed == ()
    (said,) = [each.message for each in taken.objects if each.message]
    assert said.startswith("took .data.config.json from ")
    assert site.diff().differences == ()


def test_many_foreign_objects_are_found_by_one_list(two_pools):
    """More missing objects of a kind than are asked for one by one."""
    made = two_pools()
    made.api.create("/api/v1/namespaces", {"metadata": {"name": made.name}})
    bodies = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"many-{number}", "namespace": made.name},
        }
        for number in range(9)
    ]
    made.api.create(f"/api/v1/namespaces/{made.name}/configmaps", bodies[7])
    many = (*made.objects, *(RenderedObject("main", "test", body) for body in bodies))
    found = diff(made.connection, made.name, many, Rules(adopt=False))
    assert {each.name for each in found.having(Action.FOREIGN)} == {made.name, "many-7"}


def test_an_object_of_another_set_is_refused_also_when_adopting(two_pools):
    first, second = two_pools(), two_pools()
    first.apply()
    taken = {"metadata": {"labels": {PART_OF_LABEL: ApplySet(first.name, first.name).id}}}
    second.apply()
    site_map = config_map(second)
    second.api.merge(site_map, taken)
    (found,) = second.diff(adopt=True).differences
    assert found.action is Action.FOREIGN
    assert "another set" in found.message
    assert [each.outcome for each in second.apply(adopt=True).failed] == [Outcome.REFUSED]
    assert (
        second.api.get(site_map)["metadata"]["labels"][PART_OF_LABEL]
        == taken["metadata"]["labels"][PART_OF_LABEL]
    )


def test_a_parent_of_another_tool_stops_everything(two_pools):
    site = two_pools()
    site.apply()
    own = ApplySet(site.name, site.name)
    path = f"/api/v1/namespaces/{site.name}/configmaps/{own.name}"
    site.api.merge(path, {"metadata": {"annotations": {TOOLING_ANNOTATION: "kubectl/v1.35"}}})
    begin = site.requests()
    for act in (site.diff, site.apply):
        with pytest.raises(ClusterError, match=r"tooling is 'kubectl'"):
            act()
    assert site.requests() == begin


def test_an_apply_that_ended_between_writing_and_pruning_forgets_nothing(two_pools):
    """The parent covers old and new kinds until the old ones are gone, so the next apply finds both."""
    site = two_pools()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "old", "namespace": site.name}}
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "new", "namespace": site.name},
        "spec": {"ports": [{"port": 80}]},
    }  # fmt: skip
    old, new = (RenderedObject("main", "test", body) for body in (secret, service))
    apply(site.connection, site.name, (*site.objects, old))

    class Killed(Exception):  # noqa: N818
        pass

    def kill(done) -> None:
        if done.name == "new":
            raise Killed

    with pytest.raises(Killed):
        apply(site.connection, site.name, (*site.objects, new), progress=kill)
    kinds = parent(site)["annotations"][KINDS_ANNOTATION].split(",")
    assert {"Secret", "Service"} <= set(kinds)
    (left,) = [each for each in site.diff().having(Action.PRUNE) if each.kind == "Secret"]
    assert left.name == "old"
    applied = site.apply()
    assert {each.name for each in applied.objects if each.outcome is Outcome.PRUNED} == {"old", "new"}
    assert not {"Secret", "Service"} & set(parent(site)["annotations"][KINDS_ANNOTATION].split(","))


def test_a_foreign_change_inside_a_value_that_is_ours_as_a_whole_is_seen(two_pools):
    """`protocol` is a default that the server fills into our port; somebody sets another one."""
    site = two_pools()
    policy = {
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "broker", "namespace": site.name},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 8883}]}]},
    }  # fmt: skip
    objects = (*site.objects, RenderedObject("main", "test", policy))
    apply(site.connection, site.name, objects)
    begin = site.requests()
    assert diff(site.connection, site.name, objects).differences == ()
    assert site.requests() == begin, "the default alone costs no dry run"
    path = f"/apis/networking.k8s.io/v1/namespaces/{site.name}/networkpolicies/broker"
    udp = {"spec": {"egress": [{"ports": [{"port": 8883, "protocol": "UDP"}]}]}}
    site.api.merge(path, udp, manager="kubectl-edit")
    (found,) = diff(site.connection, site.name, objects).differences
    assert (found.action, [each.owner for each in found.conflicts]) == (Action.CONFLICT, ["kubectl-edit"])


def test_jobs_are_no_members_and_are_never_pruned(two_pools):
    no_queue = {"seg3d": None, "digits": {"queue": None}}
    hospital = two_pools({"jobs": no_queue})
    (job,) = [each for each in hospital.objects if each.submitted]
    assert hospital.apply().failed == ()
    assert PART_OF_LABEL not in hospital.api.get(hospital.gang(job.name))["metadata"]["labels"]
    state = [each for each in hospital.objects if not each.submitted]
    assert apply(hospital.connection, hospital.name, state).failed == ()
    assert hospital.api.get(hospital.gang(job.name))
