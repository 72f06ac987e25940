"""Flows on the real control plane: data first, then the gang, then unpin; and what a person types, sees and gets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cloud_jobs.reads import ready
from toolkit.cli import main
from toolkit.cluster.kinds import Kinds
from toolkit.render.objects import render
from toolkit.sync.pins import holders
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask
from toolkit.wire.job import DATA_VARIABLE, READS_VARIABLE

FLOW = {
    "flows": {"nightly": {"steps": {"seg3d": {}, "digits": {"after": ["seg3d"]}}}},
    "jobs": {"seg3d": {"data": {"from": "warm", "path": "datasets/seg3d"}}},
}


@pytest.fixture
def tiers(capsys):
    """Give `tiers(words)`: exit code, stdout, stderr of a command."""

    def run(words: list[str]) -> tuple[int, str, str]:
        code = main(words)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def flow_site(ward):
    """Give `flow_site(changes)`: a ward with a flow, its templates applied; its flows go before its jobs are taken."""
    made = []

    def make(changes=None, *, name="", templates=True):
        site = ward(FLOW if changes is None else changes, name=name)
        made.append(site)
        kinds = Kinds(site.connection)
        for each in render(site.topology) if templates else ():
            if each.kind in {"JobTemplate", "ConfigMap"}:
                path = kinds.resource(each.api_version, each.kind).path(each.namespace, each.name)
                site.api.apply(path, dict(each.body), manager="tiers")
        return site

    yield make
    for site in made:
        site.api.request("DELETE", flows(site))


def flows(site, name=""):
    path = f"/apis/flow.volcano.sh/v1alpha1/namespaces/{site.name}/jobflows"
    return f"{path}/{name}" if name else path


def jobs(site):
    return {each["metadata"]["name"] for each in site.api.items(site.path("").rstrip("/"))}


def phase(site):
    return site.api.get(flows(site, "nightly")).get("status", {}).get("state", {}).get("phase", "")


def runs(site, job):
    return (
        job in jobs(site)
        and [each["status"].get("phase") for each in site.pods(job)]
        and all(each["status"].get("phase") == "Running" for each in site.pods(job))
    )


@pytest.mark.slow
def test_data_comes_first_then_the_gang_then_it_may_go(flow_site, tiers, wait_until):
    site = flow_site()
    code, out, err = tiers(site.command("submit", "nightly", "--json"))
    assert (code, json.loads(out)["outcome"]) == (0, "submitted"), err
    wait_until(lambda: runs(site, "nightly-seg3d-stage"), "the data is being staged")
    assert jobs(site) == {"nightly-seg3d-stage"}, "the gang asks for no GPU while its data is on the way"
    code, out, _ = tiers(site.command("status", "nightly", "--json"))
    shown = {each["step"]: each["state"] for each in json.loads(out)["steps"]}
    assert shown == {
        "seg3d-stage": "running",
        "seg3d": "pending",
        "seg3d-unpin": "pending",
        "digits": "pending",
    }
    assert json.loads(tiers(site.command("submit", "nightly", "--json"))[1])["outcome"] == "runs already"
    site.end("nightly-seg3d-stage", 0)
    wait_until(lambda: runs(site, "nightly-seg3d"), "the gang runs")
    assert jobs(site) == {"nightly-seg3d-stage", "nightly-seg3d"}
    workers = site.pods("nightly-seg3d")
    assert len(workers) == 4
    owner = {each["metadata"]["labels"]["tiers.dev/name"] for each in workers}
    assert owner == {"seg3d"}
    assert {each["metadata"]["labels"]["volcano.sh/job-name"] for each in workers} == {"nightly-seg3d"}
    assert {each["metadata"]["name"] for each in workers} == {f"nightly-seg3d-worker-{n}" for n in range(4)}
    code, out, err = tiers(site.command("status", "nightly-seg3d", "--json"))
    assert (code, json.loads(out)["running"]) == (0, 4), err
    listed = {each["job"]: each for each in json.loads(tiers(site.command("list", "--json"))[1])}
    assert (listed["nightly-seg3d"]["running"], listed["nightly-seg3d"]["in_tiers_yaml"]) == (4, True)
    assert listed["seg3d"]["state"] == "not submitted"
    site.end("nightly-seg3d", 0)
    for last in ("nightly-seg3d-unpin", "nightly-digits"):
        wait_until(lambda last=last: runs(site, last), f"{last} runs")
        site.end(last, 0)
    wait_until(lambda: phase(site) == "Succeed", "the flow has succeeded")
    assert json.loads(tiers(site.command("submit", "nightly", "--json"))[1])["outcome"] == "has completed"
    # Why templates have no ttlSecondsAfterFinished: a step whose job is gone is made anew when another one changes.
    site.api.delete(site.path("nightly-seg3d-stage"))
    wait_until(lambda: "nightly-seg3d-stage" not in jobs(site), "the job of a step is gone")
    site.api.merge(site.path("nightly-digits"), {"metadata": {"annotations": {"touched": "yes"}}})
    wait_until(lambda: "nightly-seg3d-stage" in jobs(site), "it is made anew")
    code, out, err = tiers(site.command("submit", "nightly", "--again", "--json"))
    assert (code, json.loads(out)["outcome"]) == (0, "submitted again"), err
    wait_until(lambda: runs(site, "nightly-seg3d-stage"), "it runs again from the start")
    assert jobs(site) == {"nightly-seg3d-stage"}
    code, _, err = tiers(site.command("cancel", "nightly", "--yes"))
    assert (code, "flow nightly is gone" in err) == (0, True)
    assert jobs(site) == set()


@pytest.mark.slow
def test_a_staging_that_fails_keeps_the_gang_from_starting(flow_site, tiers, wait_until):
    site = flow_site()
    assert tiers(site.command("submit", "nightly"))[0] == 0

    def failed():
        for pod in site.pods("nightly-seg3d-stage"):
            if pod["status"].get("phase") == "Running":
                path = f"/api/v1/namespaces/{site.name}/pods/{pod['metadata']['name']}"
                site.api.merge(path, {"metadata": {"annotations": {"tiers.test/exit-code": "6"}}})
        return phase(site) == "Failed"

    wait_until(failed, "the flow has failed")
    assert jobs(site) == {"nightly-seg3d-stage"}
    code, out, err = tiers(site.command("status", "nightly", "--json"))
    assert (code, json.loads(out)["state"]) == (0, "failed")
    code, _, err = tiers(site.command("submit", "nightly"))
    assert (code, "has failed" in err, "--again" in err) == (1, True, True)


def test_what_a_flow_needs_is_missing_or_is_not_as_tiers_yaml_says(flow_site, tiers):
    site = flow_site(templates=False)
    code, _, err = tiers(site.command("submit", "nightly"))
    assert (code, "JobTemplate" in err, "is not there" in err, "try: tiers apply" in err) == (
        1,
        True,
        True,
        True,
    )
    site = flow_site(name=site.name)
    edited = {**FLOW, "jobs": {"seg3d": {**FLOW["jobs"]["seg3d"], "image": "registry.example/seg3d:2.2"}}}
    edited = flow_site(edited, name=site.name, templates=False)
    code, _, err = tiers(edited.command("submit", "nightly"))
    assert (code, "is not as tiers.yaml says now" in err) == (1, True)
    assert site.writes() == []
    code, _, err = tiers(edited.command("submit", "nightly", "--workers", "2"))
    assert (code, "knows no --workers" in err) == (2, True)
    flow_site(FLOW, name=site.name)
    code, _, err = tiers(site.command("submit", "seg3d", "--dry-run"))
    assert (code, "a flow stages it from warm first: tiers job submit nightly" in err) == (0, True), err
    assert tiers(site.command("submit", "nightly", "--dry-run"))[0] == 0
    assert site.writes() == []


# ---------------------------------------------------------------- what the parts of a flow do
DATA = b"a shard of training data" * 4000


@pytest.fixture
def folders(tmp_path):
    """Three tiers on this machine; the data set has been archived from warm to cold."""
    for name in ("hot", "warm/datasets/seg3d", "warm/datasets/other", "cold"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("seg3d", "other"):
        (tmp_path / "warm/datasets" / name / "shard-0").write_bytes(DATA)
    warm = Storage(tier="warm", url=(tmp_path / "warm").as_uri())
    cold = Storage(tier="cold", url=(tmp_path / "cold").as_uri(), layout="packs")
    archive = SyncTask(route="archive", source=warm, targets=(cold,), path="datasets", then="remove_source")
    assert run_task(archive).removed == 2
    return tmp_path


def changes(root: Path) -> dict:
    """Put the hospital's tiers into these folders, with a flow, data and a way back for it."""
    return {
        "tiers": {
            "hot": {"storage": {"url": (root / "hot").as_uri(), "layout": "mirror"}},
            "warm": {"storage": [{"url": (root / name).as_uri()} for name in ("warm", "warm-2")]},
            "cold": {"storage": {"url": (root / "cold").as_uri(), "layout": "packs", "encryption": "none"}},
        },
        "routes": {"data-back": {"from": "cold", "to": "warm", "path": "datasets", "trigger": "demand"}},
        "flows": {"nightly": {"steps": {"seg3d": {}}}},
        "jobs": {"seg3d": {"data": {"from": "warm", "path": "datasets/seg3d"}}},
    }


