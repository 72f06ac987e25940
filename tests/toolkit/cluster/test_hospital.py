"""The hospital on a real API server: applied from empty, quiet the second time; drift and foreign owners are shown."""

from __future__ import annotations

import json

import pytest

from toolkit.cluster.apply import Outcome, raise_for
from toolkit.cluster.diff import Action
from toolkit.cluster.readiness import State
from toolkit.cluster.status import status
from toolkit.cluster.wait import raise_for_time, wait
from toolkit.errors import ClusterError, PartlyAppliedError, TiersError

NO_JOBS = {"jobs": None}
"""Jobs are submitted and not applied; a job whose queue is so new that it is not open yet would be refused."""


def config_map(site) -> str:
    return f"/api/v1/namespaces/{site.name}/configmaps/tiers-edge-endoscopy-jetson-orin-nano"


def daemon_set(site) -> str:
    return f"/apis/apps/v1/namespaces/{site.name}/daemonsets/tiers-edge-endoscopy-jetson-orin-nano"


def by_name(result, kind: str):
    return {each.name: each for each in result.objects if each.kind == kind}


def test_it_applies_from_empty_and_the_second_time_sends_nothing(site):
    hospital = site(NO_JOBS)
    begin = hospital.requests()
    before = hospital.diff()
    assert hospital.requests() == begin, "a diff of an empty cluster needs no dry run"
    assert {each.action for each in before.objects} == {Action.CREATE}
    begin = hospital.requests()
    first = hospital.apply()
    assert [each.message for each in first.failed] == []
    parent = 1
    assert first.count(Outcome.CREATED) == len(hospital.objects) == hospital.requests() - begin - parent

    begin = hospital.requests()
    second = hospital.apply()
    assert second.count(Outcome.UNCHANGED) == len(hospital.objects)
    assert hospital.requests() == begin, "neither a PATCH nor a dry run"


def test_a_changed_value_is_shown_and_written_alone(site, topology):
    hospital = site(NO_JOBS)
    hospital.apply()
    changed = hospital.changed(
        topology({"name": hospital.name, **NO_JOBS, "queues": {"research": {"deserved": {"gpus": 24}}}})
    )
    (found,) = changed.diff().differences
    assert (found.action, found.kind) == (Action.CHANGE, "Queue")
    assert found.lines == ('~ spec.deserved.nvidia.com/gpu: "32" → "24"',)

    begin = hospital.writes()
    assert changed.apply().count(Outcome.CHANGED) == 1
    assert hospital.writes() == begin + 1
    assert changed.diff().differences == ()


def test_what_a_webhook_refuses_is_shown_with_its_reason(site, topology):
    """A job that runs may not get another size of its world; Volcano's webhook says so, and the diff before it."""
    hospital = site({"jobs": {"digits": None, "seg3d": {"queue": None}}})
    hospital.apply()
    gang = {"jobs": {"digits": None, "seg3d": {"queue": None, "gang": {"workers": 3, "gpus_per_worker": 8}}}}
    changed = hospital.changed(topology({"name": hospital.name, **gang}))
    (found,) = changed.diff().differences
    assert (found.action, found.name) == (Action.REFUSED, "seg3d")
    assert "job updates may not change fields" in found.message
    assert [each.outcome for each in changed.apply().failed] == [Outcome.REFUSED]


def test_drift_by_somebody_is_shown_and_its_conflict_explained(site):
    hospital = site(NO_JOBS)
    hospital.apply()
    hospital.api.merge(config_map(hospital), {"data": {"config.json": "{}"}}, manager="kubectl-edit")
    (found,) = hospital.diff().differences
    assert found.action is Action.CONFLICT
    assert [each.owner for each in found.conflicts] == ["kubectl-edit"]
    assert [each.before for each in found.fields] == [json.dumps("{}")]

    applied = hospital.apply()
    assert [each.outcome for each in applied.failed] == [Outcome.CONFLICT]
    assert hospital.api.get(config_map(hospital))["data"]["config.json"] == "{}", "nothing is taken by force"
    with pytest.raises(PartlyAppliedError, match="kubectl-edit") as caught:
        raise_for([applied])
    assert caught.value.exit_code == 4
    assert caught.value.hint.count("or:") == 2


def test_after_a_conflict_later_ranks_are_left_alone(site):
    hospital = site(NO_JOBS)
    foreign = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": hospital.name}}
    label = {"labels": {"app.kubernetes.io/managed-by": "somebody"}}
    foreign["metadata"] |= label
    hospital.api.apply(f"/api/v1/namespaces/{hospital.name}", foreign)
    applied = hospital.apply(adopt=True)
    assert by_name(applied, "Namespace")[hospital.name].outcome is Outcome.CONFLICT
    assert applied.count(Outcome.NOT_TRIED) == len(hospital.objects) - 1


