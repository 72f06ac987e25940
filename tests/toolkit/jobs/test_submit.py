"""A job into a real cluster, once: by name, by specification, by state; and what a person types, sees and gets."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from toolkit.cli import main

SEG3D = {"pool": "a100", "gang": {"workers": 4, "gpus_per_worker": 8}}


@pytest.fixture
def tiers(capsys):
    """Give `tiers(words)`: exit code, stdout, stderr of a command."""

    def run(words: list[str]) -> tuple[int, str, str]:
        code = main(words)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_it_runs_and_the_same_job_again_sends_nothing(ward, tiers, wait_until):
    site = ward()
    code, out, err = tiers(site.command("submit", "seg3d", "--json"))
    assert (code, json.loads(out)["outcome"]) == (0, "submitted"), err
    assert "next: tiers job status seg3d" in err
    wait_until(lambda: site.phase("seg3d") == "Running", "it runs")
    before, version = site.writes(), site.live("seg3d")["metadata"]["resourceVersion"]
    assert [verb for verb, _ in before] == ["patch"], "one server-side apply submits a job"
    for words in ((), ("--again",), ("--replace",), ("--dry-run",)):
        code, out, _ = tiers(site.command("submit", "seg3d", "--json", *words))
        assert (code, json.loads(out)["outcome"]) == (0, "runs already"), words
    assert site.writes() == before
    assert site.live("seg3d")["metadata"]["resourceVersion"] == version


def test_a_dry_run_asks_webhooks_and_writes_nothing(ward, tiers):
    site = ward()
    code, _, err = tiers(site.command("submit", "seg3d", "--dry-run"))
    assert code == 0, err
    assert site.api.gone(site.path("seg3d"))
    assert site.writes() == []


def test_what_it_needs_is_missing(ward, tiers):
    site = ward(prepare=False)
    code, _, err = tiers(site.command("submit", "seg3d"))
    assert code == 1
    for each in (f"the namespace {site.name}", f"queue {site.name}-research", f"class {site.name}-batch"):
        assert each in err
    assert "try: tiers apply" in err
    site.prepare()
    assert tiers(site.command("submit", "seg3d"))[0] == 0


def test_another_specification_is_shown_and_only_a_replacement_takes_it(ward, tiers, wait_until):
    site = ward()
    assert tiers(site.command("submit", "seg3d"))[0] == 0
    wait_until(lambda: site.phase("seg3d") == "Running", "it runs")
    uid, before = site.live("seg3d")["metadata"]["uid"], site.writes()
    edited = ward({"jobs": {"seg3d": {"image": "registry.example/seg3d:2.2"}}}, name=site.name)
    code, _, err = tiers(edited.command("submit", "seg3d"))
    assert code == 1
    assert '"registry.example/seg3d:2.1" → "registry.example/seg3d:2.2"' in err
    assert "tiers job submit seg3d --replace" in err
    assert site.writes() == before
    code, _, err = tiers(edited.command("submit", "seg3d", "--replace"))
    assert (code, "add --yes" in err) == (2, True), "nobody to ask"
    assert site.writes() == before
    code, out, err = tiers(edited.command("submit", "seg3d", "--replace", "--yes", "--json"))
    assert (code, json.loads(out)["outcome"]) == (0, "replaced"), err
    assert site.live("seg3d")["metadata"]["uid"] != uid
    wait_until(lambda: site.phase("seg3d") == "Running", "the new one runs")


def test_priority_changes_in_place(ward, tiers, wait_until):
    site = ward()
    assert tiers(site.command("submit", "seg3d"))[0] == 0
    wait_until(lambda: site.phase("seg3d") == "Running", "it runs")
    uid = site.live("seg3d")["metadata"]["uid"]
    edited = ward({"jobs": {"seg3d": {"priority": "normal"}}}, name=site.name)
    code, out, err = tiers(edited.command("submit", "seg3d", "--yes", "--json"))
    assert (code, json.loads(out)["outcome"]) == (0, "changed in place"), err
    assert "~ spec.priorityClassName" in err
    live = site.live("seg3d")
    assert (live["metadata"]["uid"], live["spec"]["priorityClassName"]) == (uid, f"{site.name}-normal")
    assert json.loads(tiers(edited.command("submit", "seg3d", "--json"))[1])["outcome"] == "runs already"


def test_what_has_ended_runs_anew_only_when_asked(ward, tiers, wait_until):
    site = ward()
    assert tiers(site.command("submit", "digits"))[0] == 0
    wait_until(lambda: site.phase("digits") == "Running", "it runs")
    site.end("digits", 0)
    code, _, err = tiers(site.command("submit", "digits", "--wait"))
    assert code == 0, err
    assert "digits: completed: it ended well at" in err
    uid, before = site.live("digits")["metadata"]["uid"], site.writes()
    code, out, err = tiers(site.command("submit", "digits", "--wait", "--json"))
    assert (code, json.loads(out)["outcome"]) == (0, "has completed"), err
    assert site.writes() == before
    edited = ward({"jobs": {"digits": {"env": {"LEVEL": "2"}}}}, name=site.name)
    code, _, err = tiers(edited.command("submit", "digits"))
    assert (code, "not as tiers.yaml says now" in err, "--again" in err) == (1, True, True)
    code, out, err = tiers(edited.command("submit", "digits", "--again", "--json"))
    assert (code, json.loads(out)["outcome"]) == (0, "submitted again"), err
    assert site.live("digits")["metadata"]["uid"] != uid


def test_a_failed_job_is_told_with_rank_and_code_and_runs_again(ward, tiers, wait_until):
    site = ward()
    assert tiers(site.command("submit", "digits"))[0] == 0
    wait_until(lambda: site.phase("digits") == "Running", "it runs")
    site.end("digits", 3, rank=1)
    wait_until(lambda: site.phase("digits") in {"Failed", "Terminated"}, "it fails")
    code, _, err = tiers(site.command("submit", "digits", "--wait"))
    assert code == 1
    assert "rank 1 on a100-" in err
    assert "ended with exit code 3" in err
    assert "try: tiers job logs digits --rank 1; then tiers job submit digits --again" in err
    code, _, err = tiers(site.command("submit", "digits"))
    assert (code, "--again" in err) == (1, True)
    assert tiers(site.command("submit", "digits", "--again"))[0] == 0
    wait_until(lambda: site.phase("digits") == "Running", "it runs again")


def test_a_job_that_tiers_did_not_submit_is_left_alone(ward, tiers):
    site = ward()
    foreign = {"kind": "Job", "apiVersion": "batch.volcano.sh/v1alpha1", "metadata": {"name": "seg3d"}}
    container = {"name": "c", "image": "busybox:1"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    foreign["spec"] = {"tasks": [{"name": "t", "replicas": 1, "template": template}], "queue": "default"}
    site.api.create(site.path("").rstrip("/"), foreign)
    code, _, err = tiers(site.command("submit", "seg3d"))
    assert (code, "that tiers did not submit" in err) == (1, True)
    assert site.writes() == []


def test_what_somebody_else_changed_is_not_taken_over(ward, tiers, wait_until):
    site = ward()
    code, _, err = tiers(site.command("submit", "digits"))
    assert code == 0, err
    wait_until(lambda: site.phase("digits") == "Running", "it runs")
    site.api.merge(
        site.path("digits"), {"spec": {"priorityClassName": f"{site.name}-normal"}}, manager="kubectl-edit"
    )
    code, _, err = tiers(site.command("submit", "digits", "--yes"))
    assert code == 1
    assert "changed by somebody else: .spec.priorityClassName belongs to kubectl-edit" in err
    assert "--replace" in err
    assert site.live("digits")["spec"]["priorityClassName"] == f"{site.name}-normal"


def test_a_queue_that_is_not_open_yet_is_waited_for(ward, tiers, plane, wait_until):
    """`tiers apply` and `tiers job submit` behind each other, as CI does it, while Volcano's controller is slow."""
    (controller,) = [each for each in plane.processes if each.name == "vc-controller-manager"]

    def refused() -> list[int]:
        codes = [
            each["responseStatus"]["code"]
            for each in plane.audited()
            if (each["verb"], each["stage"]) == ("patch", "ResponseComplete")
            and site.path("digits") in each["requestURI"]
        ]
        return [code for code in codes if code >= 400]

    os.kill(controller.process.pid, signal.SIGSTOP)
    try:
        site = ward(heard=False)
        with ThreadPoolExecutor(1) as one:
            submitting = one.submit(tiers, site.command("submit", "digits"))
            wait_until(lambda: refused() or submitting.done(), "the webhook has refused it")
            os.kill(controller.process.pid, signal.SIGCONT)
            code, _, err = submitting.result()
    finally:
        os.kill(controller.process.pid, signal.SIGCONT)
    assert refused(), "else this shows nothing"
    assert code == 0, err
    wait_until(lambda: site.phase("digits") == "Running", "it runs")


