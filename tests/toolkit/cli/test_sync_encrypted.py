"""Encrypted storages as routes reach them: in a real bucket and behind a real SSH server, and back again whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.toolkit.sync.trees import make_tree, photograph
from toolkit.cli import main
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.choose import open_storage
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask

SITE = """
version: 1
name: site
registry: file:///nowhere
clusters: {{main: {{context: none, tiers: [hot, cold]}}}}
images: {{edge: registry.example/tiers-edge:1.0, jobs: registry.example/tiers-jobs:1.0}}
broker: {{url: "mqtts://broker.example:8883"}}
tiers:
  hot:
    storage: {{url: "{hot}"}}
    pools: {{a100: {{hardware: a100-sxm-80gb, gpus: 8, nodes: {{count: 1}}}}}}
  cold:
    storage: {cold}
    pools: {{store: {{hardware: hdd-node, nodes: {{count: 1}}}}}}
routes:
  archive: {{from: hot, to: cold, path: studies}}
"""
PATIENT = b"PATIENT^NAME born 1970-01-01 "


class Place:
    """A storage somewhere: what tiers.yaml says of it, the same for a task, and where its bytes really lie."""

    def __init__(self, described: dict[str, Any], task: Storage, raw: Path) -> None:
        self.described, self.task, self.raw = described, task, raw

    def files(self) -> list[Path]:
        return [path for path in self.raw.rglob("*") if path.is_file()]


@pytest.fixture(params=["bucket", "ssh"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "bucket":
        server = request.getfixturevalue("s3_server")
        task = server.storage("encrypted-archive")
        login = {"file": task.credentials_file}
        described = {"url": task.url, "endpoint": task.endpoint, "region": task.region, "credentials": login}
        return Place(described, task, server.folder / "data" / "encrypted-archive")
    server = request.getfixturevalue("ssh_server")
    (tmp_path / "far").mkdir()
    task = server.storage(tmp_path / "far")
    known = {"file": str(server.known_hosts_file)}
    described = {"url": task.url, "credentials": {"file": str(server.key_file)}, "known_hosts": known}
    return Place(described, task, tmp_path / "far")


def typed(tmp_path: Path, place: Place, encryption: object, *words: str) -> int:
    cold = json.dumps(place.described | {"encryption": encryption})
    (tmp_path / "tiers.yaml").write_text(SITE.format(hot=(tmp_path / "hot").as_uri(), cold=cold))
    return main(["sync", *words, "-f", str(tmp_path / "tiers.yaml")])


@pytest.mark.slow
def test_a_route_into_other_peoples_hands(
    tmp_path: Path, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tree(tmp_path / "hot/studies", files=12)
    (tmp_path / "hot/studies/patient.txt").write_bytes(PATIENT * 9000)
    key_file = tmp_path / "archive.key"
    assert main(["sync", "keygen", str(key_file)]) == 0
    key = {"key": {"file": str(key_file)}}
    assert typed(tmp_path, place, key, "run", "archive") == 0
    assert typed(tmp_path, place, key, "verify", "archive") == 0
    capsys.readouterr()
    assert typed(tmp_path, place, key, "run", "archive") == 0
    assert "up to date" in capsys.readouterr().out
    # ---- what lies there tells nothing
    keyed = Storage(**{name: getattr(place.task, name) for name in place.task.__struct_fields__} | {
        "key_file": str(key_file), "layout": "packs"})  # fmt: skip
    plain_names = [
        each for found in open_storage(keyed).list() if len(each := found.key.rpartition("/")[2]) == 64
    ]
    assert len(plain_names) >= 2
    there = "\n".join(map(str, place.files()))
    assert not any(name in there for name in plain_names)
    assert not any(
        PATIENT[:12] in path.read_bytes() or b"TPK1" in path.read_bytes() for path in place.files()
    )
    # ---- without the key it is neither read nor filled again
    count = len(place.files())
    assert typed(tmp_path, place, "none", "run", "archive") == 2
    assert "is encrypted for key" in capsys.readouterr().err
    assert main(["sync", "keygen", str(tmp_path / "other.key")]) == 0
    assert typed(tmp_path, place, {"key": {"file": str(tmp_path / "other.key")}}, "run", "archive") != 0
    assert len(place.files()) == count
    assert typed(tmp_path, place, {"key": {"secret": "archive-key"}}, "run", "archive") == 2
    said = " ".join("".join(capsys.readouterr()).split())
    assert 'kubectl -n site get secret archive-key -o go-template=\'{{index .data "storage.key"' in said
    # ---- and all of it comes back, after a rotation too
    assert main(["sync", "keygen", "--add", str(key_file)]) == 0
    (tmp_path / "hot/studies/patient.txt").write_bytes(b"now " + PATIENT * 9000)
    assert typed(tmp_path, place, key, "run", "archive") == 0
    (tmp_path / "again").mkdir()
    again = Storage(tier="hot", url=(tmp_path / "again").as_uri())
    assert run_task(SyncTask(route="back", source=keyed, targets=(again,), path="studies")).exit_code == 0
    assert photograph(tmp_path / "again/studies") == photograph(tmp_path / "hot/studies")
    assert PackStore(open_storage(keyed)).damaged_packs == {}
