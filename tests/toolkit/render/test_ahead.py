"""Data that come ahead of need: a container beside each worker, that ends with it and shares with it only a socket."""

from __future__ import annotations

import pytest

from toolkit.jobs.room import ask_of
from toolkit.render.objects import render
from toolkit.render.staging import tiers_of_data
from toolkit.sync.task import decode_tasks

AHEAD = {"from": "warm", "path": "datasets/seg3d", "bring": "ahead", "budget": "200GiB"}
LOGIN = {"url": "s3://warm", "credentials": {"secret": "warm-login"}, "ca": {"secret": "site-ca"}}


@pytest.fixture
def rendered(topology):
    """Give `rendered(changes)`: the hospital whose job seg3d reads ahead of need, by kind and name."""

    def make(changes=None, **job):
        changed = topology({"jobs": {"seg3d": {"data": AHEAD, **job}}, **(changes or {})})
        return {(each.kind, each.name): each for each in render(changed)}

    return make


def pod(found, kind="Job", name="seg3d"):
    return found[kind, name].body["spec"]["tasks"][0]["template"]["spec"]


def mounts(container):
    return {each["mountPath"]: each.get("readOnly", False) for each in container["volumeMounts"]}


def test_a_container_beside_each_worker_brings_its_data(rendered):
    found = rendered()
    spec = pod(found)
    (beside,), (worker,) = spec["initContainers"], spec["containers"]
    assert beside["restartPolicy"] == "Always", "or the pod would never complete"
    assert beside["command"][:3] == ["python", "-m", "cloud_jobs.prefetch"]
    said = dict(zip(beside["command"][4::2], beside["command"][5::2], strict=True))
    assert said == {
        "--ahead": "4",
        "--budget": str(200 * 2**30 // 4),
        "--socket": "/run/tiers/reads.sock",
        "--reader": "$(RANK)",
    }
    there = {each["name"]: each for each in worker["env"]}
    assert there["TIERS_READS"]["value"] == "/run/tiers/reads.sock"
    assert next(each for each in beside["env"] if each["name"] == "RANK") == there["RANK"]
    (task,) = decode_tasks(found["ConfigMap", "tiers-seg3d-ahead"].body["data"]["tasks.json"].encode())
    assert (task.route, task.source.url, task.targets[0].url, task.path) == (
        "seg3d-ahead",
        "s3://warm-a",
        "file:///tiers/storage",
        "datasets/seg3d",
    )
    assert beside["command"][3] == "/etc/tiers/tasks/tasks.json"
    assert there["TIERS_DATA"]["value"] == f"/tiers/storage/{task.path}"


def test_it_has_no_more_rights_than_the_part_that_stages(rendered):
    found = rendered()
    (beside,), (worker,) = pod(found)["initContainers"], pod(found)["containers"]
    assert beside["securityContext"] == worker["securityContext"]
    assert beside["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod(found)["automountServiceAccountToken"] is False
    assert "secret" not in str(worker).lower()


def test_logins_are_the_containers_alone_and_by_reference(rendered):
    found = rendered({"tiers": {"warm": {"storage": [LOGIN, {"url": "file:///mnt/other"}]}}})
    spec = pod(found)
    (beside,), (worker,) = spec["initContainers"], spec["containers"]
    volumes = {each["name"]: each for each in spec["volumes"]}
    by_path = {each["mountPath"]: volumes[each["name"]] for each in beside["volumeMounts"]}
    for secret in ("warm-login", "site-ca"):
        assert by_path[f"/etc/tiers/credentials/{secret}"]["secret"]["secretName"] == secret
    assert {volumes[each["name"]].keys() - {"name"} >= {"secret"} for each in worker["volumeMounts"]} == {
        False
    }
    assert {path for path in mounts(worker) if path.startswith(("/tiers", "/etc", "/run"))} == {
        "/tiers/storage",
        "/run/tiers",
    }
    assert mounts(worker)["/run/tiers"] is True
    assert volumes["reads"] == {"name": "reads", "emptyDir": {"sizeLimit": "1Mi"}}


@pytest.mark.parametrize("bring", [AHEAD, {"from": "warm", "path": "datasets/seg3d", "bring": "whole"}])
def test_nothing_is_mounted_inside_what_is_read_only(topology, bring):
    """The runtime makes the folder that it mounts onto, and could not there."""
    flows = {"nightly": {"steps": {"seg3d": {}}}}
    changes = {"tiers": {"warm": {"storage": [LOGIN, {"url": "file:///mnt/other"}]}}, "flows": flows}
    found = render(topology({**changes, "jobs": {"seg3d": {"data": bring}}}))
    specs = [
        each.body["spec"]["tasks"][0]["template"]["spec"] for each in found if each.kind == "JobTemplate"
    ]
    assert specs
    for spec in specs:
        for container in (*spec.get("initContainers", []), *spec["containers"]):
            seen = mounts(container)
            for path in seen:
                assert not [above for above in seen if seen[above] and path.startswith(f"{above}/")]


def test_a_flow_starts_it_at_once_and_so_does_a_schedule(rendered):
    found = rendered(
        {"flows": {"nightly": {"steps": {"seg3d": {}, "digits": {"after": ["seg3d"]}}}}},
        schedule={"cron": "0 2 * * *", "timezone": "UTC"},
    )
    steps = found["JobFlow", "nightly"].body["spec"]["flows"]
    assert [each["name"] for each in steps] == ["seg3d", "digits"]
    assert not [name for kind, name in found if kind == "JobTemplate" and name.startswith("seg3d-")]
    template = pod(found, "JobTemplate")
    cron = found["CronJob", "seg3d"].body["spec"]["jobTemplate"]["spec"]["tasks"][0]["template"]["spec"]
    assert template["initContainers"] == cron["initContainers"] == pod(found)["initContainers"]


@pytest.mark.parametrize(
    ("gang", "beside", "worker"),
    [
        ({"workers": 2, "cpus_per_worker": 8, "memory_per_worker": "64GiB"}, ("1", "1Gi"), ("7", "63Gi")),
        (
            {"workers": 2, "cpus_per_worker": 1, "memory_per_worker": "2GiB"},
            ("250m", "512Mi"),
            ("750m", "1536Mi"),
        ),
    ],
)
def test_together_they_ask_for_what_the_worker_asked_for(rendered, gang, beside, worker):
    with_it, without = (
        rendered(gang=gang),
        rendered({}, gang=gang, data={"from": "warm", "path": "datasets/seg3d"}),
    )
    spec = pod(with_it)
    for each, (cpu, memory) in zip(
        (*spec["initContainers"], *spec["containers"]), (beside, worker), strict=True
    ):
        asked = each["resources"]["requests"]
        assert (asked["cpu"], asked["memory"], each["resources"]["limits"]["memory"]) == (cpu, memory, memory)
    assert ask_of({"spec": spec}) == ask_of({"spec": pod(without)})


def test_its_pods_call_only_the_tiers_that_it_brings_from_and_to(topology):
    """What staging would recall from stays out of reach."""
    back = {"routes": {"back": {"from": "cold", "to": "warm", "path": "datasets", "trigger": "demand"}}}
    whole = {"from": "warm", "path": "datasets/seg3d"}
    tiers = [
        tiers_of_data(topology({**back, "jobs": {"seg3d": {"data": data}}}), "seg3d")
        for data in (whole, AHEAD)
    ]
    assert tiers == [("hot", "warm", "cold"), ("hot", "warm")]


def test_a_budget_is_of_all_workers(rendered):
    command = pod(rendered(gang={"workers": 2}, data={**AHEAD, "ahead": 9}))["initContainers"][0]["command"]
    assert (command[5], command[7]) == ("9", str(100 * 2**30))
