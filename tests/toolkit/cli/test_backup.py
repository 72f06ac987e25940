"""`tiers backup` and `tiers restore` as they are typed: what is printed, what is refused, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.toolkit.registry.making import make_model
from toolkit.cli import main

SITE = """\
version: 1
name: north
registry: {folder}/registry
broker: {{url: "mqtt://127.0.0.1:1"}}
clusters: {{main: {{context: nowhere, tiers: [edge, hot, cold]}}}}
images: {{edge: registry.example/tiers-edge:1.0, jobs: registry.example/tiers-jobs:1.0}}
tiers:
  edge: {{pools: {{demo: {{hardware: jetson-orin-nano, nodes: {{names: [box-1]}}}}}}}}
  hot:
    storage: {{url: "{folder}/hot"}}
    pools: {{a100: {{hardware: a100-sxm-80gb, gpus: 8, nodes: {{count: 1}}}}}}
  cold:
    storage: {{url: "{folder}/cold", layout: packs, encryption: {{key: {{file: {keys}/archive.key}}}}}}
    pools: {{store: {{hardware: hdd-node, nodes: {{count: 1}}}}}}
"""
LESS = ["--without", "broker", "--without", "revisions"]


@pytest.fixture
def empty_site(tmp_path: Path) -> list[str]:
    """Make a site with keys and a folder for backups; give the options that name it."""
    text = SITE.format(folder=tmp_path.as_uri(), keys=tmp_path)
    (tmp_path / "tiers.yaml").write_text(text)
    for folder in ("hot", "cold", "vault"):
        (tmp_path / folder).mkdir()
    assert main(["sync", "keygen", str(tmp_path / "archive.key")]) == 0
    assert main(["model", "keygen", str(tmp_path / "keys")]) == 0
    return ["-f", str(tmp_path / "tiers.yaml")]


@pytest.fixture
def site(empty_site: list[str], tmp_path: Path) -> list[str]:
    """Push a model into it."""
    model, golden = make_model(tmp_path / "model")
    pushed = ["--golden", str(golden), "--name", "digits", "--version", "1"]
    key = ["--key", str(tmp_path / "keys/registry.pem")]
    assert main(["model", "push", str(model), *pushed, *key, *empty_site]) == 0
    return empty_site


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_tier_with_packs_takes_backups_with_its_own_key(
    site: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = said(capsys, "backup", "cold", *LESS, *site)
    parts = {part["name"]: part for part in taken["facts"]["parts"]}
    assert parts["broker"]["skipped"] == "--without broker"
    assert parts["storages"]["skipped"].startswith("hot-1:")
    assert parts["registry"]["files"] > 3
    assert not any(
        b"digits" in path.read_bytes() for path in (tmp_path / "cold").rglob("*") if path.is_file()
    )
    drilled = said(capsys, "backup", "cold", "--drill", *site)
    assert drilled["models"] == 1
    cold = ["restore", str(tmp_path / "cold"), "--into", str(tmp_path / "new"), "--yes"]
    assert main(cold) == 2
    assert "encrypted for key" in capsys.readouterr().err
    back = [*cold, "--key-file", str(tmp_path / "archive.key"), "--registry", (tmp_path / "copy").as_uri()]
    assert main(back) == 0
    models = said(capsys, "model", "list", "--registry", (tmp_path / "copy").as_uri())
    assert models == said(capsys, "model", "list", *site)
    assert (tmp_path / "new/tiers.yaml").read_bytes() == (tmp_path / "tiers.yaml").read_bytes()


def test_a_backup_that_nothing_was_added_to_is_not_made_twice(
    site: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vault = str(tmp_path / "vault")
    assert said(capsys, "backup", vault, *LESS, *site)["unchanged"] is False
    assert said(capsys, "backup", vault, *LESS, *site)["unchanged"] is True
    for number in range(3):
        (tmp_path / "note.txt").write_text(f"note {number}")
        taken = said(
            capsys, "backup", vault, *LESS, *site, "--add", str(tmp_path / "note.txt"), "--keep", "2"
        )
    assert taken["number"] == 4
    assert taken["forgotten"] == [2]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["backup", "hot"], 2, "no storage with the layout packs"),
        (["backup", "s3://somewhere/else"], 2, "--readable"),
        (["backup", "{vault}", "--with-key", "{keys}/registry.pem"], 2, "belong together"),
        (["backup", "{vault}", "--add", "{keys}/registry.pem"], 7, "holds a private key"),
        (["backup", "{vault}", "--drill"], 2, "has no backup"),
        (["backup", "{folder}/none"], 5, "mkdir"),
    ],
)
def test_what_cannot_be_is_said_with_the_cure(
    empty_site: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    places = {"folder": tmp_path, "vault": tmp_path / "vault", "keys": tmp_path / "keys"}
    less = LESS if "--drill" not in arguments else []
    assert main([*(word.format(**places) for word in arguments), *less, *empty_site]) == code
    assert words in capsys.readouterr().err
    assert not any(path.is_file() for path in (tmp_path / "vault").rglob("*"))


def test_a_restore_asks_and_refuses_without_anybody_to_ask(
    site: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vault = str(tmp_path / "vault")
    assert main(["restore", vault]) == 2
    assert "has no backup" in capsys.readouterr().err
    assert main(["backup", vault, *LESS, *site]) == 0
    back = ["restore", vault, "--into", str(tmp_path / "new"), "--registry", (tmp_path / "copy").as_uri()]
    assert main(back) == 2
    assert "--yes" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert main([*back, "--dry-run"]) == 0
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "copy").exists()
    assert main([*back, "--yes"]) == 0
    assert main([*back]) == 0, "nothing to do, so nothing to ask"
    (tmp_path / "new/tiers.yaml").write_text("version: 2")
    assert main([*back, "--yes"]) == 7
    assert "differs there" in capsys.readouterr().err


def test_a_drill_finds_a_bit_that_turned(
    site: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vault = tmp_path / "vault"
    assert main(["backup", str(vault), *LESS, *site]) == 0
    pack = max((vault / "packs").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(pack.read_bytes())
    data[len(data) // 3] ^= 1
    pack.write_bytes(bytes(data))
    assert main(["backup", str(vault), "--drill", *site]) == 6
    assert "damaged" in capsys.readouterr().err


@pytest.mark.slow
def test_a_registry_in_a_bucket_is_saved_and_looked_at_with_its_login(
    empty_site: list[str], s3_server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = s3_server.storage("saved-registry")
    registry = {"url": place.url, "endpoint": place.endpoint, "region": place.region}
    registry |= {"credentials": {"file": place.credentials_file}}
    own = tmp_path / "own.yaml"
    own.write_text(json.dumps({"registry": registry}))
    options = [*empty_site, "-f", str(own)]
    model, golden = make_model(tmp_path / "model")
    named = ["--golden", str(golden), "--name", "digits", "--version", "1"]
    assert (
        main(["model", "push", str(model), *named, "--key", str(tmp_path / "keys/registry.pem"), *options])
        == 0
    )
    taken = said(capsys, "backup", str(tmp_path / "vault"), *LESS, *options)
    assert taken["facts"]["tiers_files"] == ["tiers.yaml", "own.yaml"]
    steps = said(capsys, "restore", str(tmp_path / "vault"), "--into", str(tmp_path / "new"), "--dry-run")[
        "steps"
    ]
    assert {step["path"] for step in steps} == {"files/tiers.yaml", "files/own.yaml"}
