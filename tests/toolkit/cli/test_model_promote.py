"""`tiers model promote` as CI types it: a real broker, exit codes, JSON, Markdown, a job that is cancelled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.toolkit.cli.test_rollout_fleet import REPOSITORY, Typed, typed
from toolkit.cli.environment import files_for
from toolkit.errors import UsageError

__all__ = ["typed"]

KEYS = ("--key", "keys/site.pem", "--keyring", "keyring.json")


@pytest.mark.broker
def test_it_arrives_with_json_and_a_page_and_a_refusal_gives_7(typed: Typed) -> None:
    typed.run_devices()
    typed.run_driver()
    words = ("model", "promote", "digits@1", "--to", "production", *KEYS, "--json", "--summary", "page.md")
    done = typed.tiers(*words)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["outcome"], answer["rollout"], answer["repeated"]) == ("promoted", "digits-1-1", False)
    assert {check["gate"]: check["passed"] for check in answer["checks"]} == {
        "signature": True, "golden inputs": True, "accuracy": True, "pool boxes": True
    }  # fmt: skip
    assert (typed.folder / "page.md").read_text().startswith("## digits@1 is in production\n")
    again = typed.tiers(*words)
    assert (again.returncode, json.loads(again.stdout)["repeated"]) == (0, True)
    for device in typed.devices.values():
        device.refuses_versions = {"2"}
    refused = typed.tiers("model", "promote", "digits@2", "--to", "production", *KEYS, "--summary", "page.md")
    assert refused.returncode == 7, refused.stderr
    assert "golden-mismatch" in refused.stderr
    assert "## digits@2 failed on its way to production" in (typed.folder / "page.md").read_text()


@pytest.mark.broker
def test_a_shut_gate_gives_7_and_an_unknown_environment_2(typed: Typed) -> None:
    (typed.folder / "strict.yaml").write_text(
        "models: {digits: {accuracy: {metric: accuracy, at_least: 0.99}}}\n"
    )
    files = ("-f", str(REPOSITORY / "tiers.yaml"), "-f", "site.yaml", "-f", "strict.yaml")
    shut = typed.tiers("model", "promote", "digits@1", "--to", "production", *KEYS, *files, plain=True)
    assert shut.returncode == 7, shut.stderr
    assert "accuracy: the manifest has no accuracy, at least 0.99 is asked for" in shut.stderr
    assert json.loads(typed.tiers("rollout", "status", "--json").stdout) == {"rollouts": []}
    nowhere = typed.tiers("model", "promote", "digits@1", "--to", "staging", *KEYS)
    assert nowhere.returncode == 2
    assert "tiers.staging.yaml is not there" in nowhere.stderr


@pytest.mark.broker
def test_a_cancelled_job_leaves_the_rollout_going_and_says_what_stops_it(typed: Typed, wait_until) -> None:
    command = [
        sys.executable, "-m", "toolkit.cli", "model", "promote", "digits@1", "--to", "production", *KEYS,
        "--summary", "page.md", "-f", str(REPOSITORY / "tiers.yaml"), "-f", "site.yaml",
    ]  # fmt: skip
    log = (typed.folder / "ci.log").open("w+")
    job = subprocess.Popen(
        command, cwd=typed.folder, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stderr=log,
        stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        wait_until(lambda: "RUNNING" in (typed.folder / "ci.log").read_text(), "it waits for the rollout")
        job.send_signal(signal.SIGTERM)
        assert job.wait(60) == 130
    finally:
        job.kill()
        job.wait(60)
        log.close()
    said = (typed.folder / "ci.log").read_text()
    assert "rollout digits-1-1 goes on without us; this stops it: tiers rollout abort digits-1-1" in said
    assert "is on its way to production" in (typed.folder / "page.md").read_text()
    typed.run_devices()
    typed.run_driver()
    done = typed.tiers("model", "promote", "digits@1", "--to", "production", *KEYS, "--json")
    assert (done.returncode, json.loads(done.stdout)["repeated"]) == (0, True)


def test_an_environment_is_a_file_on_top(tmp_path) -> None:
    base, other = tmp_path / "tiers.yaml", tmp_path / "site.yaml"
    assert files_for("production", [base, other]) == [base, other]
    for name in ("staging", "production"):
        own = tmp_path / f"tiers.{name}.yaml"
        own.write_text("")
        assert files_for(name, [base, other]) == [base, other, own]
    with pytest.raises(UsageError, match=r"tiers.test.yaml is not there"):
        files_for("test", [base])
    for name in ("", "../etc", "a/b", "a.b"):
        with pytest.raises(UsageError, match="no name of an environment"):
            files_for(name, [base])