def test_what_we_no_longer_write_is_taken_away(site, topology):
    room = {"tiers": {"edge": {"pools": {"endoscopy": {"placement": {"labels": {"room": "7"}}}}}}}
    hospital = site({**NO_JOBS, **room})
    hospital.apply()
    selector = lambda: hospital.api.get(daemon_set(hospital))["spec"]["template"]["spec"]["nodeSelector"]  # noqa: E731
    assert selector()["room"] == "7"
    without = hospital.changed(topology({"name": hospital.name, **NO_JOBS}))
    (found,) = without.diff().differences
    assert [each.after for each in found.fields] == [""]
    without.apply()
    assert "room" not in selector()


def test_a_label_of_ours_that_somebody_took_off_comes_back(site):
    hospital = site(NO_JOBS)
    hospital.apply()
    hospital.api.merge(config_map(hospital), {"metadata": {"labels": {"tiers.dev/topology": None}}})
    (found,) = hospital.diff().differences
    assert [str(each) for each in found.fields] == [
        f'+ metadata.labels.tiers.dev/topology: "{hospital.name}"'
    ]
    assert hospital.apply().failed == ()
    assert hospital.diff().differences == ()


def test_what_the_server_refuses_is_told_with_its_reason(site):
    hospital = site(NO_JOBS)
    hospital.apply()
    path = f"/apis/scheduling.k8s.io/v1/priorityclasses/{hospital.name}-batch"
    body = hospital.api.get(path)
    hospital.api.delete(path)
    del body["metadata"]["managedFields"], body["metadata"]["resourceVersion"]
    hospital.api.create(path.rpartition("/")[0], body | {"value": 7})
    refused = by_name(hospital.diff(), "PriorityClass")[f"{hospital.name}-batch"]
    assert refused.action in {Action.REFUSED, Action.CONFLICT}
    assert by_name(hospital.apply(), "PriorityClass")[f"{hospital.name}-batch"].failed


def test_a_user_without_rights_is_told_so_and_nothing_is_written(site):
    hospital = site(NO_JOBS)
    guest = hospital.plane.write_kubeconfig("guest")
    from toolkit.cluster.apply import apply
    from toolkit.cluster.connect import connect

    with pytest.raises(ClusterError, match="forbidden") as caught:
        apply(connect(hospital.topology, "main", guest), hospital.name, hospital.objects)
    assert "can-i" in caught.value.hint
    assert hospital.api.gone(f"/api/v1/namespaces/{hospital.name}")


def test_its_daemons_run_on_the_devices_and_status_counts_them(site):
    hospital = site({"jobs": None})
    hospital.apply()
    waited = wait(hospital.connection, hospital.name, hospital.objects, seconds=240)
    raise_for_time(waited)
    assert hospital.api.get(daemon_set(hospital))["status"]["numberReady"] == 2

    found = status(hospital.connection, hospital.topology, hospital.objects)
    assert {each.state for each in found.objects} == {State.READY}
    assert {each.pool: (each.ready, each.wanted) for each in found.pools}["ultrasound"] == (120, 120)
    assert [each.silent for each in found.pools if each.silent] == []


def site_status(site) -> dict:
    return site.api.get(daemon_set(site)).get("status", {})


def no_room(events: list[dict]) -> bool:
    """Tell whether two pods of the endoscopy have been told that there is no GPU left."""
    told = {
        each["involvedObject"]["name"]
        for each in events
        if "Insufficient nvidia.com/gpu" in each.get("message", "")
    }
    return len([name for name in told if "endoscopy" in name]) == 2


@pytest.mark.slow
def test_a_time_out_says_what_is_missing(site, wait_until):
    """A Jetson has one GPU, so the daemons of a second topology find no room on the devices of the first."""
    first, second = site({"jobs": None}), site({"jobs": None})
    first.apply()
    raise_for_time(wait(first.connection, first.name, first.objects, seconds=120))
    second.apply()
    # The time that is over here is not the one that the schedulers take to say why nothing fits.
    events = f"/api/v1/namespaces/{second.name}/events"
    wait_until(lambda: no_room(second.api.items(events)), "the scheduler has said of both pods why they wait")
    wait_until(lambda: site_status(second).get("desiredNumberScheduled") == 2, "two pods are wanted")
    waited = wait(second.connection, second.name, second.objects, seconds=5)
    (missing,) = [each for each in waited.not_ready if "endoscopy" in each.name]
    assert missing.reason == "0 of 2 pods are ready"
    assert any("Insufficient nvidia.com/gpu" in each for each in missing.warnings), missing.warnings
    with pytest.raises(TiersError, match="0 of 2 pods"):
        raise_for_time(waited)
