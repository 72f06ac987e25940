"""`tiers sync run` and `tiers sync verify` as they are typed: what is printed, and the exit codes."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys

import pytest

from tests.toolkit.sync.trees import make_tree, photograph
from toolkit.cli import main

SITE = """
version: 1
name: site
registry: file:///nowhere
clusters: {{main: {{context: none, tiers: [edge, hot]}}}}
images: {{edge: registry.example/tiers-edge:1.0, jobs: registry.example/tiers-jobs:1.0}}
broker: {{url: "mqtts://broker.example:8883"}}
tiers:
  edge:
    storage: {{url: "{edge}"}}
    pools: {{boxes: {{hardware: jetson-orin-nx, nodes: {{count: 1}}}}}}
  hot:
    storage: {{url: "{hot}"}}
    pools: {{a100: {{hardware: a100-sxm-80gb, gpus: 8, nodes: {{count: 1}}}}}}
routes:
  frames: {{from: edge, to: hot, path: frames}}
"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "tiers.yaml").write_text(
        SITE.format(edge=(tmp_path / "edge").as_uri(), hot=(tmp_path / "hot").as_uri())
    )
    (tmp_path / "hot").mkdir()
    make_tree(tmp_path / "edge/frames")
    return tmp_path


def sync(site, *arguments):
    return main(["sync", *arguments, "-f", str(site / "tiers.yaml")])


def test_a_run_prints_a_table_and_a_summary(site, capsys):
    assert sync(site, "run", "frames") == 0
    out, err = capsys.readouterr()
    assert out.split("\n")[0].split() == ["target", "files", "moved", "saved", "deleted", "state"]
    assert "changed" in out
    assert "60 files" in err
    assert photograph(site / "hot/frames") == photograph(site / "edge/frames")
    assert sync(site, "run", "frames") == 0
    assert "up to date" in capsys.readouterr().out


def test_json_has_it_all_on_stdout(site, capsys):
    assert sync(site, "run", "frames", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    (target,) = result["targets"]
    assert (result["files"], target["chunks_moved"]) == (60, result["chunks"])
    assert target["bytes_moved"] > 0


def test_a_dry_run_changes_nothing(site, capsys):
    before = photograph(site)
    assert sync(site, "run", "frames", "--dry-run") == 0
    assert "would move" in capsys.readouterr().out
    assert photograph(site) == before


def test_other_folders_can_be_tried(site, tmp_path, capsys):
    (tmp_path / "try").mkdir()
    assert sync(site, "run", "frames", "--to-dir", str(tmp_path / "try")) == 0
    assert photograph(tmp_path / "try/frames") == photograph(site / "edge/frames")
    assert list((site / "hot").iterdir()) == []
    assert sync(site, "run", "frames", "--from-dir", str(tmp_path / "try")) == 0
    assert "error" not in capsys.readouterr().err


def test_the_exit_codes(site, capsys):
    assert sync(site, "run", "nothing") == 2
    assert "known are: frames" in capsys.readouterr().err
    assert sync(site, "run", "frames", "--from-dir", "/no/such/folder") == 5
    assert "mkdir -p" in capsys.readouterr().err
    shutil.rmtree(site / "hot")
    assert sync(site, "run", "frames") == 5
    out, err = capsys.readouterr()
    assert "failed" in out
    assert "error: " in err
    assert "mkdir -p" in err
    (site / "hot/frames").mkdir(parents=True)
    (site / "edge/frames/mine").write_bytes(b"x")
    (site / "hot/frames/mine").write_bytes(b"theirs")
    assert sync(site, "run", "frames") == 1
    assert "in-the-way: mine" in capsys.readouterr().err
    (site / "tiers.yaml").write_text("version: 1\n")
    assert sync(site, "run", "frames") == 3


def test_verify_names_what_has_rotted_and_check_mends_it(site, capsys):
    assert sync(site, "verify", "frames") == 1
    assert "tiers sync run frames" in capsys.readouterr().err
    sync(site, "run", "frames")
    assert sync(site, "verify", "frames") == 0
    file = next(path for path in (site / "hot/frames").rglob("*.dcm") if path.stat().st_size > 100)
    facts, data = file.stat(), bytearray(file.read_bytes())
    data[50] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    capsys.readouterr()
    assert sync(site, "verify", "frames", "--json") == 6
    out, err = capsys.readouterr()
    assert [damage["what"] for damage in json.loads(out)[0]["damage"]] == [
        str(file.relative_to(site / "hot/frames"))
    ]
    assert "tiers sync run frames --check" in err
    assert sync(site, "run", "frames", "--check") == 0
    assert sync(site, "verify", "frames") == 0


def test_a_terminal_gets_a_bar_and_a_pipe_none(site):
    start = "import sys; from toolkit.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", start, "sync", "run", "frames", "-f", str(site / "tiers.yaml")]
    piped = subprocess.run([*command, "--dry-run"], capture_output=True, check=True, timeout=200)
    assert b"\x1b" not in piped.stdout + piped.stderr
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"}
    ) as process:
        os.close(theirs)
        seen = b""
        while select.select([ours], [], [], 200)[0]:
            try:
                seen += os.read(ours, 65536)
            except OSError:  # the other end has closed
                break
    os.close(ours)
    assert process.returncode == 0
    assert "━".encode() in seen
    assert b"changed" in seen