def test_what_the_webhook_refuses_is_said_with_its_words(ward, tiers, wait_until):
    """A queue that got queues below it between `tiers apply` and now takes no jobs any more."""
    site = ward()
    child = {"metadata": {"name": f"{site.name}-child"}, "spec": {"parent": f"{site.name}-research"}}
    queues = "/apis/scheduling.volcano.sh/v1beta1/queues"
    site.api.create(queues, {"apiVersion": "scheduling.volcano.sh/v1beta1", "kind": "Queue", **child})
    try:
        dry = site.command("submit", "seg3d", "--dry-run")
        wait_until(lambda: tiers(dry)[0] == 1, "the webhook has heard of the queue below")
        code, _, err = tiers(site.command("submit", "seg3d"))
    finally:
        site.api.delete(f"{queues}/{site.name}-child")
    assert code == 1
    assert "the cluster refuses job seg3d: " in err
    assert "validate" in err or "denied" in err
    assert "try: tiers lint" in err
    assert site.api.gone(site.path("seg3d"))


def test_a_user_who_may_only_submit_here_can_submit(ward, tiers, wait_until):
    site = ward()
    site.allow("guest", ("batch.volcano.sh", "jobs", ["get", "create", "patch"]), ("", "pods", ["list"]))

    def submitted() -> bool:
        return tiers(site.command("submit", "seg3d", user="guest"))[0] == 0

    wait_until(submitted, "the role holds")
    wait_until(lambda: site.phase("seg3d") == "Running", "it runs")
    code, out, err = tiers(site.command("submit", "seg3d", "--json", user="guest"))
    assert (code, json.loads(out)["outcome"]) == (0, "runs already"), err