def carry_out(site, job: str, scratch: Path) -> list[str]:
    """Run what the containers of a part would run; give the module of each, in order."""
    (pod,) = site.pods(job)
    done = []
    for container in (*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]):
        words = [word.replace("$(TIERS_JOB)", job) for word in command_of(site, pod, container, scratch)]
        ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=100)
        assert ran.returncode == 0, ran.stderr
        done.append(container["command"][2])
    return done


def command_of(site, pod: dict, container: dict, scratch: Path) -> list[str]:
    """Give what a container of a pod that Volcano made would run, and write the tasks that it would see.

    KWOK plays the machines, so no container runs: the ConfigMap is the API server's, and folders of this machine stand
    where the pod has mounts.
    """
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    inside = {}
    for mount in container["volumeMounts"]:
        volume = volumes[mount["name"]]
        if "hostPath" in volume:
            inside[mount["mountPath"]] = volume["hostPath"]["path"]
        elif "configMap" in volume and mount["name"] == "tasks":  # Volcano mounts one of its own
            path = f"/api/v1/namespaces/{site.name}/configmaps/{volume['configMap']['name']}"
            text = site.api.get(path)["data"]["tasks.json"]
    for there, here in inside.items():
        text = text.replace(f"file://{there}", f"file://{here}")
    (scratch / "tasks.json").write_text(text)
    words = [sys.executable, *container["command"][1:]]
    return [
        word.replace("/etc/tiers/tasks/", f"{scratch}/").replace("/run/tiers/", f"{scratch}/")
        for word in words
    ]


