"""Suspend, resume, scale, cancel and list on a real cluster: what is asked has happened when the command ends."""

from __future__ import annotations

import json

import pytest

from toolkit.cli import main
from toolkit.errors import JobError
from toolkit.jobs.command import resume, suspend
from toolkit.jobs.scale import scale

ELASTIC = {"seg3d": {"gang": {"workers": 4, "min": 2}}}


@pytest.fixture
def tiers(capsys):
    def run(words: list[str]) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(words)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def started(site, job: str, wait_until) -> None:
    assert main(site.command("submit", job)) == 0
    wait_until(lambda: site.phase(job) == "Running", f"{job} runs")


def test_suspend_frees_the_machines_and_resume_takes_them_again(ward, tiers, wait_until):
    site = ward()
    started(site, "seg3d", wait_until)
    uid = site.live("seg3d")["metadata"]["uid"]
    code, out, err = tiers(site.command("suspend", "seg3d", "--json"))
    assert (code, json.loads(out)["state"]) == (0, "suspended"), err
    assert site.pods("seg3d") == []
    before = site.writes()
    assert json.loads(tiers(site.command("suspend", "seg3d", "--json"))[1])["sent"] is False
    assert site.writes() == before, "a second order is not sent"
    code, _, err = tiers(site.command("submit", "seg3d"))
    assert (code, "try: tiers job resume seg3d" in err) == (1, True)
    assert "somebody suspended it" in tiers(site.command("status", "seg3d"))[2]
    code, out, err = tiers(site.command("resume", "seg3d", "--json"))
    assert code == 0, err
    wait_until(lambda: site.phase("seg3d") == "Running", "it runs again")
    live = site.live("seg3d")
    assert (live["metadata"]["uid"], live["status"]["retryCount"]) == (uid, 1)
    assert "This is retry 1 of 100" in tiers(site.command("status", "seg3d"))[2]
    assert json.loads(tiers(site.command("resume", "seg3d", "--json"))[1])["sent"] is False
    commands = f"/apis/bus.volcano.sh/v1alpha1/namespaces/{site.name}/commands"
    assert site.api.items(commands) == []


def test_a_resume_that_volcano_would_turn_into_a_failure_is_refused(ward, tiers, wait_until):
    site = ward({"jobs": {"digits": {"retry": {"attempts": 1}}}})
    started(site, "digits", wait_until)
    assert suspend(site.where("digits"), seconds=60).sent
    code, _, err = tiers(site.command("resume", "digits"))
    assert (code, "has used 0 of 1 retries" in err) == (1, True)
    assert "tiers job submit digits --replace" in err
    assert site.phase("digits") == "Aborted"
    assert tiers(site.command("submit", "digits", "--replace", "--yes"))[0] == 0
    wait_until(lambda: site.phase("digits") == "Running", "it runs by the cure")


def test_a_time_out_says_that_the_order_stands(ward, wait_until):
    """Volcano's controller takes longer than no time at all."""
    site = ward()
    started(site, "digits", wait_until)
    with pytest.raises(JobError, match="not suspended yet; the order stands"):
        suspend(site.where("digits"), seconds=0)
    wait_until(lambda: site.phase("digits") == "Aborted", "it is suspended all the same")
    assert resume(site.where("digits"), seconds=60).sent


