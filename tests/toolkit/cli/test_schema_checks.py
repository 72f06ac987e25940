"""`tiers lint` checks fields by schemas: of the CRDs it is shown, of those that were pulled, and says what it lacks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cluster.crds import find_crds
from toolkit.cli import main
from toolkit.lint.schema_files import CACHE

REPOSITORY = Path(__file__).parents[3]
WRONG = {
    "apiVersion": "scheduling.volcano.sh/v1beta1",
    "kind": "Queue",
    "metadata": {"name": "a"},
    "spec": {"capabilty": {"cpu": 1}},
}


@pytest.fixture
def site(tmp_path, require):
    require("crds")
    shutil.copy(REPOSITORY / "tiers.yaml", tmp_path)
    (tmp_path / "queue.json").write_text(json.dumps(WRONG))
    return tmp_path


def lint(site: Path, *arguments: str) -> int:
    return main(["lint", "--file", str(site / "tiers.yaml"), *arguments])


def test_without_crds_it_says_what_it_cannot_check(site, capsys):
    assert lint(site, str(site / "queue.json")) == 0
    said = capsys.readouterr().err
    assert "no schema of scheduling.volcano.sh/v1beta1 Queue" in said
    assert "tiers schema pull" in said


def test_with_crds_it_finds_the_field(site, capsys):
    assert lint(site, str(site / "queue.json"), "--crds", str(find_crds())) == 1
    told = capsys.readouterr()
    assert "error L002 Queue a: no field 'capabilty'; did you mean 'capability'?" in told.out
    assert "no schema" not in told.err


def test_pulled_crds_are_found_beside_tiers_yaml(site, capsys):
    shutil.copytree(find_crds(), site / CACHE / "main")
    assert lint(site, "--json") == 0
    told = capsys.readouterr()
    assert "no schema" not in told.err
    assert not [each for each in json.loads(told.out) if each["code"] < "L010"]
    assert lint(site, str(site / "queue.json")) == 1


def test_render_writes_nothing_that_would_be_refused(site, capsys):
    """The cluster's Volcano is older than what we render: its queues deserve nothing."""
    folder = site / CACHE / "main"
    shutil.copytree(find_crds(), folder)
    command = ["render", "--file", str(site / "tiers.yaml"), "--check", "--output", str(site / "out")]
    assert main(command) == 0
    assert "no schema" not in capsys.readouterr().err
    shutil.rmtree(site / "out")

    queues = folder / "volcano" / "scheduling.volcano.sh_queues.yaml"
    queues.write_text(queues.read_text().replace("              deserved:", "              deserves:"))
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "no field 'deserved'; did you mean 'deserves'?" in said
    assert "nothing was written" in said
    assert not (site / "out").exists()


def test_the_version_of_kubernetes_can_be_chosen(site, capsys):
    claim = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "a"},
        "spec": {},
    }
    (site / "claim.json").write_text(json.dumps(claim))
    assert lint(site, str(site / "claim.json")) == 0
    assert lint(site, str(site / "claim.json"), "--kubernetes", "1.32") == 1
    assert "served as resource.k8s.io/v1alpha3" in capsys.readouterr().out
    assert lint(site, "--kubernetes", "1.2") == 2
