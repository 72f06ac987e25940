"""The shared fixtures do what their words say; every other test leans on them."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def run_pytest(folder: Path, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on one file beside a copy of our conftest."""
    (folder / "conftest.py").write_text((REPOSITORY / "tests/conftest.py").read_text())
    (folder / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(folder)]
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", **environment},
    )


MISSING_PART = """
def test_needs_it(require, request):
    conftest = next(each for each in request.config.pluginmanager.get_plugins() if hasattr(each, "PARTS"))
    conftest.PARTS["a-part"] = (lambda: False, "make a-part")
    require("a-part")
"""
STRAY_SKIP = "import pytest\ndef test_skips():\n    pytest.skip('because')\n"
HARDWARE_SKIP = "import pytest\ndef test_skips():\n    pytest.skip('needs hardware: a Jetson')\n"


def test_a_missing_part_skips_and_names_the_command(tmp_path):
    done = run_pytest(tmp_path, MISSING_PART)
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout


def test_a_missing_part_fails_where_nothing_may_be_missing(tmp_path):
    done = run_pytest(tmp_path, MISSING_PART, TIERS_REQUIRE_ALL="1")
    assert done.returncode == 1
    assert "to bring it: make a-part" in done.stdout


@pytest.mark.parametrize(("text", "code"), [(STRAY_SKIP, 1), (HARDWARE_SKIP, 0)])
def test_any_other_skip_fails_that_run_too(tmp_path, text, code):
    done = run_pytest(tmp_path, text, TIERS_REQUIRE_ALL="1")
    assert (done.returncode, "test_skips: skipped, but" in done.stdout) == (code, bool(code))
    assert run_pytest(tmp_path, text).returncode == 0


@pytest.mark.broker
def test_the_broker_goes_and_comes_on_the_same_port(mosquitto):
    socket.create_connection((mosquitto.host, mosquitto.port), timeout=60).close()
    mosquitto.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((mosquitto.host, mosquitto.port), timeout=60)
    mosquitto.start()
    socket.create_connection((mosquitto.host, mosquitto.port), timeout=60).close()


def test_waiting_ends_with_what_was_missed(wait_until):
    with pytest.raises(pytest.fail.Exception, match="the sun rises"):
        wait_until(lambda: False, "the sun rises", seconds=0.05)
