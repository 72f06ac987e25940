"""`tiers sync verify` of a route and of stores, a share at a time, and --repair from what else the site has."""

from __future__ import annotations

import json
import os

import pytest

from toolkit.cli import main

SITE = """
version: 1
name: site
registry: {root}/registry
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
  archive: {{from: warm, to: cold, path: studies}}
  copy: {{from: warm, to: hot, path: studies}}
"""


@pytest.fixture
def tiers(tmp_path, capsys):
    (tmp_path / "tiers.yaml").write_text(SITE.format(root=tmp_path.as_uri()))
    for name in ("warm/studies", "hot", "cold", "registry"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "warm/studies/a").write_bytes(b"a" * 5000)
    (tmp_path / "warm/studies/b").write_bytes(bytes(range(256)) * 100)

    def run(*arguments):
        code = main(["sync", *arguments, "-f", str(tmp_path / "tiers.yaml")])
        out, err = capsys.readouterr()
        return code, out, err

    assert run("run", "archive")[0] == run("run", "copy")[0] == 0
    return run


def damage_pack(tmp_path):
    (pack,) = (tmp_path / "cold/packs").iterdir()
    data = bytearray(pack.read_bytes())
    data[20] ^= 1
    pack.write_bytes(data)
    return pack.name


def test_a_damaged_pack_is_named_with_the_cure_and_mended(tiers, tmp_path):
    assert tiers("verify", "--store", "cold")[0] == 0
    name = damage_pack(tmp_path)
    for arguments in (["archive"], ["--store", "cold"]):
        code, _, err = tiers("verify", *arguments)
        assert code == 6
        assert name[:12] in err
        assert "tiers sync verify --repair" in err
    code, out, err = tiers("verify", "--store", "cold", "--repair", "--json")
    assert code == 0, err
    assert json.loads(out)[0]["damage"] == []
    assert f"mended: packs/{name}" in err
    assert tiers("verify", "archive")[0] == 0


def test_a_damaged_file_of_a_mirror_is_mended(tiers, tmp_path):
    path = tmp_path / "hot/studies/b"
    facts = path.stat()
    path.write_bytes(b"\xff" + path.read_bytes()[1:])
    os.utime(path, ns=(facts.st_mtime_ns, facts.st_mtime_ns))
    assert tiers("verify", "copy")[0] == 6
    code, _, err = tiers("verify", "copy", "--repair")
    assert code == 0, err
    assert "mended: b" in err
    assert path.read_bytes() == (tmp_path / "warm/studies/b").read_bytes()


def test_a_share_goes_on_where_the_last_one_ended(tiers, tmp_path):
    for number in range(3):
        (tmp_path / f"warm/studies/more-{number}").write_bytes(bytes([number]) * 9000)
        assert tiers("run", "archive")[0] == 0
    read = [
        json.loads(tiers("verify", "--store", "cold", "--share", "30%", "--json")[1])[0] for _ in range(4)
    ]
    rounds = next(number for number, each in enumerate(read, 1) if each["full_ms"])
    assert sum(each["packs"] for each in read[:rounds]) == read[0]["all_packs"] == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a route, or a store"),
        (["archive", "--store", "cold"], "name a route, or a store"),
        (["--store", "cold", "--share", "some"], "--share some"),
        (["--store", "cold", "--share", "0%"], "a share of 0%"),
        (["--store", "warm"], "warm has no packs"),
    ],
)
def test_what_cannot_be_is_refused(tiers, arguments, said):
    code, _, err = tiers("verify", *arguments)
    assert code == 2, err
    assert said in err
