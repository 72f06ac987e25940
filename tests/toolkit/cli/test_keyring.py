"""`tiers keyring show|add|retire`, in this process, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolkit.cli import main
from toolkit.errors import GateRefusedError, UsageError


def test_a_rotation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "keygen", str(tmp_path)]) == 0
    file, new = str(tmp_path / "keyring.json"), str(tmp_path / "registry-2.pem")
    assert main(["keyring", "retire", file, "registry"]) == GateRefusedError.exit_code
    capsys.readouterr()
    assert main(["keyring", "add", file, new, "--role", "registry", "--json"]) == 0
    shown = capsys.readouterr()
    assert [each["name"] for each in json.loads(shown.out)] == ["registry", "operator", "registry-2"]
    assert "put it on depots and devices" in shown.err
    assert main(["keyring", "retire", file, "registry"]) == 0
    capsys.readouterr()
    assert main(["keyring", "show", file, "--json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == ["operator", "registry-2"]
    assert main(["keyring", "retire", file, "registry"]) == UsageError.exit_code
    assert "did you mean" in capsys.readouterr().err
