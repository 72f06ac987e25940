"""A rendered Volcano Job is a real gang, passes every admission rule, and its workers find each other."""

from __future__ import annotations

import shlex

import pytest

from toolkit.errors import RenderError
from toolkit.lint import volcano, volcano_admission
from toolkit.lint.document import from_objects
from toolkit.render.gang import gang
from toolkit.render.lock import Lock
from toolkit.render.objects import render


def job(topology, **changes):
    changed = topology({"jobs": {"seg3d": changes}})
    bodies = (each.body for each in render(changed) if each.kind == "Job")
    return next(body for body in bodies if body["metadata"]["name"] == "seg3d")


def pod(body):
    return body["spec"]["tasks"][0]["template"]["spec"]


def environment(body):
    return {
        each["name"]: each.get("value", each.get("valueFrom")) for each in pod(body)["containers"][0]["env"]
    }


def findings(body):
    rules = (*volcano_admission.RULES, *volcano.RULES)
    (document,) = from_objects([body])
    return [str(problem) for rule in rules for problem in rule.problems(document)]


GANGS = [
    {},
    {"gang": {"workers": 1}},
    {"gang": {"workers": 4, "min": 2}},
    {"queue": None, "priority": None, "data": None, "checkpoints": None},
    {"retry": {"attempts": 0}},
    {"retry": {"attempts": 50, "after": ["failed"]}},
    {"retry": {"attempts": 50, "after": ["evicted", "failed", "exit:1", "exit:143", "exit:143"]}},
    {"retry": {"attempts": 50, "after": []}},
]


@pytest.mark.parametrize("changes", GANGS)
def test_admission_has_nothing_to_refuse_and_lint_nothing_to_say(topology, schema_errors, changes):
    body = job(topology, **changes)
    expected = ["L111"] if "min" in changes.get("gang", {}) else []
    assert [each for each in findings(body) if not any(code in each for code in expected)] == []
    assert schema_errors(body) == []


def test_all_workers_start_together(topology):
    spec = job(topology)["spec"]
    assert (spec["minAvailable"], spec["tasks"][0]["replicas"], spec["tasks"][0]["minAvailable"]) == (4, 4, 4)
    assert len(spec["tasks"]) == 1


def test_it_waits_in_its_queue_with_its_priority(topology):
    body = job(topology)
    objects = render(topology())
    named = {(each.kind, each.name) for each in objects}
    assert ("Queue", body["spec"]["queue"]) in named
    assert ("PriorityClass", body["spec"]["priorityClassName"]) in named


def test_the_environment_of_the_pytorch_plugin_is_there(topology):
    variables = environment(job(topology))
    assert variables["MASTER_ADDR"] == "seg3d-worker-0.seg3d"
    assert variables["MASTER_PORT"] == "23456"
    assert variables["WORLD_SIZE"] == "4"
    index = {"fieldRef": {"fieldPath": "metadata.labels['volcano.sh/task-index']"}}
    assert variables["RANK"] == index
    assert variables["PET_NODE_RANK"] == index
    assert (variables["PET_NNODES"], variables["PET_NPROC_PER_NODE"]) == ("4", "8")
    assert "pytorch" not in job(topology)["spec"]["plugins"]


def test_an_elastic_gang_meets_where_rank_0_is(topology):
    body = job(topology, gang={"min": 2})
    variables = environment(body)
    assert variables["PET_NNODES"] == "2:4"
    assert variables["PET_RDZV_ENDPOINT"] == "seg3d-worker-0.seg3d:23456"
    assert "PET_NODE_RANK" not in variables
    assert {"action": "RestartPod", "event": "PodEvicted"} in body["spec"]["policies"]


def test_what_is_retried_comes_before_what_ends_the_job(topology):
    policies = job(topology)["spec"]["policies"]
    assert policies == [
        {"action": "RestartJob", "exitCode": 143},
        {"action": "RestartJob", "event": "PodEvicted"},
        {"action": "RestartJob", "event": "Unknown"},
        {"action": "TerminateJob", "event": "PodFailed"},
        {"action": "CompleteJob", "event": "TaskCompleted"},
    ]


def test_waiting_uses_no_attempt_where_waiting_jobs_have_pods(topology):
    def events(profile):
        changed = topology({"scheduler": {"profile": profile}})
        (body,) = [each.body for each in render(changed) if each.kind == "Job" and each.name == "seg3d"]
        return [each.get("event") for each in body["spec"]["policies"]]

    assert "PodPending" in events("queued")
    assert "PodPending" not in [*events("priority"), *events("whole-gang")]