def test_an_elastic_gang_is_scaled_between_its_bounds(ward, tiers, wait_until):
    site = ward({"jobs": ELASTIC})
    started(site, "seg3d", wait_until)
    code, out, err = tiers(site.command("scale", "seg3d", "--workers", "3", "--json"))
    assert (code, json.loads(out)) == (
        0, {"job": "seg3d", "before": 4, "after": 3, "lowest": 2, "highest": 4},
    ), err  # fmt: skip
    wait_until(lambda: len(site.pods("seg3d")) == 3, "one worker goes")
    spec = site.live("seg3d")["spec"]
    assert (spec["minAvailable"], spec["tasks"][0]["replicas"], spec["tasks"][0]["minAvailable"]) == (2, 3, 2)
    before = site.writes()
    assert scale(site.where("seg3d"), 3).after == 3
    assert site.writes() == before, "the same number is not sent"
    for number in ("1", "5"):
        code, _, err = tiers(site.command("scale", "seg3d", "--workers", number))
        assert (code, "can have 2 to 4 workers" in err) == (2, True)
    assert scale(site.where("seg3d"), 4).before == 3
    wait_until(lambda: len(site.pods("seg3d")) == 4, "it comes back")
    code, out, _ = tiers(site.command("submit", "seg3d", "--json"))
    assert (code, json.loads(out)["outcome"]) == (0, "runs already"), "scaling leaves no difference behind"


def test_a_scaled_gang_is_set_back_only_after_a_question(ward, tiers, wait_until):
    site = ward({"jobs": ELASTIC})
    started(site, "seg3d", wait_until)
    assert scale(site.where("seg3d"), 3).after == 3
    code, _, err = tiers(site.command("submit", "seg3d"))
    assert (code, "~ spec.tasks[worker].replicas: 3 → 4" in err, "add --yes" in err) == (2, True, True)
    code, out, _ = tiers(site.command("submit", "seg3d", "--yes", "--json"))
    assert (code, json.loads(out)["outcome"]) == (0, "changed in place")


def test_a_rigid_gang_is_not_scaled(ward, tiers, wait_until):
    site = ward()
    started(site, "seg3d", wait_until)
    code, _, err = tiers(site.command("scale", "seg3d", "--workers", "3"))
    assert code == 2
    assert "each of its 4 workers was told that there are 4" in err
    assert "tiers job submit seg3d --workers N --replace" in err
    assert len(site.pods("seg3d")) == 4


def test_cancel_asks_waits_and_is_harmless_when_repeated(ward, tiers, wait_until):
    site = ward()
    started(site, "seg3d", wait_until)
    code, _, err = tiers(site.command("cancel", "seg3d"))
    assert (code, "cancel job seg3d, which is running?" in err, "add --yes" in err) == (2, True, True)
    assert len(site.pods("seg3d")) == 4
    assert tiers(site.command("cancel", "seg3d", "--yes"))[0] == 0
    assert site.api.gone(site.path("seg3d"))
    assert site.pods("seg3d") == [], "its machines are free when the command ends"
    code, _, err = tiers(site.command("cancel", "seg3d", "--yes"))
    assert (code, "nothing to do" in err) == (0, True)


def test_list_shows_what_runs_what_never_ran_and_what_tiers_yaml_lost(ward, tiers, wait_until):
    site = ward()
    started(site, "seg3d", wait_until)
    started(site, "digits", wait_until)
    smaller = ward(
        {"jobs": {"digits": None, "new": {"pool": "a100", "gang": {"workers": 1}, "run": "true"}}},
        name=site.name,
    )
    code, out, err = tiers(smaller.command("list", "--json"))
    assert code == 0, err
    listed = {each["job"]: each for each in json.loads(out)}
    assert set(listed) == {"seg3d", "digits", "new"}
    assert [listed[name]["state"] for name in ("seg3d", "digits", "new")] == [
        "running",
        "running",
        "not submitted",
    ]
    assert [listed[name]["in_tiers_yaml"] for name in ("seg3d", "digits", "new")] == [True, False, True]
    assert (listed["seg3d"]["running"], listed["seg3d"]["workers"]) == (4, 4)
    assert 0 <= listed["seg3d"]["age_seconds"] < 300
    code, out, _ = tiers(smaller.command("list"))
    assert "in tiers.yaml" in out
    assert tiers(smaller.command("cancel", "digits", "--yes"))[0] == 0, (
        "also what tiers.yaml lost can be cancelled"
    )
    assert site.api.gone(site.path("digits"))