@pytest.mark.slow
def test_data_ahead_of_need_come_beside_the_worker_and_the_gang_completes(
    flow_site, tiers, wait_until, folders, tmp_path
):
    data = {"from": "cold", "path": "datasets/seg3d", "bring": "ahead", "budget": "1GiB"}
    ahead = {**changes(folders), "jobs": {"seg3d": {"data": data, "gang": {"workers": 1}}}}
    site = flow_site(ahead, templates=False)
    code, _, err = tiers(site.command("submit", "seg3d"))
    assert (code, "lacks the config map tiers-seg3d-ahead" in err, "try: tiers apply" in err) == (
        1,
        True,
        True,
    )
    site = flow_site(ahead, name=site.name)
    code, _, err = tiers(site.command("submit", "seg3d"))
    assert (code, "stages" in err) == (0, False), err
    wait_until(lambda: runs(site, "seg3d"), "the gang runs")
    (pod,) = site.pods("seg3d")
    (beside,) = pod["spec"]["initContainers"]
    assert beside["restartPolicy"] == "Always", "the API server knows it"
    rank = pod["metadata"]["labels"]["volcano.sh/task-index"]
    words = [word.replace("$(RANK)", rank) for word in command_of(site, pod, beside, tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as prefetch:
        hot = folders / "hot/datasets/seg3d"
        asked = {DATA_VARIABLE: str(hot), READS_VARIABLE: str(tmp_path / "reads.sock")}
        try:
            assert ready("shard-0", environ=asked).read_bytes() == DATA
        finally:
            prefetch.terminate()
        assert prefetch.wait(60) == 0
    assert (folders / f"hot/.tiers/order/seg3d-ahead-{rank}").is_file()
    site.end("seg3d", 0)
    done = site.path("seg3d")
    wait_until(lambda: site.api.get(done)["status"]["state"]["phase"] == "Completed", "the gang is done")


@pytest.mark.slow
def test_archived_data_is_back_before_the_gang_starts_and_is_let_go_after_it(
    flow_site,
    tiers,
    wait_until,
    folders,
    tmp_path,
):
    site = flow_site(changes(folders))
    scratch = tmp_path / "etc"
    scratch.mkdir()
    code, _, err = tiers(site.command("submit", "nightly"))
    assert code == 0, err
    wait_until(lambda: runs(site, "nightly-seg3d-stage"), "the staging pod runs")
    assert carry_out(site, "nightly-seg3d-stage", scratch) == ["cloud_jobs.stage", "cloud_jobs.pin"]
    assert jobs(site) == {"nightly-seg3d-stage"}, "no GPU is asked for while data is on its way"
    assert (folders / "hot/datasets/seg3d/shard-0").read_bytes() == DATA
    assert not (folders / "warm/datasets/other/shard-0").exists(), "only what the job needs came back"
    hot = Storage(tier="hot", url=(folders / "hot").as_uri())
    stage = SyncTask(route="seg3d-stage", source=hot, targets=(hot,), path="datasets/seg3d")
    assert holders(stage, hot) == ("nightly-seg3d",)

    site.end("nightly-seg3d-stage", 0)
    wait_until(lambda: runs(site, "nightly-seg3d"), "the gang runs")
    site.end("nightly-seg3d", 0)
    wait_until(lambda: runs(site, "nightly-seg3d-unpin"), "the data may go")
    assert carry_out(site, "nightly-seg3d-unpin", scratch) == ["cloud_jobs.pin"]
    assert holders(stage, hot) == ()
    site.end("nightly-seg3d-unpin", 0)
    wait_until(lambda: phase(site) == "Succeed", "the flow has succeeded")