def test_no_attempts_means_that_nothing_restarts(topology):
    spec = job(topology, retry={"attempts": 0})["spec"]
    assert spec["maxRetry"] == 1  # Volcano would read 0 as 3
    assert {policy["action"] for policy in spec["policies"]} == {"TerminateJob", "CompleteJob"}


def test_attempts_time_and_grace_are_taken(topology):
    body = job(topology, keep="2h", grace="90s")
    assert (body["spec"]["maxRetry"], body["spec"]["ttlSecondsAfterFinished"]) == (100, 7200)
    assert pod(body)["terminationGracePeriodSeconds"] == 90


def test_a_worker_asks_for_whole_machines_of_its_pool(topology):
    (container,) = pod(job(topology))["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert container["resources"]["requests"]["nvidia.com/gpu"] == "8"
    assert set(container["resources"]["requests"]) == {"cpu", "memory", "nvidia.com/gpu"}
    selector = pod(job(topology))["nodeSelector"]
    assert selector["tiers.dev/tier"] == "hot"
    assert selector["nvidia.com/gpu.product"] == "NVIDIA-A100-SXM4-80GB"


def test_workers_keep_off_the_edge_and_hold_no_token(topology):
    spec = pod(job(topology))
    (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert {"key": "node-role.kubernetes.io/edge", "operator": "DoesNotExist"} in term["matchExpressions"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["restartPolicy"] == "Never"


def test_shared_memory_is_there_for_nccl(topology):
    spec = pod(job(topology))
    memory = next(volume for volume in spec["volumes"] if volume["name"] == "shared-memory")
    assert memory["emptyDir"] == {"medium": "Memory", "sizeLimit": "128Gi"}
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in spec["containers"][0]["volumeMounts"]  # noqa: S108


def test_the_command_is_the_words_of_run(topology):
    run = "python -m cloud_jobs.train --recipe 'seg 3d' --note $(HOME)"
    (container,) = pod(job(topology, run=run))["containers"]
    assert container["command"] == [*shlex.split(run)[:-1], "$$(HOME)"]  # Kubernetes turns $$( back into $(


def test_data_and_checkpoints_lie_on_the_storage_of_the_jobs_tier(topology):
    body = job(topology)
    variables = environment(body)
    assert variables["TIERS_DATA"] == "/tiers/storage/datasets/seg3d"
    assert variables["TIERS_CHECKPOINTS"] == "/tiers/storage/checkpoints/seg3d"
    assert variables["TIERS_CHECKPOINT_SECONDS"] == "600"
    storage = next(volume for volume in pod(body)["volumes"] if volume["name"] == "storage")
    assert storage["hostPath"] == {"path": "/mnt/scratch", "type": "Directory"}


def test_a_storage_that_is_no_folder_is_named_and_not_mounted(topology):
    changed = topology({"tiers": {"hot": {"storage": {"url": "s3://scratch/jobs/", "layout": "packs"}}}})
    body = gang(changed, Lock(), "seg3d").body
    assert environment(body)["TIERS_DATA"] == "s3://scratch/jobs/datasets/seg3d"
    assert [volume["name"] for volume in pod(body)["volumes"]] == ["shared-memory", "tmp"]


def test_a_secret_is_a_reference_and_what_tiers_yaml_says_wins(topology, schema_errors):
    env = {
        "S3_KEY": {"secret": "store/key"},
        "TOKEN": {"secret": "hub"},
        "HOME": "/work",
        "GREETING": "$(RANK)",
    }
    body = job(topology, env=env)
    variables = environment(body)
    assert variables["S3_KEY"] == {"secretKeyRef": {"name": "store", "key": "key"}}
    assert variables["TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "TOKEN"}}
    assert variables["HOME"] == "/work"
    assert variables["GREETING"] == "$$(RANK)"
    names = [each["name"] for each in pod(body)["containers"][0]["env"]]
    assert len(names) == len(set(names))
    assert schema_errors(body) == []


@pytest.mark.parametrize("reference", [{"file": "/home/me/key"}, {"env": "MY_KEY"}])
def test_a_secret_that_no_pod_can_read_is_refused_with_the_cure(topology, reference):
    with pytest.raises(RenderError, match=r"jobs\.seg3d\.env\.S3_KEY") as refused:
        job(topology, env={"S3_KEY": reference})
    assert "{secret: NAME/" in refused.value.hint


def test_images_are_pinned_by_the_lock(topology):
    lock = Lock(images={"registry.example/seg3d:2.1": "sha256:" + "b" * 64})
    body = gang(topology(), lock, "seg3d").body
    assert pod(body)["containers"][0]["image"] == "registry.example/seg3d:2.1@sha256:" + "b" * 64
