"""Flows on the real control plane: data first, then the gang, then unpin; and what a person types, sees and gets."""

from __future__ import annotations

import json

import pytest

from toolkit.cli import main
from toolkit.cluster.kinds import Kinds
from toolkit.render.objects import render

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
    wait_until(lambda: runs(site, "nightly-seg3d-stage"), "the data is being staged", 60)
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
    wait_until(lambda: runs(site, "nightly-seg3d"), "the gang runs", 60)
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
        wait_until(lambda last=last: runs(site, last), f"{last} runs", 60)
        site.end(last, 0)
    wait_until(lambda: phase(site) == "Succeed", "the flow has succeeded", 60)
    assert json.loads(tiers(site.command("submit", "nightly", "--json"))[1])["outcome"] == "has completed"
    # Why templates have no ttlSecondsAfterFinished: a step whose job is gone is made anew when another one changes.
    site.api.delete(site.path("nightly-seg3d-stage"))
    wait_until(lambda: "nightly-seg3d-stage" not in jobs(site), "the job of a step is gone", 60)
    site.api.merge(site.path("nightly-digits"), {"metadata": {"annotations": {"touched": "yes"}}})
    wait_until(lambda: "nightly-seg3d-stage" in jobs(site), "it is made anew", 60)
    code, out, err = tiers(site.command("submit", "nightly", "--again", "--json"))
    assert (code, json.loads(out)["outcome"]) == (0, "submitted again"), err
    wait_until(lambda: runs(site, "nightly-seg3d-stage"), "it runs again from the start", 60)
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

    wait_until(failed, "the flow has failed", 90)
    assert jobs(site) == {"nightly-seg3d-stage"}
    # How often is Volcano's affair: its count was 1 once on a busy machine, and 5 as rendered otherwise.
    assert site.live("nightly-seg3d-stage")["status"]["retryCount"] >= 1
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
