"""The Makefile lists what it can do, and installs again only when what it installs has changed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
TARGETS = ("demo", "test", "test-all", "check", "fix", "env", "golden", "bench", "docs", "lock")


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60, env=clean
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Lay out what make looks at, with every set installed a moment ago."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, tmp_path)
    stamps = tmp_path / ".venv/stamps"
    stamps.mkdir(parents=True)
    later = (tmp_path / "pyproject.toml").stat().st_mtime + 3600
    for name in ("pip", "demo", "dev", "train"):
        (stamps / name).touch()
        os.utime(stamps / name, (later, later))
    return tmp_path


def test_help_is_the_default_and_lists_every_target(checkout):
    done = make(checkout)
    listed = {line.split()[1] for line in done.stdout.splitlines()}
    assert done.returncode == 0
    assert listed >= set(TARGETS)


@pytest.mark.parametrize("target", TARGETS)
def test_each_target_can_be_read(checkout, target):
    done = make(checkout, "--dry-run", target)
    assert done.returncode == 0, done.stderr


def test_nothing_is_installed_twice(checkout):
    assert make(checkout, "--question", ".venv/stamps/train").returncode == 0


@pytest.mark.parametrize("stamp", ["demo", "dev", "train"])
@pytest.mark.parametrize("pins", ["pyproject.toml", "constraints.txt"])
def test_a_set_is_installed_again_when_its_pins_change(checkout, stamp, pins):
    installed = (checkout / ".venv/stamps" / stamp).stat().st_mtime
    for other in {"pip", "demo", "dev", "train"} - {stamp}:
        os.utime(checkout / ".venv/stamps" / other, (installed + 20, installed + 20))
    os.utime(checkout / pins, (installed + 10, installed + 10))
    assert make(checkout, "--question", f".venv/stamps/{stamp}").returncode == 1


def test_the_demo_installs_neither_torch_nor_the_tools(checkout):
    shutil.rmtree(checkout / ".venv")
    told = make(checkout, "--dry-run", "demo").stdout
    assert ".[demo]" in told
    assert "[train]" not in told
    assert "--group" not in told


def test_an_old_python_is_told_so(checkout):
    shutil.rmtree(checkout / ".venv")
    old = checkout / "old-python"
    old.write_text(
        '#!/bin/sh\nexec python3 -c "import sys; sys.version_info = (3, 9); exec(sys.argv[1])" "$2"\n'
    )
    old.chmod(0o755)
    done = make(checkout, "env", f"PYTHON={old}")
    assert done.returncode != 0
    assert "Python 3.10 or newer" in done.stderr
