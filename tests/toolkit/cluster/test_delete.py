"""Deleting a whole site on a real API server: in reverse order, to the end, and not more than was asked."""

from __future__ import annotations

import pytest

from toolkit.cluster.applyset import ApplySet
from toolkit.cluster.delete import delete_all, find_doomed
from toolkit.cluster.diff import Action
from toolkit.cluster.lock import Claim, LockedError, hold
from toolkit.cluster.outcome import Outcome
from toolkit.cluster.rules import Rules
from toolkit.errors import ClusterError

ME = Claim("nurse@ward")
NAMESPACE_TOO = Rules(prune_kinds=frozenset({"Namespace"}))


def doom(site, rules=None):
    return find_doomed(site.connection, site.name, site.objects, rules or Rules())


def delete(site, rules=None, **options):
    found = doom(site, rules)
    return delete_all(site.connection, site.name, site.objects, ME, found=found, **options)


def parent(site) -> str:
    return f"/api/v1/namespaces/{site.name}/configmaps/{ApplySet(site.name, site.name).name}"


def place(path: str) -> str:
    return path.partition("?")[0].split("/")[-2]


def test_all_members_go_in_reverse_order_and_the_namespace_stays(two_pools):
    site = two_pools()
    site.apply()
    begin = len(site.plane.writes())
    gone = delete(site)
    assert gone.failed == ()
    (kept,) = [each for each in gone.objects if each.outcome is Outcome.LEFT_OVER]
    assert (kept.kind, kept.message) == (
        "Namespace",
        "stays: a Namespace goes only with --prune-kind Namespace",
    )
    writes = [each for each in site.plane.writes()[begin:] if "/leases" not in each[1]]
    assert {verb for verb, _ in writes} == {"delete"}
    kinds = list(dict.fromkeys(place(path) for _, path in writes[:-1]))
    assert kinds == ["daemonsets", "configmaps", "queues", "nodegroups", "priorityclasses"]
    assert writes[-1][1].endswith(ApplySet(site.name, site.name).name), "the parent goes last"
    assert site.api.get(f"/api/v1/namespaces/{site.name}")

    begin = site.requests()
    assert [each.kind for each in delete(site).objects] == ["Namespace"], "once more is harmless"
    assert site.requests() == begin
    assert site.apply().failed == (), "and it can be applied again"


def test_the_namespace_goes_when_it_is_asked_for(two_pools):
    site = two_pools()
    site.apply()
    assert delete(site, NAMESPACE_TOO).failed == ()
    spaces = {each["metadata"]["name"]: each["metadata"] for each in site.api.items("/api/v1/namespaces")}
    assert "deletionTimestamp" in spaces.get(site.name, {"deletionTimestamp": "it is gone"})


def test_a_deletion_that_ended_half_way_goes_on(two_pools):
    site = two_pools()
    site.apply()

    class Killed(Exception):  # noqa: N818
        pass

    def kill(done) -> None:
        if done.kind == "ConfigMap":
            raise Killed

    with pytest.raises(Killed):
        delete(site, progress=kill)
    assert site.api.get(parent(site)), "who deletes again finds the rest by it"
    rest = doom(site).having(Action.PRUNE)
    assert {each.kind for each in rest} == {"NodeGroup", "Queue", "PriorityClass"}
    assert delete(site).failed == ()
    assert site.api.gone(parent(site))


def test_what_stays_keeps_the_parent_and_the_namespace(two_pools):
    site = two_pools()
    site.apply()
    path = f"/api/v1/namespaces/{site.name}/configmaps/tiers-edge-labs-jetson-orin-nano"
    site.api.merge(path, {"metadata": {"annotations": {"tiers.dev/prune": "false"}}})
    kept = doom(site, NAMESPACE_TOO).having(Action.LEFT_OVER)
    assert {each.kind for each in kept} == {"Namespace", "ConfigMap"}
    assert any("it holds the ConfigMap" in each.message for each in kept)
    assert delete(site, NAMESPACE_TOO).failed == ()
    assert site.api.get(path)
    kinds = site.api.get(parent(site))["metadata"]["annotations"][
        "applyset.kubernetes.io/contains-group-kinds"
    ]
    assert kinds == "ConfigMap,Namespace"


def test_a_submitted_job_stays_and_is_named(two_pools):
    site = two_pools({"jobs": {"seg3d": None, "digits": {"queue": None}}})
    assert site.apply().failed == ()
    kept = {each.kind: each.message for each in doom(site, NAMESPACE_TOO).having(Action.LEFT_OVER)}
    assert kept["Job"] == "stays: a job ends by tiers job cancel digits"
    assert "it holds the Job" in kept["Namespace"]
    assert delete(site).failed == ()
    assert site.api.get(site.gang("digits"))


def test_a_user_without_rights_is_told_so(two_pools):
    from toolkit.cluster.connect import connect

    site = two_pools()
    site.apply()
    guest = connect(site.topology, "main", site.plane.write_kubeconfig("guest"))
    with pytest.raises(ClusterError, match="forbidden") as caught:
        find_doomed(guest, site.name, site.objects)
    assert "can-i" in caught.value.hint


def test_nothing_is_deleted_while_somebody_else_writes(two_pools):
    site = two_pools()
    site.apply()
    with hold(site.connection, site.name, site.name, Claim("doctor@ward")):
        begin = len(site.plane.writes())
        with pytest.raises(LockedError, match="doctor@ward"):
            delete(site)
        assert [path for verb, path in site.plane.writes()[begin:] if verb == "delete"] == []
    assert delete(site).failed == ()
