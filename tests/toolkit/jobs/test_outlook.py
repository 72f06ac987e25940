"""What `tiers job plan` says without a cluster."""

from __future__ import annotations

import pytest

from toolkit.cli import main
from toolkit.errors import UsageError
from toolkit.jobs.outlook import outlook
from toolkit.jobs.outlook_rows import rows
from toolkit.render.lock import Lock


def test_it_says_where_how_much_and_why(hospital):
    plan = outlook(hospital, Lock(), "seg3d")
    assert (plan.cluster, plan.namespace, plan.pool, plan.machines) == ("main", "medical-imaging", "a100", 6)
    assert (plan.workers, plan.minimum, plan.gpus, plan.needs_machines) == (4, 4, 32, 4)
    assert plan.queue == "medical-imaging-research"
    assert plan.queue_limit == {"gpus": "48"}
    assert plan.problems == ()
    told = dict(rows(plan))
    assert told["in all"] == "32 GPUs, 4 of 6 machines when empty"
    assert told["data"] == "warm: datasets/seg3d"
    assert any(what == "why" and "GPUs of one kind" in value for what, value in rows(plan))


def test_it_says_that_data_come_ahead_of_need(topology):
    data = {"from": "warm", "path": "datasets/seg3d", "bring": "ahead", "budget": "200GiB"}
    plan = outlook(topology({"jobs": {"seg3d": {"data": data}}}), Lock(), "seg3d")
    assert dict(rows(plan))["data"] == "warm: datasets/seg3d, ahead of need, 200GiB at most"
    assert plan.problems == ()


def test_two_workers_share_a_machine(topology):
    changed = topology({"jobs": {"seg3d": {"gang": {"workers": 5, "gpus_per_worker": 4}}}})
    assert outlook(changed, Lock(), "seg3d").needs_machines == 3


def test_an_unknown_job(hospital):
    with pytest.raises(UsageError, match="did you mean 'seg3d'"):
        outlook(hospital, Lock(), "seg3")


def test_what_could_not_be_submitted_ends_with_1(tmp_path, hospital_text, capsys):
    path = tmp_path / "tiers.yaml"
    path.write_text(hospital_text)
    assert main(["job", "plan", "digits", "-f", str(path)]) == 0
    assert "next: tiers job submit digits" in capsys.readouterr().err
    more = tmp_path / "more.yaml"
    more.write_text("jobs: {seg3d: {gang: {workers: 6}}}\n")
    assert main(["job", "plan", "seg3d", "-f", str(path), "-f", str(more)]) == 1
    said = capsys.readouterr().err
    assert "medical-ai" in said, "the service of that pool holds GPUs of two machines"
    assert "try: tiers lint" in said
