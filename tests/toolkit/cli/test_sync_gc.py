"""`tiers sync gc` over a site of folders: what goes, what it says, what it asks."""

from __future__ import annotations

import json
import os

import pytest

from toolkit.cli import main

SITE = """
version: 1
name: site
registry: {root}/registry
clusters: {{main: {{context: none, tiers: [warm, cold]}}}}
images: {{edge: registry.example/tiers-edge:1.0, jobs: registry.example/tiers-jobs:1.0}}
broker: {{url: "mqtts://broker.example:8883"}}
tiers:
  warm: {{storage: {{url: "{root}/warm"}}, pools: {{nvme: {{hardware: nvme-node, nodes: {{count: 1}}}}}}}}
  cold:
    storage: {{url: "{root}/cold", layout: packs}}
    pools: {{archive: {{hardware: hdd-node, nodes: {{count: 1}}}}}}
routes:
  archive: {{from: warm, to: cold, path: studies}}
"""


@pytest.fixture
def tiers(tmp_path, capsys):
    (tmp_path / "tiers.yaml").write_text(SITE.format(root=tmp_path.as_uri()))
    for name in ("warm/studies", "cold", "registry"):
        (tmp_path / name).mkdir(parents=True)

    def run(*arguments):
        code = main([*arguments, "-f", str(tmp_path / "tiers.yaml")])
        out, err = capsys.readouterr()
        return code, out, err

    for content in (b"one", b"two"):
        (tmp_path / "warm/studies/a").write_bytes(content * 1000)
        os.utime(tmp_path / "warm/studies/a", ns=(0, len(content) + content[0]))
        assert run("sync", "run", "archive")[0] == 0
    return run


def packs(tmp_path):
    return sorted(path.name for path in (tmp_path / "cold/packs").iterdir())


def test_states_are_forgotten_and_their_garbage_goes_in_the_second_run(tiers, tmp_path):
    before = packs(tmp_path)
    code, out, err = tiers("sync", "gc", "cold", "--keep-last", "1", "--dry-run")
    assert (code, packs(tmp_path)) == (0, before)
    assert "would forget routes/archive/at/0000000001" in err
    assert "would delete" in out
    for deleted, left in ((0, 2), (2, 1)):
        code, out, err = tiers(
            "sync", "gc", "cold", "--keep-last", "1", "--grace", "0s", "--repack", "0%", "--yes", "--json"
        )
        assert code == 0, err
        (row,) = json.loads(out)
        assert (len(row["deleted"]), len(packs(tmp_path))) == (deleted, left)
    assert tiers("sync", "verify", "archive")[0] == 0


def test_forgetting_is_asked_for(tiers):
    code, _, err = tiers("sync", "gc", "--keep-last", "1")
    assert code == 2
    assert "forget older states of all routes" in err
    assert "--yes" in err


def test_all_stores_and_the_registry_by_default(tiers, tmp_path):
    code, out, err = tiers("sync", "gc", "--json")
    assert code == 0, err
    assert [row["url"] for row in json.loads(out)] == [
        (tmp_path / "cold").as_uri(),
        (tmp_path / "registry").as_uri(),
    ]
    code, out, err = tiers("sync", "gc", "registry", (tmp_path / "cold").as_uri(), "--json")
    assert [row["packs"] for row in json.loads(out)] == [0, 2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["warm"], "warm has no packs; there are some of: cold, registry"),
        (["--grace", "soon"], "a duration"),
        (["--repack", "a lot"], "a percentage"),
    ],
)
def test_what_cannot_be_is_refused(tiers, arguments, said):
    code, _, err = tiers("sync", "gc", *arguments)
    assert code == 2, err
    assert said in err


def test_a_damaged_ref_stops_it_and_is_named(tiers, tmp_path):
    (tmp_path / "cold/refs/routes/archive/head").write_bytes(b"{}")
    code, _, err = tiers("sync", "gc", "cold")
    assert code == 6
    assert "routes/archive/head" in err
