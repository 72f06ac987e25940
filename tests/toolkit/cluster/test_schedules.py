"""Schedules: what we take as a cron expression Volcano's own webhook takes, and what we refuse it refuses (dry run)."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from tests.cluster.api import Refused
from toolkit.render.objects import render
from toolkit.topology.load import load
from toolkit.topology.schedule import Cron

GOLDEN = Path(__file__).parents[3] / "tests" / "golden" / "volcano" / "tiers.yaml"
TAKEN = [
    "0 2 * * *", "*/15 8-18 * * mon-fri", "30 6 1,15 * ?", "0 0 29 feb *", "5/10 * * JAN-MAR 0", "@daily", "0 0 31 * 1",
    "59 23 31 12 6", "0 2 30 feb mon",
]  # fmt: skip
REFUSED = ["0 2 * *", "60 2 * * *", "0 24 * * *", "0 2 0 * *", "0 2 * 13 *", "0 2 * * 7", "0 2 * * fry", "0 2 5-1 * *",
           "*/0 * * * *", "TZ=UTC 0 2 * * *", "0 2 * * * *", "@never", "", "a b c d e", "-1 * * * *"]  # fmt: skip


@pytest.fixture(scope="module")
def cron_job():
    (found,) = [each for each in render(load([GOLDEN]).topology) if each.kind == "CronJob"]
    return found


def ours(text):
    try:
        return str(Cron.parse(text)) == " ".join(text.split())
    except ValueError:
        return False


def theirs(plane, cron_job, **changes):
    body = copy.deepcopy(dict(cron_job.body))
    body["metadata"]["namespace"] = "default"
    body["spec"] |= changes
    try:
        plane.api.request(
            "POST",
            "/apis/batch.volcano.sh/v1alpha1/namespaces/default/cronjobs?dryRun=All&fieldValidation=Strict",
            body,
        )
    except Refused as refused:
        return str(refused)
    return ""


def test_ours_and_volcanos_verdicts_are_the_same(plane, cron_job):
    said = {text: (ours(text), theirs(plane, cron_job, schedule=text) == "") for text in (*TAKEN, *REFUSED)}
    assert {text: verdict for text, verdict in said.items() if verdict[0] != verdict[1]} == {}
    assert {text for text, verdict in said.items() if verdict[0]} == set(TAKEN)
    assert not ours("0 2 30 feb *"), "Volcano takes it, and it never runs"
    assert theirs(plane, cron_job, timeZone="Europe/Berlin") == ""
    assert "timeZone" in theirs(plane, cron_job, timeZone="Europe/Berln")
