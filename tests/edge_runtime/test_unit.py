"""The unit that `tiers-edge unit` prints: systemd takes it, and it says what the daemon does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from edge_runtime.unit import GPU_GROUPS, unit_text
from toolkit.errors import IntegrityError, MissingExtraError, UsageError

MAIN = [sys.executable, "-m", "edge_runtime"]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "tiers-edge"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def read(text: str) -> ConfigParser:
    unit = ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # systemd's keys are case sensitive
    unit.read_string(text)
    return unit


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze: apt install systemd"
)
def test_systemd_takes_it_without_a_word(program: Path, tmp_path: Path) -> None:
    file = tmp_path / "tiers-edge.service"
    file.write_text(unit_text(program, Path("/etc/tiers/config.json"), "edge"))
    asked = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", "--man=no", str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "SYSTEMD_LOG_TARGET": "console"},
    )
    assert (asked.returncode, asked.stderr) == (0, "")


def test_nothing_is_left_to_fill_in(program: Path) -> None:
    text = unit_text(program, Path("/srv/edge.json"), "sonography")
    assert "@" not in text
    service = read(text)["Service"]
    assert service["ExecStart"] == f"{program} run --config /srv/edge.json"
    assert (service["User"], service["Group"]) == ("sonography", "sonography")
    assert set(service["SupplementaryGroups"].split()) <= set(GPU_GROUPS)


def test_a_start_that_cannot_help_is_not_repeated(program: Path) -> None:
    service = read(unit_text(program, Path("/c.json"), "edge"))["Service"]
    never = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert never == {UsageError.exit_code, MissingExtraError.exit_code, IntegrityError.exit_code}


@pytest.mark.parametrize(
    "content", [None, "", "{}", '{"format": 99, "site": "s", "state": "s"}', '{"format": 3, "site": "../s"}']
)
def test_a_wrong_configuration_ends_with_one_of_those_codes(
    program: Path, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "config.json"
    if content is not None:
        file.write_text(content)
    ended = subprocess.run(
        [*MAIN, "run", "--config", str(file)], capture_output=True, timeout=120, check=False
    )
    never = read(unit_text(program, file, "edge"))["Service"]["RestartPreventExitStatus"].split()
    assert str(ended.returncode) in never, ended.stderr


def test_it_leaves_the_gpu_visible_and_everything_else_shut(program: Path) -> None:
    service = read(unit_text(program, Path("/c.json"), "edge"))["Service"]
    hide = {"PrivateDevices", "MemoryDenyWriteExecute", "DeviceAllow", "ProtectClock", "DynamicUser"}
    assert not hide & set(service)
    shut = {"ProtectSystem": "strict", "NoNewPrivileges": "yes", "CapabilityBoundingSet": ""}
    assert {key: service[key] for key in shut} == shut
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 0


@pytest.mark.parametrize("config", ["/etc/my config.json", "/etc/%i.json", "/etc/a\nUser=root"])
def test_what_would_mean_something_else_in_a_unit_is_refused(program: Path, config: str) -> None:
    with pytest.raises(UsageError, match="cannot stand in a unit"):
        unit_text(program, Path(config), "edge")


def test_the_command_prints_it() -> None:
    told = subprocess.run(
        [*MAIN, "unit", "--user", "me"], capture_output=True, text=True, timeout=120, check=True
    )
    assert "User=me\n" in told.stdout
    assert "/tiers-edge run --config /etc/tiers/config.json" in told.stdout
