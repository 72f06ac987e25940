"""`tiers sync plan|status|recall` over a site of folders: edge → warm → cold, and back on demand."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from toolkit.cli import main

SITE = """
version: 1
name: site
registry: file:///nowhere
clusters: {{main: {{context: none, tiers: [hot, warm, cold]}}}}
images: {{edge: registry.example/tiers-edge:1.0, jobs: registry.example/tiers-jobs:1.0}}
broker: {{url: "mqtts://broker.example:8883"}}
tiers:
  hot:  {{storage: {{url: "{root}/hot"}}, pools: {{a100: {{hardware: a100-sxm-80gb, gpus: 8, nodes: {{count: 1}}}}}}}}
  warm: {{storage: {{url: "{root}/warm"}}, pools: {{nvme: {{hardware: nvme-node, nodes: {{count: 1}}}}}}}}
  cold:
    storage: {{url: "{root}/cold", layout: packs}}
    pools: {{archive: {{hardware: hdd-node, nodes: {{count: 1}}}}}}
routes:
  archive: {{from: warm, to: cold, path: studies, limit: 1KiB/s, then: remove_source}}
  recall:  {{from: cold, to: warm, path: studies, trigger: demand}}
  stage:   {{from: warm, to: hot, path: studies, trigger: demand}}
"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "tiers.yaml").write_text(SITE.format(root=tmp_path.as_uri()))
    for name in ("hot", "warm", "cold"):
        (tmp_path / name).mkdir()
    for name in ("p1/a.dcm", "p2/b.dcm"):
        file = tmp_path / "warm/studies" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(name.encode() * 1000)
    return tmp_path


@pytest.fixture
def sync(site, capsys):
    def run(*arguments):
        code = main(["sync", *arguments, "-f", str(site / "tiers.yaml")])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_a_plan_says_what_is_missing_and_moves_nothing(sync, site):
    code, out, err = sync("plan", "archive")
    assert code == 0, err
    assert [line.split() for line in out.splitlines()][1:] == [
        ["archive", f"{(site / 'cold').as_uri()}", "2", "15.6", "KiB", "0", "up", "to", "0:00:16", "behind"]
    ]
    assert list((site / "cold").iterdir()) == []


def test_a_plan_of_all_routes_names_the_one_whose_source_has_nothing(sync):
    code, out, err = sync("plan", "--json")
    assert code == 1
    planned = {each["route"]: each for each in json.loads(out)}
    assert planned["archive"]["result"]["targets"][0]["changed"] is True
    assert planned["recall"]["result"] is None
    assert "recall: error: " in err
    assert "holds nothing under 'studies'" in err


def test_status_says_what_came_and_what_never_did(sync):
    assert sync("run", "archive")[0] == 0
    code, out, _ = sync("status")
    assert code == 0
    rows = {line.split()[0]: line.split()[3:] for line in out.splitlines()[1:]}
    assert rows["archive"][:4] == ["2", "15.6", "KiB", "1"]
    assert rows["recall"][-2:] == ["nothing", "yet"]


def test_status_of_a_tier_that_is_not_there(sync, site):
    (site / "cold").rmdir()
    code, out, err = sync("status", "archive")
    assert code == 1
    assert "unknown" in out
    assert "error:" in err


def test_recall_brings_a_part_through_the_tiers_and_keeps_it(sync, site):
    assert sync("run", "archive")[0] == 0
    assert not list((site / "warm/studies").rglob("*.dcm"))
    code, out, err = sync("recall", "studies/p1", "--to", "hot", "--keep", "1h", "--why", "tumour board")
    assert code == 0, err
    assert [line.split()[0] for line in out.splitlines()] == ["route", "recall", "stage"]
    assert "kept in hot for 1h" in err
    assert (site / "hot/studies/p1/a.dcm").read_bytes() == b"p1/a.dcm" * 1000
    assert not (site / "hot/studies/p2").exists()
    assert sync("run", "archive")[0] == 0  # what nobody keeps in warm goes back, moving nothing
    assert not list((site / "warm/studies").rglob("*.dcm"))
    assert (site / "hot/studies/p1/a.dcm").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["recall", "studies/p1"], 2, "several tiers; say one of: hot, warm"),
        (["recall", "studies/p1", "--to", "edge"], 2, "no route on demand brings it to edge"),
        (["recall", "frames/x", "--to", "warm"], 2, "no route on demand covers 'frames/x'"),
        (["recall", "studies2", "--to", "warm"], 2, "no route on demand covers"),
        (["recall", "../studies/p1", "--to", "warm"], 6, "refused"),
        (["recall", "studies/p1", "--to", "warm", "--keep", "long"], 2, "--keep long"),
        (["recall", "studies/p9", "--to", "warm"], 1, "holds nothing at 'studies/p9'"),
    ],
)
def test_bad_requests_end_with_their_code_and_words(sync, arguments, code, said):
    assert sync("run", "archive")[0] == 0
    found, _, err = sync(*arguments)
    assert (found, said in err) == (code, True), err


def test_watching_runs_routes_until_it_is_interrupted(site):
    command = [
        sys.executable,
        "-m",
        "toolkit.cli",
        "sync",
        "watch",
        "--every",
        "100ms",
        "-f",
        str(site / "tiers.yaml"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("archive: 2 files, ")
            (site / "p3").mkdir()
            (site / "p3/c.dcm").write_bytes(b"c")
            (site / "p3").rename(
                site / "warm/studies/p3"
            )  # whole at once: a run in between would see a folder without it
            # A run before that has the times of the folders that were emptied, and no file.
            heard = next(line for line in process.stdout if not line.startswith("archive: 0 files, 0 B in "))
            assert heard.startswith("archive: 1 files, "), heard
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=200)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "watching archive; Ctrl-C ends it" in err
    assert " runs" in err


def test_a_watch_that_never_comes_is_refused(sync):
    code, _, err = sync("watch", "--every", "soon")
    assert code == 2
    assert "--every soon" in err
