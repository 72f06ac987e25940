"""`tiers trash list`, `restore` and `empty` as they are typed, on two folders."""

from __future__ import annotations

import json
import os
import time

import pytest

from toolkit.cli import main

SITE = """
version: 1
name: clinic
registry: file:///nowhere
clusters: {{main: {{context: none, tiers: [hot, cold]}}}}
images: {{edge: registry.example/tiers-edge:1.0, jobs: registry.example/tiers-jobs:1.0}}
broker: {{url: "mqtts://broker.example:8883"}}
tiers:
  hot: {{storage: "{root}/hot"}}
  cold: {{storage: {{url: "{root}/cold", layout: packs}}}}
lifecycle:
  trash: 3d
  rules: {{scratch: {{action: expire, match: {{path: "scratch/**", older_than: 14d}}}}}}
"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "tiers.yaml").write_text(SITE.format(root=tmp_path.as_uri()))
    (tmp_path / "cold").mkdir()
    for name in ("x", "y"):
        file = tmp_path / "hot/scratch" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode() * 1024 * 1024)
        os.utime(file, (time.time() - 20 * 86_400,) * 2)
    assert tiers(tmp_path, "sync", "lifecycle", "--yes") == 0
    return tmp_path


def tiers(site, *arguments):
    return main([*arguments, "-f", str(site / "tiers.yaml")])


def test_listed_and_taken_back(site, capsys):
    capsys.readouterr()
    assert tiers(site, "trash", "list") == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["path", "tier", "storage", "size", "in", "since", "gone", "after"]
    assert [row.split()[:5] for row in rows] == [
        [f"scratch/{name}", "hot", (site / "hot").as_uri(), "1.0", "MiB"] for name in "xy"
    ]
    assert tiers(site, "trash", "restore", "scratch/x", "--dry-run") == 0
    assert "would come back" in capsys.readouterr().out
    assert not (site / "hot/scratch/x").exists()
    assert tiers(site, "trash", "restore", "scratch/x", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["path"], row["state"]) == ("scratch/x", "back")
    assert (site / "hot/scratch/x").read_bytes() == b"x" * 1024 * 1024
    assert tiers(site, "sync", "lifecycle", "--yes") == 0  # it is kept for a week
    assert (site / "hot/scratch/x").exists()
    assert tiers(site, "trash", "restore", "scratch/x") == 0
    assert "there already" in capsys.readouterr().out


def test_refusals_name_the_cure(site, capsys):
    (site / "hot/scratch/x").write_bytes(b"newer")
    capsys.readouterr()
    assert tiers(site, "trash", "restore", "scratch/x") == 1
    assert "try: tiers sync where scratch/x" in capsys.readouterr().err
    assert tiers(site, "trash", "restore", "nothing") == 1
    assert "tiers trash list" in capsys.readouterr().err
    assert tiers(site, "trash", "restore", "../x") == 6
    assert tiers(site, "trash", "restore", "scratch/y", "--keep", "week") == 2
    assert "--keep 7d" in capsys.readouterr().err
    assert tiers(site, "trash", "list", "--from", "warm") == 2
    assert "no tier or storage 'warm'" in capsys.readouterr().err


def test_emptied_when_somebody_says_yes(site, capsys):
    capsys.readouterr()
    assert tiers(site, "trash", "empty") == 2
    assert "--yes" in capsys.readouterr().err
    assert tiers(site, "trash", "empty", "--dry-run") == 0
    assert "would delete 2 files, 2.0 MiB" in capsys.readouterr().err
    assert tiers(site, "trash", "empty", "--older-than", "1d", "--yes") == 0
    assert "deleted 0 files" in capsys.readouterr().err
    assert tiers(site, "trash", "empty", "--yes") == 0
    assert "deleted 2 files, 2.0 MiB" in capsys.readouterr().err
    assert tiers(site, "trash", "list", "scratch") == 0
    assert "nothing of scratch is in the trash" in capsys.readouterr().err
