"""Volcano's own examples are linted as docs/lint-upstream.md says: counts per code, and each finding that it argues."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = REPOSITORY / "docs" / "lint-upstream.md"
ARGUED = re.compile(r"^\d+\. `([^`]+:\d+)` (L\d+) — ", re.MULTILINE)
BESIDE = re.compile(r"`((?:docs|example|installer)/[^`]+:\d+)`")


def run(*arguments):
    command = [sys.executable, "scripts/lint_upstream.py", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def page(require):
    require("volcano's module")
    return PAGE.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_counts_are_those_of_the_page(page):
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    told = page.partition("--write -->\n")[2].partition("<!-- end")[0]
    assert done.stdout == told, "scripts/lint_upstream.py --write, and read the difference"


@pytest.mark.slow
def test_each_finding_that_is_argued_is_found(page):
    done = run("--list")
    assert (done.returncode, done.stderr) == (0, "")
    found = {
        (line.split(" L")[0].rpartition(":")[0], "L" + line.split(" L")[1][:3])
        for line in done.stdout.splitlines()
    }
    argued = ARGUED.findall(page)
    assert len(set(argued)) == 20
    assert set(argued) <= found
    assert set(BESIDE.findall(page)) <= {place for place, _ in found}


def test_another_option_is_refused():
    done = run("--all")
    assert done.returncode == 2
    assert "usage" in done.stderr
