"""Volcano's own examples are linted as docs/lint-upstream.md says: counts per code, and each finding that it argues."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.lint.monitoring_series import VOLCANO, VOLCANO_DEAD, VOLCANO_GAUGES

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


DECLARED = re.compile(r'(?:promauto|metrics)\.New(\w+?)(?:Vec)?\(\s*&?\w+\.\w+Opts\{[^}]*?Name:\s+"(\w+)"')
AGENT = "pkg/agent/metrics/metrics.go"


@pytest.mark.slow
@pytest.mark.usefixtures("page")
def test_the_series_of_volcano_are_those_of_its_sources():
    """Each metric that v1.15.1 declares, with its type, against the names that L468 and L470 go by."""
    folder = Path(run("--where").stdout.strip())
    series, gauges = set(), set()
    for file in sorted((folder / "pkg").rglob("*.go")):
        prefix = "volcano_agent_" if file.match(AGENT) else "volcano_"
        for kind, name in DECLARED.findall(file.read_text(encoding="utf-8")):
            parts = [f"_{part}" for part in ("bucket", "sum", "count")] if kind == "Histogram" else [""]
            series |= {f"{prefix}{name}{part}" for part in parts}
            gauges |= {f"{prefix}{name}"} if kind == "Gauge" else set()
    assert series - {VOLCANO_DEAD} == VOLCANO
    assert gauges == VOLCANO_GAUGES
    assert VOLCANO_DEAD in series


def test_another_option_is_refused():
    done = run("--all")
    assert done.returncode == 2
    assert "usage" in done.stderr