@pytest.mark.parametrize(
    ("words", "code", "message", "cure"),
    [
        (["submit", "seg"], 2, "no job 'seg' in tiers.yaml; did you mean 'seg3d'", "jobs: digits, seg3d"),
        (["submit", "seg3d", "--local", "--again"], 2, "knows no --again", "--local"),
        (["submit", "seg3d", "--fresh"], 2, "--fresh is for --local", "--again"),
        (["submit", "seg3d", "--workers", "7"], 1, "L155", "tiers lint"),
        (
            ["status", "seg3d", "--context", "elsewhere"],
            2,
            "no cluster with the context 'elsewhere'",
            "--context",
        ),
        (["plan", "nothing"], 2, "no job 'nothing'", "jobs: digits, seg3d"),
        (["status", "nothing"], 2, "no job 'nothing'", "jobs: digits, seg3d"),
        (["scale", "seg3d", "--workers", "3"], 1, "is not in the cluster", "tiers job submit seg3d"),
        (["suspend", "seg3d"], 1, "is not in the cluster", "tiers job submit seg3d"),
        (["resume", "seg3d"], 1, "is not in the cluster", "tiers job submit seg3d"),
        (["logs", "seg3d"], 1, "no worker has begun", "tiers job status seg3d"),
    ],
)
def test_what_is_asked_wrongly_is_answered_with_a_cure(ward, tiers, words, code, message, cure):
    site = ward()
    found, _, err = tiers(site.command(*words) if words[0] != "plan" else [*site.command(*words)[:-2]])
    assert found == code, err
    assert message in err
    assert cure in err
    assert site.writes() == []


@pytest.mark.parametrize("verb", ["submit", "status", "list", "logs", "cancel", "suspend", "resume"])
def test_a_user_without_rights_and_a_cluster_that_is_away(ward, tiers, verb, free_port, tmp_path):
    site = ward()
    words = [verb] if verb == "list" else [verb, "seg3d"]
    code, _, err = tiers(site.command(*words, user="guest"))
    assert code == 1
    assert "forbidden" in err
    assert "can-i" in err
    away = tmp_path / "away"
    away.write_text(
        site.plane.kubeconfig.read_text().replace(site.plane.url, f"https://127.0.0.1:{free_port()}")
    )
    code, _, err = tiers([*site.command(*words)[:-1], str(away)])
    assert code == 5
    assert "does not answer" in err
