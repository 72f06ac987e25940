"""`tiers job status` on the real Volcano scheduler: why a gang waits, and that the cure it names is true."""

from __future__ import annotations

import json
import re

import pytest

from toolkit.cli import main

WHOLE_POOL = {"seg3d": {"gang": {"workers": 6}}}
APART = {**WHOLE_POOL, "digits": {"queue": None, "gang": {"workers": 1}}}
"""All six machines, and a small job in another queue that holds one of them."""


@pytest.fixture
def status(capsys):
    """Give `status(site, job)`: the JSON of `tiers job status`."""

    def ask(site, job: str) -> dict:
        capsys.readouterr()
        assert main(site.command("status", job, "--json")) == 0
        return json.loads(capsys.readouterr().out)

    return ask


def submit(site, *words: str) -> None:
    assert main(site.command("submit", *words, "--yes")) == 0


def follow_cure(site, found: dict, pattern: str) -> None:
    """Type what the status says."""
    command = re.search(pattern, found["reason"]["cure"])
    assert command is not None, found["reason"]
    assert (
        main(site.command(*command[0].removeprefix("tiers job ").split(), *CURE_OPTIONS.get(pattern, ())))
        == 0
    )


SUSPEND, SMALLER = r"tiers job suspend digits", r"tiers job submit seg3d --workers \d --replace"
CURE_OPTIONS = {SMALLER: ("--yes",)}


@pytest.mark.parametrize("cure", [SUSPEND, SMALLER])
def test_a_gang_that_does_not_fit_says_why_and_runs_when_the_cure_is_followed(ward, status, wait_until, cure):
    site = ward({"jobs": APART})
    submit(site, "digits")
    wait_until(lambda: site.phase("digits") == "Running", "the small job runs")
    submit(site, "seg3d")
    wait_until(lambda: status(site, "seg3d")["pod_group"] in {"Pending", "Inqueue"}, "Volcano has judged it")
    found = status(site, "seg3d")
    assert (found["state"], found["reason"]["cause"], found["running"]) == ("pending", "no-room-now", 0)
    assert found["reason"]["why"].startswith(
        "6 workers × 8 GPUs on pool a100; 5 of 6 machines have 8 GPUs free"
    )
    assert "(job digits holds 1 GPU)" in found["reason"]["why"]
    assert not any(pod["spec"].get("nodeName") for pod in site.pods("seg3d"))
    follow_cure(site, found, cure)
    wait_until(lambda: site.phase("seg3d") == "Running", "it runs as the status said")
    found = status(site, "seg3d")
    assert found["running"] == found["workers"] == (6 if cure == SUSPEND else 5)
    assert len({each["node"] for each in found["pods"]}) == found["workers"]


def test_services_that_hold_machines_are_named_beside_jobs(ward, status, wait_until):
    whole_machine = {"workers": 1, "gpus_per_worker": 8}
    jobs = {"seg3d": {"gang": {"workers": 5}}, "digits": {"queue": None, "gang": whole_machine}}
    two = {"medical-ai": {"scale": None}}  # else an autoscaler says how many servers there are
    site = ward({"jobs": jobs, "services": two}, services=True)
    submit(site, "digits")
    pods = f"/api/v1/namespaces/{site.name}/pods?labelSelector=tiers.dev/part-of=service"
    wait_until(lambda: sum("nodeName" in each["spec"] for each in site.api.items(pods)) == 2, "it serves")
    wait_until(lambda: site.phase("digits") == "Running", "the small job runs")
    submit(site, "seg3d")
    wait_until(lambda: status(site, "seg3d")["pod_group"] in {"Pending", "Inqueue"}, "Volcano has judged it")
    found = status(site, "seg3d")
    assert found["reason"]["cause"] == "no-room-now"
    assert "job digits holds 8 GPUs, service medical-ai holds 2 GPUs" in found["reason"]["why"]
    follow_cure(site, found, SMALLER)
    wait_until(lambda: site.phase("seg3d") == "Running", "it runs as the status said")


def test_a_full_queue_is_named_with_who_fills_it(ward, status, wait_until):
    site = ward({"jobs": WHOLE_POOL})
    submit(site, "digits")
    wait_until(lambda: site.phase("digits") == "Running", "the small job runs")
    submit(site, "seg3d")
    wait_until(lambda: status(site, "seg3d")["phase"] == "Pending", "Volcano has seen it")
    found = status(site, "seg3d")
    assert found["reason"]["cause"] == "queue-full"
    assert f"queue {site.name}-research has 46 GPUs left of 48 GPUs" in found["reason"]["why"]
    assert "(job digits holds 2 GPUs)" in found["reason"]["why"]
    follow_cure(site, found, SUSPEND)
    wait_until(lambda: site.phase("seg3d") == "Running", "it runs as the status said")


def test_a_quota_that_is_too_small_is_named(ward, status, wait_until):
    site = ward()
    quota = {"metadata": {"name": "gpus"}, "spec": {"hard": {"requests.nvidia.com/gpu": "16"}}}
    path = f"/api/v1/namespaces/{site.name}/resourcequotas"
    site.api.create(path, {"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    wait_until(lambda: site.api.get(f"{path}/gpus").get("status", {}).get("hard"), "the quota is counted")
    submit(site, "seg3d")
    wait_until(lambda: len(site.pods("seg3d")) == 2, "two of four pods are let in")
    wait_until(lambda: status(site, "seg3d")["reason"]["cause"] == "quota", "the status says it")
    assert "16 GPUs (requests.nvidia.com/gpu)" in status(site, "seg3d")["reason"]["why"]
    site.api.merge(f"{path}/gpus", {"spec": {"hard": {"requests.nvidia.com/gpu": "32"}}})
    # Volcano tries again after 5 ms, 10 ms and so on up to 82 s.
    wait_until(lambda: site.phase("seg3d") == "Running", "it runs when the quota is raised", 200)


def test_what_goes_missing_after_it_was_submitted_is_named(ward, status, wait_until):
    site = ward({"jobs": APART})
    submit(site, "digits")
    wait_until(lambda: site.phase("digits") == "Running", "the small job runs")
    submit(site, "seg3d")
    site.api.delete(f"/apis/scheduling.k8s.io/v1/priorityclasses/{site.name}-batch")
    assert status(site, "seg3d")["reason"]["cause"] == "priority-class-missing"
    site.prepare()
    for node in range(1, 7):
        site.api.merge(f"/api/v1/nodes/a100-{node:03d}", {"spec": {"unschedulable": True}})
    try:
        found = status(site, "seg3d")
        assert found["reason"]["cause"] == "no-such-machines"
        assert "a100-001 (cordoned)" in found["reason"]["why"]
    finally:
        for node in range(1, 7):
            site.api.merge(f"/api/v1/nodes/a100-{node:03d}", {"spec": {"unschedulable": None}})


def test_a_user_who_sees_only_jobs_gets_what_he_may_know(ward, wait_until, capsys):
    site = ward({"jobs": APART})
    site.allow("guest", ("batch.volcano.sh", "jobs", ["get"]), ("", "pods", ["list"]))
    submit(site, "digits")
    submit(site, "seg3d")
    capsys.readouterr()

    def asked() -> tuple[int, str]:
        code = main(site.command("status", "seg3d", "--json", user="guest"))
        return code, capsys.readouterr().out

    wait_until(lambda: asked()[0] == 0, "the role holds")
    found = json.loads(asked()[1])
    assert {"Node", "Queue", "PodGroup"} <= set(found["unread"])
    assert found["reason"]["cause"] in {"not-yet", "scheduler-says-no", "controller-has-not-seen-it"}
