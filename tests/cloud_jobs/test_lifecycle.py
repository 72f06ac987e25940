"""Rules about ageing data as the rendered CronJob carries them out: one line of JSON, an audit log, nothing twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from tests.toolkit.sync.trees import storage
from toolkit.sync.policies.policy import Match, Place, Policy, Rule, Terms, encode_policy

DAY = 86_400


@pytest.fixture
def site(tmp_path):
    """A warm folder with an old and a young study, a cold store of packs, and the policy that archives what is old."""
    warm, cold = storage(tmp_path / "warm"), storage(tmp_path / "cold", "packs")
    for name, days in (("old", 60), ("young", 1)):
        file = tmp_path / "warm/studies" / name / "1.dcm"
        file.parent.mkdir(parents=True)
        file.write_bytes(name.encode() * 1000)
        os.utime(file, (time.time() - days * DAY,) * 2)
    policy = Policy(
        site="clinic",
        tiers=(
            Terms(tier="warm", places=(Place(storage=warm),)),
            Terms(tier="cold", places=(Place(storage=cold),)),
        ),
        rules=(
            Rule(
                name="age",
                action="demote",
                tier="warm",
                match=Match(path="studies/**", older_than_seconds=30.0 * DAY),
            ),
        ),
    )
    (tmp_path / "policy.json").write_bytes(encode_policy(policy))
    return tmp_path


def rules(site, file="policy.json"):
    command = [sys.executable, "-m", "cloud_jobs.lifecycle", str(site / file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_what_is_old_is_archived_once_and_the_rest_stays(site):
    code, (line,), err = rules(site)
    assert (code, line["exit_code"], line["errors"]) == (0, 0, []), err
    assert line["deeds"]["move"]["objects"] == 1
    assert not (site / "warm/studies/old/1.dcm").exists()
    assert (site / "warm/studies/young/1.dcm").exists()
    assert list((site / "cold/packs").iterdir())
    code, (line,), _ = rules(site)
    assert (code, line["deeds"]) == (0, {})


def test_an_archive_that_is_not_there_takes_nothing_away(site):
    (site / "cold").rename(site / "away")
    code, (line,), _ = rules(site)
    assert code == line["exit_code"] == 5
    assert (site / "warm/studies/old/1.dcm").exists()


@pytest.mark.parametrize(("file", "code"), [("nothing.json", 2), ("broken.json", 6)])
def test_what_is_no_policy_is_refused(site, file, code):
    (site / "broken.json").write_text("{}")
    assert rules(site, file)[0] == code
