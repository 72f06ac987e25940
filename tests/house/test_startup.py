"""`tiers --help` and `tiers validate` start fast because they import nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = {
    "kubernetes", "kubernetes_validate", "onnxruntime", "torch", "obstore", "asyncssh", "paho", "numpy", "cryptography",
    "rich", "jinja2", "amqtt", "onnx",
}  # fmt: skip
PROGRAM = """
import json, sys
from toolkit.cli import main
code = main(sys.argv[2:])
json.dump([code, sorted(sys.modules)], open(sys.argv[1], "w"))
"""


def imported_by(tmp_path: Path, *arguments: str) -> tuple[int, set[str]]:
    """Run `tiers` in a fresh process; return its exit code and the top-level packages it imported."""
    result = tmp_path / "modules.json"
    command = [sys.executable, "-c", PROGRAM, str(result), *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60)
    assert result.exists(), done.stderr
    code, modules = json.loads(result.read_text())
    return code, {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("arguments", [["--help"], ["validate", "--help"], ["validate", "-f", "tiers.yaml"]])
def test_imports_nothing_heavy(tmp_path, arguments):
    code, packages = imported_by(tmp_path, *arguments)
    assert code == 0
    assert packages & HEAVY == set()


def test_the_list_of_heavy_packages_is_seen_when_one_is_imported(tmp_path):
    _, packages = imported_by(tmp_path, "version")
    assert "rich" in packages
