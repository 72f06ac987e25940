"""The commands on a real API server: what a person types, sees and gets as exit code."""

from __future__ import annotations

import json

import pytest

from toolkit.cli import main

CUT = {"jobs": None}


@pytest.fixture
def files(tmp_path, hospital_text, plane, site):
    """Write the hospital under a name of its own; give the options that every command takes."""
    own = site(CUT)
    text = hospital_text.replace("name: medical-imaging ", f"name: {own.name} ")
    path = tmp_path / "tiers.yaml"
    path.write_text(text)
    return ["--file", str(path), "--kubeconfig", str(plane.kubeconfig)]


def test_diff_apply_diff_status(files, capsys):
    assert main(["diff", *files, "--exit-code"]) == 8
    assert main(["apply", *files]) == 2, "nobody to ask and no --yes"
    assert "add --yes" in capsys.readouterr().err
    assert main(["apply", *files, "--yes", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {each["outcome"] for each in told[0]["objects"]} == {"created"}
    assert main(["diff", *files, "--exit-code"]) == 0
    assert main(["status", *files]) == 0
    told = capsys.readouterr().out
    assert "edge/ultrasound" in told
    assert "120/120" in told


def test_a_foreign_context_is_refused(files, capsys):
    assert main(["apply", *files, "--yes", "--context", "somewhere-else"]) == 2
    assert "somewhere-else" in capsys.readouterr().err


def test_diff_asks_the_broker_for_the_versions_of_models_when_told_to(files, capsys, mosquitto):
    assert main(["apply", *files, "--yes"]) == 0
    capsys.readouterr()
    asked = [*files, "--models", "--broker", f"mqtt://127.0.0.1:{mosquitto.port}"]
    assert main(["diff", *asked]) == 0
    said = capsys.readouterr().err
    line = "model us-segmentation: none live, 1.4.0 in tiers.yaml; next: tiers rollout start us-segmentation"
    assert line in said
    assert "0 of " in said
    assert main(["diff", *asked, "--exit-code"]) == 8
    mosquitto.stop()
    assert main(["diff", *asked]) == 5
