"""`tiers sync lifecycle`, `where`, `hold` and `tag` as they are typed, on three folders."""

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
clusters: {{main: {{context: none, tiers: [edge, hot, warm, cold]}}}}
images: {{edge: registry.example/tiers-edge:1.0, jobs: registry.example/tiers-jobs:1.0}}
broker: {{url: "mqtts://broker.example:8883"}}
tiers:
  edge: {{}}
  hot: {{storage: "{root}/hot"}}
  warm: {{storage: "{root}/warm"}}
  cold: {{storage: {{url: "{root}/cold", layout: packs}}}}
prices: {{currency: CHF, gib_month: {{hot: 1024.0}}}}
lifecycle:
  rules:
    court: {{action: hold, match: {{tags: {{court: "yes"}}}}}}
    scratch: {{action: expire, match: {{path: "scratch/**", older_than: 14d}}}}
    age: {{action: demote, from: hot, match: {{older_than: 30d}}}}
"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "tiers.yaml").write_text(SITE.format(root=tmp_path.as_uri()))
    for tier in ("warm", "cold"):
        (tmp_path / tier).mkdir()
    for name, days in (("studies/a.dcm", 40), ("scratch/x", 20), ("scratch/new", 1)):
        file = tmp_path / "hot" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 1024 * 1024)
        changed = time.time() - days * 86_400
        os.utime(file, (changed, changed))
    return tmp_path


def sync(site, *arguments):
    return main(["sync", *arguments, "-f", str(site / "tiers.yaml")])


def files(site, tier):
    root = site / tier
    return sorted(
        str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and ".tiers" not in p.parts
    )


def test_a_dry_run_says_what_would_happen_and_changes_nothing(site, capsys):
    assert sync(site, "lifecycle", "--dry-run") == 0
    out, _ = capsys.readouterr()
    head, *rows = out.splitlines()
    assert head.split()[:7] == ["rule", "does", "tier", "to", "files", "size", "CHF"]
    assert sorted(row.split()[:5] for row in rows) == [
        ["age", "move", "hot", "warm", "1"],
        ["scratch", "expire", "hot", "-", "1"],
    ]
    assert "-1.00" in rows[0]
    assert files(site, "hot") == ["scratch/new", "scratch/x", "studies/a.dcm"]
    assert not (site / "hot/.tiers").exists()
    assert sync(site, "lifecycle", "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert {deed["path"]: deed["deed"] for deed in plan["deeds"]} == {
        "studies/a.dcm": "move",
        "scratch/x": "expire",
    }


def test_the_rules_are_carried_out_and_where_says_so(site, capsys):
    assert sync(site, "lifecycle", "--yes") == 0
    assert "move: 1 files" in capsys.readouterr().err
    assert (files(site, "hot"), files(site, "warm")) == (["scratch/new"], ["studies/a.dcm"])
    assert sync(site, "where", "studies/a.dcm") == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row[:3] == ["studies/a.dcm", "warm", (site / "warm").as_uri()]
    assert sync(site, "lifecycle", "--yes") == 0
    assert "nothing to do" in capsys.readouterr().err


def test_without_a_terminal_yes_is_needed(site, capsys):
    assert sync(site, "lifecycle") == 2
    assert "--yes" in capsys.readouterr().err
    assert files(site, "warm") == []


def test_a_file_is_explained(site, capsys):
    assert sync(site, "lifecycle", "--explain", "scratch/new", "--json") == 0
    (explained,) = json.loads(capsys.readouterr().out)
    assert (explained["deed"], explained["tier"]) == ("stay", "hot")
    assert dict(explained["rules"])["scratch"] == "it changed 24 h ago, not 14 d"
    assert sync(site, "lifecycle", "--explain", "studies/a.dcm") == 0
    assert "move to warm" in capsys.readouterr().out
    assert sync(site, "lifecycle", "--explain", "nothing") == 1


def test_a_hold_and_its_release(site, capsys):
    assert sync(site, "hold", "scratch") == 2
    assert "--reason" in capsys.readouterr().err
    assert sync(site, "hold", "scratch", "--reason", "case 7") == 0
    assert sync(site, "lifecycle", "--yes") == 0
    assert files(site, "hot") == ["scratch/new", "scratch/x"]
    capsys.readouterr()
    assert sync(site, "where", "scratch/x", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)["found"]
    assert "case 7" in found["held"]
    assert sync(site, "hold", "scratch", "--release", "--yes") == 0
    assert sync(site, "lifecycle", "--yes") == 0
    assert files(site, "hot") == ["scratch/new"]
    assert sync(site, "hold", "scratch", "--release", "--yes") == 1
    assert "nothing holds scratch" in capsys.readouterr().err


def test_a_tag_keeps_what_a_rule_says_it_keeps(site, capsys):
    assert sync(site, "tag", "scratch/x", "court=yes") == 0
    assert sync(site, "lifecycle", "--yes") == 0
    assert files(site, "hot") == ["scratch/new", "scratch/x"]
    assert sync(site, "tag", "scratch/x", "court=") == 0
    assert sync(site, "lifecycle", "--yes") == 0
    assert files(site, "hot") == ["scratch/new"]
    assert sync(site, "tag", "scratch/x", "court") == 2
    assert "KEY=VALUE" in capsys.readouterr().err


def test_where_answers_for_a_storage_that_does_not(site, capsys):
    assert sync(site, "where", "studies", "--refresh") == 0
    (site / "cold").rmdir()
    capsys.readouterr()
    assert sync(site, "where", "studies") == 0
    assert "cold does not answer, what it had on 20" in capsys.readouterr().err
    assert sync(site, "lifecycle", "--dry-run") == 5
    assert sync(site, "where", "nothing/here") == 1
    assert "nothing at nothing/here" in capsys.readouterr().err
