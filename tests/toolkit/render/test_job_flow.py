"""A flow: templates that do nothing by themselves, an order, and data that is there before a GPU is asked for."""

from __future__ import annotations

import pytest

from toolkit.errors import RenderError
from toolkit.render.objects import render
from toolkit.render.staging import stage_tasks
from toolkit.sync.task import decode_tasks

NIGHTLY = {"nightly": {"steps": {"seg3d": {}, "digits": {"after": ["seg3d"]}}}}


@pytest.fixture
def flow(topology):
    """Give `flow(changes)`: the objects of the hospital with a flow, by kind and name."""

    def make(changes=None):
        changed = topology({"flows": NIGHTLY, **(changes or {})})
        return {(each.kind, each.name): each for each in render(changed)}

    return make


def steps(found):
    spec = found["JobFlow", "nightly"].body["spec"]
    return {each["name"]: each.get("dependsOn", {}).get("targets", []) for each in spec["flows"]}


def pod(found, name):
    return found["JobTemplate", name].body["spec"]["tasks"][0]["template"]["spec"]


def test_data_is_staged_before_the_gang_and_unpinned_after_it(flow):
    assert steps(flow()) == {
        "seg3d-stage": [],
        "seg3d": ["seg3d-stage"],
        "seg3d-unpin": ["seg3d"],
        "digits": ["seg3d"],
    }


def test_a_job_whose_data_is_in_its_tier_is_not_staged(flow):
    found = flow({"jobs": {"seg3d": {"data": {"from": "hot"}}}})
    assert steps(found) == {"seg3d": [], "digits": ["seg3d"]}
    assert ("JobTemplate", "seg3d-stage") not in found


def test_what_waits_for_a_staged_job_waits_for_its_staging_not_for_its_turn(flow):
    found = flow({"flows": {"nightly": {"steps": {"digits": {}, "seg3d": {"after": ["digits"]}}}}})
    assert steps(found)["seg3d-stage"] == ["digits"]


def test_the_template_of_a_job_is_the_job_but_for_its_name(flow):
    found = flow()
    job, template = found["Job", "seg3d"].body["spec"], found["JobTemplate", "seg3d"].body["spec"]
    assert set(job) - set(template) == {"ttlSecondsAfterFinished"}, "a flow makes anew what is gone"
    wanted, got = (
        {each["name"]: each for each in spec["tasks"][0]["template"]["spec"]["containers"][0]["env"]}
        for spec in (job, template)
    )
    differing = {name for name in got if got[name] != wanted.get(name)}
    assert differing == {"TIERS_JOB", "MASTER_ADDR", "PET_MASTER_ADDR"}
    assert got["MASTER_ADDR"]["value"] == "$(TIERS_JOB)-worker-0.$(TIERS_JOB)"
    assert next(iter(got)) == "TIERS_JOB", "Kubernetes puts in what stands before"
    rest = [
        {key: value for key, value in spec.items() if key not in {"tasks", "ttlSecondsAfterFinished"}}
        for spec in (job, template)
    ]
    assert rest[0] == rest[1]


def test_staging_holds_no_gpu_and_runs_where_the_gang_runs(flow):
    found = flow()
    for part in ("seg3d-stage", "seg3d-unpin"):
        spec = pod(found, part)
        for each in (*spec.get("initContainers", []), *spec["containers"]):
            assert not any("gpu" in name for name in each["resources"]["limits"])
    selector = pod(found, "seg3d")["nodeSelector"]
    assert pod(found, "seg3d-stage")["nodeSelector"] == selector


def test_the_pod_gets_a_task_that_sync_can_read(flow, topology):
    found = flow(
        {"tiers": {"warm": {"storage": [{"url": "file:///mnt/warm"}, {"url": "file:///mnt/other"}]}}}
    )
    spec = pod(found, "seg3d-stage")
    (sync,) = spec["initContainers"]
    assert sync["command"] == ["python", "-m", "cloud_jobs.stage", "/etc/tiers/tasks/tasks.json"]
    mounts = {each["mountPath"]: each.get("readOnly", False) for each in sync["volumeMounts"]}
    assert mounts["/tiers/warm"] is True
    assert mounts["/tiers/storage"] is False
    outside = {each["name"]: each["hostPath"]["path"] for each in spec["volumes"] if "hostPath" in each}
    assert outside == {"warm": "/mnt/warm", "storage": "/mnt/scratch"}
    config = found["ConfigMap", "tiers-seg3d-stage"].body["data"]["tasks.json"]
    (task,) = decode_tasks(config.encode())
    assert (task.path, task.source.url, task.targets[0].url) == (
        "datasets/seg3d",
        "file:///tiers/warm",
        "file:///tiers/storage",
    )
    with pytest.raises(RenderError, match="no data to stage"):
        stage_tasks(topology(), "digits")


def test_the_pod_sees_the_logins_of_storages_elsewhere(flow):
    warm = {"url": "s3://warm", "credentials": {"secret": "warm-login"}, "ca": {"secret": "site-ca"}}
    found = flow({"tiers": {"warm": {"storage": [warm, {"url": "file:///mnt/other"}]}}})
    (task,) = decode_tasks(found["ConfigMap", "tiers-seg3d-stage"].body["data"]["tasks.json"].encode())
    assert task.source.credentials_file == "/etc/tiers/credentials/warm-login/credentials"
    assert task.source.ca_file == "/etc/tiers/credentials/site-ca/ca.crt"
    spec = pod(found, "seg3d-stage")
    mounts = {each["mountPath"]: each["name"] for each in spec["initContainers"][0]["volumeMounts"]}
    volumes = {each["name"]: each for each in spec["volumes"]}
    for secret in ("warm-login", "site-ca"):
        assert volumes[mounts[f"/etc/tiers/credentials/{secret}"]]["secret"]["secretName"] == secret


def test_what_was_archived_is_brought_back_before_it_is_staged(flow):
    found = flow(
        {
            "tiers": {"warm": {"storage": [{"url": "file:///mnt/warm"}, {"url": "file:///mnt/other"}]}},
            "routes": {
                "data-back": {"from": "cold", "to": "warm", "path": "datasets", "trigger": "demand"},
                "elsewhere": {"from": "cold", "to": "hot", "path": "datasets", "trigger": "demand"},
            },
        }
    )
    tasks = decode_tasks(found["ConfigMap", "tiers-seg3d-stage"].body["data"]["tasks.json"].encode())
    assert [(task.route, task.path, task.below) for task in tasks] == [
        ("data-back", "datasets", "seg3d"),
        ("seg3d-stage", "datasets/seg3d", ""),
    ]
    assert tasks[0].source.url.startswith("sftp://")
    assert tasks[0].targets == (tasks[1].source,)
    spec = pod(found, "seg3d-stage")
    mounts = {
        each["mountPath"]: each.get("readOnly", False) for each in spec["initContainers"][0]["volumeMounts"]
    }
    assert mounts["/tiers/warm"] is False, "what comes back is written there"


def test_without_a_flow_nothing_is_added(topology):
    assert {each.kind for each in render(topology())} & {"JobFlow", "JobTemplate"} == set()


def test_only_the_flow_itself_waits_for_somebody_to_submit_it(flow):
    found = flow()
    assert found["JobFlow", "nightly"].submitted
    assert not found["JobTemplate", "seg3d"].submitted
    assert found["JobTemplate", "seg3d"].rank < found["JobFlow", "nightly"].rank
