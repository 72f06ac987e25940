"""The demo itself, and the demo with one thing broken: the matching row fails and the exit code says so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.demo.ship import MOST_OF_V1

pytestmark = [pytest.mark.demo, pytest.mark.slow, pytest.mark.timeout(600)]

ALL_STEPS = [
    "validate",
    "render",
    "gang of two",
    "site",
    "ship v1",
    "infer v1",
    "ship v2",
    "infer v2",
    "refuse v3",
    "sync, first",
    "sync, second",
]


def demo(tmp_path: Path, *options: str) -> tuple[int, dict]:
    evidence = tmp_path / "demo.json"
    command = [sys.executable, "-m", "toolkit.cli", "demo", "--evidence", str(evidence), *options]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=560,
    )
    print(done.stdout, done.stderr)
    return done.returncode, json.loads(evidence.read_text())


def test_the_whole_main_job(tmp_path: Path):
    code, written = demo(tmp_path, "--keep", str(tmp_path / "kept"))
    assert code == 0
    assert [row["step"] for row in written["rows"]] == ALL_STEPS
    assert all(row["good"] for row in written["rows"])
    evidence = written["evidence"]
    v1, v2 = (max(evidence[step]["bytes_received"]) for step in ("ship v1", "ship v2"))
    assert 0 < v2 <= MOST_OF_V1 * v1, "v2 costs a device at most 0.35 of v1"
    assert MOST_OF_V1 == 0.35
    carried = Path(__file__).parents[2] / "examples" / "models" / "digits" / "v1.onnx"
    assert v1 >= 0.8 * carried.stat().st_size, "the first version really crossed the link"
    for version in ("1", "2"):
        for measured in evidence[f"infer v{version}"]["measured"]:
            assert measured["model_version"] == version
            assert measured["images"] == 200
            assert measured["accuracy"] >= 0.97
            assert 0 < measured["p50_ms"] <= measured["p99_ms"]
    refused = [row for row in evidence["refuse v3"]["reports"].values() if row["state"] == "FAILED"]
    assert refused
    assert all(row["reason"] for row in refused)
    assert {row["serving_version"] for row in evidence["refuse v3"]["reports"].values()} == {"2"}
    assert (tmp_path / "kept" / "HOWTO.md").is_file()
    leftovers = subprocess.run(
        ["pgrep", "-f", str(tmp_path / "kept")], capture_output=True, text=True, check=False
    )
    assert leftovers.stdout == "", "every process of the demo has ended"


@pytest.mark.parametrize(
    ("fault", "step", "code", "says"),
    [
        ("corrupt-chunk", "ship v1", 7, "damaged"),
        ("wrong-signature", "ship v1", 6, "trusted"),
        ("worse-v2", "ship v2", 7, "accuracy"),
        ("dead-depot", "ship v1", 1, "depot"),
    ],
)
def test_a_broken_demo_fails_at_its_row(tmp_path: Path, fault: str, step: str, code: int, says: str):
    exit_code, written = demo(tmp_path, "--break", fault)
    last = written["rows"][-1]
    assert (last["step"], last["good"]) == (step, False)
    assert says in last["figure"].lower() + last["hint"].lower()
    assert exit_code == last["exit_code"] == code
    assert all(row["good"] for row in written["rows"][:-1])
