"""The direction of imports and the doors hold, and each contract would notice a violation."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ROOTS = ("toolkit", "edge_runtime", "cloud_jobs", "templates")
LINT = [
    sys.executable,
    "-c",
    "from importlinter.cli import lint_imports_command as lint; lint()",
    "--no-cache",
]

# One line per contract, each hidden inside a function, where an import is easiest to miss.
CONTRACTS = {
    "layers", "apart", "floor",
    "door-kubernetes", "door-typer", "door-pydantic", "door-yaml", "door-jinja2", "door-mqtt", "door-obstore",
    "door-asyncssh", "door-tensorrt", "door-onnxruntime", "door-torch", "door-prometheus", "door-sqlite",
}  # fmt: skip
VIOLATIONS = {
    "toolkit/wire/planted.py": """
def planted() -> None:
    import toolkit.cli
    import kubernetes
    import typer
    import pydantic
    import yaml
    import jinja2
    import paho.mqtt.client
    import obstore
    import asyncssh
    import tensorrt
    import onnxruntime
    import torch
    import prometheus_client
    import sqlite3
""",
    "edge_runtime/planted.py": """
def planted() -> None:
    import cloud_jobs
    import toolkit.cli
""",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Copy what import-linter reads, so that a violation can be planted."""
    for root in ROOTS:
        shutil.copytree(REPOSITORY / root, tmp_path / root, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def verdicts(folder: Path) -> tuple[int, dict[str, str], str]:
    """Run lint-imports there: exit code, contract -> KEPT or BROKEN, and everything it said."""
    done = subprocess.run(LINT, cwd=folder, capture_output=True, text=True, check=False, timeout=100)
    said = done.stdout + done.stderr
    found = re.findall(r"^(.+?)\s*(KEPT|BROKEN)(?: \(.*\))?$", said, re.MULTILINE)
    return done.returncode, dict(found), said


def test_every_contract_of_the_architecture_is_written_down():
    written = re.findall(r'contracts\]\]\nid = "(.+)"', (REPOSITORY / "pyproject.toml").read_text())
    assert sorted(written) == sorted(CONTRACTS)


def test_the_contracts_are_kept(tree):
    code, found, said = verdicts(tree)
    assert code == 0, said
    assert set(found.values()) == {"KEPT"}
    assert len(found) == len(CONTRACTS)


def test_each_contract_notices_a_planted_violation(tree):
    for path, text in VIOLATIONS.items():
        (tree / path).write_text(text)
    code, found, said = verdicts(tree)
    assert code == 1
    assert len(found) == len(CONTRACTS)
    assert {name for name, verdict in found.items() if verdict != "BROKEN"} == set(), said


def test_a_new_room_must_be_given_its_place(tree):
    (tree / "toolkit/attic.py").write_text('"""A room that nobody drew."""\n')
    code, found, said = verdicts(tree)
    assert code == 1
    assert [name for name, verdict in found.items() if verdict == "BROKEN"] == [
        "a room imports only from the rooms below it"
    ]
    assert "attic" in said


def test_the_toolkit_starts_devices_only_as_processes(tree):
    (tree / "toolkit/wire/planted.py").write_text("import edge_runtime\n")
    _, found, _ = verdicts(tree)
    assert found["device and jobs never import each other, and the toolkit imports neither"] == "BROKEN"
