"""A schedule is a state, so apply brings it; its runs find each other under names that nobody knows before."""

from __future__ import annotations

from toolkit.render.objects import render

NIGHT = {"cron": "0  2 * * *", "timezone": "Europe/Berlin", "overlap": "replace", "suspended": True}


def test_a_schedule_becomes_a_cron_job_that_apply_brings(topology):
    changed = topology({"jobs": {"seg3d": {"schedule": NIGHT}}})
    found = {
        each.kind: each
        for each in render(changed)
        if each.name == "seg3d" and each.kind in {"CronJob", "Job"}
    }
    cron, job = found["CronJob"], found["Job"]
    assert (cron.submitted, job.submitted) == (False, True)
    spec = cron.body["spec"]
    assert {key: value for key, value in spec.items() if key != "jobTemplate"} == {
        "schedule": "0 2 * * *",
        "timeZone": "Europe/Berlin",
        "concurrencyPolicy": "Replace",
        "startingDeadlineSeconds": 600,
        "suspend": True,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 3,
    }
    template = spec["jobTemplate"]
    assert template["metadata"]["labels"] == job.body["metadata"]["labels"]
    env = {
        each["name"]: each
        for each in template["spec"]["tasks"][0]["template"]["spec"]["containers"][0]["env"]
    }
    assert env["TIERS_JOB"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['volcano.sh/job-name']"
    assert env["MASTER_ADDR"]["value"] == "$(TIERS_JOB)-worker-0.$(TIERS_JOB)"
    assert "ttlSecondsAfterFinished" not in template["spec"], "the history limits say how long"


def test_without_a_schedule_there_is_none(hospital):
    assert ("CronJob", "batch.volcano.sh/v1alpha1") not in {
        (each.kind, each.api_version) for each in render(hospital)
    }
