"""A worker here gets the environment that Volcano's plugins would give it."""

import os
import sys
from pathlib import Path

import pytest

from toolkit.errors import JobError, UsageError
from toolkit.jobs.plan import gang_environment, plan_local, workers
from toolkit.render.objects import render

ENVIRON = {"PATH": os.defpath, "HOME": "/somewhere"}


def test_variables_of_the_plugins_env_svc_and_pytorch():
    assert gang_environment(1, 3, 4711) == {
        "VC_TASK_INDEX": "1",
        "VK_TASK_INDEX": "1",
        "VC_WORKER_HOSTS": "127.0.0.1,127.0.0.1,127.0.0.1",
        "VC_WORKER_NUM": "3",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "4711",
        "WORLD_SIZE": "3",
        "RANK": "1",
        "PET_NNODES": "3",
        "PET_NODE_RANK": "1",
        "PET_NPROC_PER_NODE": "1",
        "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": "4711",
    }


def test_a_pod_gets_no_variable_that_a_local_worker_lacks(hospital, tmp_path):
    (body,) = (
        each.body
        for each in render(hospital)
        if each.kind == "Job" and each.body["metadata"]["name"] == "digits"
    )
    pod = body["spec"]["tasks"][0]["template"]["spec"]["containers"][0]["env"]
    job = plan_local(hospital, "digits", root=tmp_path, environ=ENVIRON)
    (first, *_) = workers(job, attempt=1, port=4711)
    assert {each["name"] for each in pod} - {"HOME", "USER"} <= set(first.environment)


def test_each_rank_has_its_own_log_and_the_job_its_folders(hospital, tmp_path):
    job = plan_local(hospital, "digits", root=tmp_path, environ=ENVIRON)
    first, second = workers(job, attempt=2, port=4711)
    assert (first.rank, second.rank) == (0, 1)
    assert (first.environment["RANK"], second.environment["RANK"]) == ("0", "1")
    assert second.log == tmp_path / "digits" / "logs" / "attempt-2" / "rank-1.log"
    assert first.environment["TIERS_OUTPUT"] == str(tmp_path / "digits" / "output")
    assert first.environment["TIERS_CHECKPOINTS"] == str(tmp_path / "digits" / "checkpoints")
    assert first.environment["TIERS_CHECKPOINT_SECONDS"] == "60"
    assert first.environment["HOME"] == "/somewhere"


def test_python_is_the_one_that_runs_tiers_and_gpus_are_hidden(hospital, tmp_path):
    job = plan_local(hospital, "digits", root=tmp_path, environ=ENVIRON)
    assert Path(job.command[0]).parent == Path(sys.executable).parent
    assert job.command[1:] == ("-m", "cloud_jobs.train", "--recipe", "digits")
    assert job.environment["CUDA_VISIBLE_DEVICES"] == ""


def test_workers_can_be_fewer_than_in_tiers_yaml(hospital, tmp_path):
    assert plan_local(hospital, "seg3d", root=tmp_path, environ=ENVIRON).size == 4
    job = plan_local(hospital, "seg3d", root=tmp_path, environ=ENVIRON, workers=1)
    assert [each.environment["WORLD_SIZE"] for each in workers(job, attempt=1, port=1)] == ["1"]
    with pytest.raises(UsageError, match="gang of 0 workers"):
        plan_local(hospital, "seg3d", root=tmp_path, environ=ENVIRON, workers=0)


def test_an_unknown_job_is_refused_with_the_nearest_name(hospital, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'digits'") as caught:
        plan_local(hospital, "digit", root=tmp_path, environ=ENVIRON)
    assert caught.value.hint == "jobs: digits, seg3d"
    assert not any(tmp_path.iterdir())


def test_a_program_that_is_not_here_is_named_before_anything_starts(topology, tmp_path):
    site = topology({"jobs": {"digits": {"run": "pythn -m cloud_jobs.train"}}})
    with pytest.raises(JobError, match="no program 'pythn' on this machine; nothing was started"):
        plan_local(site, "digits", root=tmp_path, environ=ENVIRON)
    assert not any(tmp_path.iterdir())


def test_own_variables_win_and_secrets_come_from_file_or_environment(topology, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("from-file\n")
    env = {
        "RUN": "a",
        "TOKEN": {"file": str(secret)},
        "KEY": {"env": "MY_KEY"},
        "PASS": {"secret": "login/password"},
    }
    site = topology({"jobs": {"digits": {"env": env}}})
    environ = ENVIRON | {"MY_KEY": "from-environment", "PASS": "stands-in", "RUN": "b"}
    own = plan_local(site, "digits", root=tmp_path, environ=environ).environment
    assert (own["RUN"], own["TOKEN"], own["KEY"], own["PASS"]) == (
        "a",
        "from-file",
        "from-environment",
        "stands-in",
    )


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            {"secret": "login/password"},
            r"jobs.digits.env.PASS is kept in the Secret login/password of the cluster",
        ),
        ({"env": "NOT_SET"}, r"jobs.digits.env.PASS is kept in \$NOT_SET, which is not set"),
        ({"file": "/nowhere/at/all"}, r"jobs.digits.env.PASS: cannot read /nowhere/at/all"),
    ],
)
def test_a_secret_out_of_reach_is_named_with_its_place(topology, tmp_path, reference, message):
    site = topology({"jobs": {"digits": {"env": {"PASS": reference}}}})
    with pytest.raises(UsageError, match=message):
        plan_local(site, "digits", root=tmp_path, environ=ENVIRON)
