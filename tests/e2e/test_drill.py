"""The drill: a site is saved, everything is lost, an empty machine gets it back and says the same as before.

Real registry, real Mosquitto, the commands as they are typed. The machine is "lost" by moving all of its folders away
and starting a broker that knows nothing.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.toolkit.registry.making import make_model
from toolkit.cli import main
from toolkit.link.link import Connected
from toolkit.link.paho_link import PahoLink
from toolkit.link.settings import settings_from_url
from toolkit.registry.keys import read_key
from toolkit.wire.course import Course
from toolkit.wire.document import encode_json
from toolkit.wire.signature import seal
from toolkit.wire.topics import Topics

pytestmark = [pytest.mark.broker, pytest.mark.slow]

SITE = """\
version: 1
name: north
registry: {folder}/registry
broker: {{url: "mqtt://127.0.0.1:{port}"}}
clusters: {{main: {{context: nowhere, tiers: [edge, hot, cold]}}}}
images: {{edge: registry.example/tiers-edge:1.0, jobs: registry.example/tiers-jobs:1.0}}
hardware:
  laptop: {{arch: amd64, gpus: 0}}
tiers:
  edge: {{pools: {{demo: {{hardware: laptop, nodes: {{names: [box-1, box-2]}}}}}}}}
  hot:
    storage: {{url: "{folder}/hot"}}
    pools: {{a100: {{hardware: a100-sxm-80gb, gpus: 8, nodes: {{count: 1}}}}}}
  cold:
    storage: {{url: "{folder}/cold", layout: packs, encryption: {{key: {{file: {keys}/archive.key}}}}}}
    pools: {{store: {{hardware: hdd-node, nodes: {{count: 1}}}}}}
models:
  digits: {{source: digits@1, pools: [demo], precision: fp32, rollout: {{canary: 1, waves: [100%], soak: 0s}}}}
routes:
  archive: {{from: hot, to: cold, path: studies}}
"""
KILLED = """
import os, signal, sys
from pathlib import Path
from toolkit.backup.plan import Targets, plan_restore
from toolkit.backup.restore import restore
from toolkit.backup.shelf import open_saved
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.choose import open_storage
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.task import Storage

class Dying(DirectoryRemote):
    left = 3
    def write(self, key, data):
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
        super().write(key, data)

vault, key, folder = sys.argv[1:]
place = Storage(tier="backup", url=Path(vault).as_uri(), layout="packs", key_file=key)
targets = Targets(Path(folder), Dying(f"{folder}/registry", create=True))
saved = open_saved(PackStore(open_storage(place)))
restore(plan_restore(saved, targets), targets)
"""


def write_course(url: str, key: Path, rollout: str, number: int) -> None:
    """Write what a driver would: how far the rollout has come."""
    course = Course(rollout=rollout, number=number, fence=1, seq=7, state="RUNNING", told=1, ran_seconds=60.0)
    sealed = seal(encode_json(course), "course", read_key(key))
    link = PahoLink(settings_from_url(url, "driver"))
    link.connect()
    try:
        assert isinstance(link.events.get(timeout=60), Connected)
        link.publish(Topics("north").course(rollout), sealed, qos=1, retain=True)
        assert link.flush(60)
    finally:
        link.close()


@dataclass
class Drill:
    """A site on a machine, a safe for keys, and a vault for backups; `broker` is where devices would be."""

    root: Path
    port: int
    capsys: pytest.CaptureFixture[str]
    rollout: str = ""
    number: int = 0

    def __post_init__(self) -> None:
        self.machine, self.safe, self.vault = (self.root / name for name in ("machine", "safe", "vault"))
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.site = ["-f", str(self.machine / "tiers.yaml")]
        self.place = [str(self.vault), "--key-file", str(self.safe / "backup.key")]
        self.back = [
            *("restore", *self.place, "--into", str(self.machine), "--broker", self.url),
            *("--unwrap-with", str(self.safe / "backup.key")),
        ]

    def said(self, *arguments: str) -> Any:
        """Run a command that must go well and give the JSON that it prints."""
        self.capsys.readouterr()
        assert main([*arguments, "--json"]) == 0
        return json.loads(self.capsys.readouterr().out)

    def looks(self) -> list[Any]:
        """Look at the site with the commands of every day."""
        looks = (["model", "list"], ["rollout", "status"], ["validate"])
        return [self.said(*look, *self.site) for look in looks]

    def work(self) -> None:
        """Make keys, push a model, archive a study, start a rollout and let a driver come some way."""
        for folder in (self.machine / "hot/studies", self.machine / "cold", self.vault, self.safe):
            folder.mkdir(parents=True)
        text = SITE.format(folder=self.machine.as_uri(), port=self.port, keys=self.safe)
        (self.machine / "tiers.yaml").write_text(text)
        (self.machine / "hot/studies/1.dcm").write_bytes(b"PATIENT " * 1000)
        for name in ("archive.key", "backup.key"):
            assert main(["sync", "keygen", str(self.safe / name)]) == 0
        keys = self.machine / "keys"
        assert main(["model", "keygen", str(keys)]) == 0
        model, golden = make_model(self.root / "model")
        pushed = ["--golden", str(golden), "--name", "digits", "--version", "1"]
        assert (
            main(["model", "push", str(model), *pushed, "--key", str(keys / "registry.pem"), *self.site]) == 0
        )
        assert main(["sync", "run", "archive", *self.site]) == 0
        trusting = ["--keyring", str(keys / "keyring.json"), "--key", str(keys / "operator.pem")]
        assert main(["rollout", "start", "digits", *trusting, *self.site]) == 0
        (begun,) = self.said("rollout", "status", *self.site)["rollouts"]
        self.rollout, self.number = begun["name"], begun["number"]
        write_course(self.url, keys / "operator.pem", self.rollout, self.number)

    def save(self) -> Any:
        """Make a backup with the registry's key in it, wrapped."""
        keys = self.machine / "keys"
        add = ["--add", str(keys / "keyring.json"), "--with-key", str(keys / "registry.pem")]
        return self.said(
            "backup", *self.place, *add, "--wrap-with", str(self.safe / "backup.key"), *self.site
        )

    def restore_and_die(self) -> int:
        """Begin to restore in a process that is killed at its third object; give how it ended."""
        command = [sys.executable, "-c", KILLED, str(self.vault), str(self.safe / "backup.key")]
        return subprocess.run([*command, str(self.machine)], check=False, timeout=120).returncode


def test_a_lost_site_comes_back(tmp_path: Path, mosquitto, capsys: pytest.CaptureFixture[str]) -> None:
    drill = Drill(tmp_path, mosquitto.port, capsys)
    drill.work()
    before = drill.looks()
    assert before[1]["rollouts"][0]["state"] == "RUNNING"
    # ---- it is saved, and a drill reads all of it
    facts = {part["name"]: part for part in drill.save()["facts"]["parts"]}
    assert facts["revisions"]["skipped"].startswith("cluster main:")
    assert not facts["broker"].get("skipped")
    assert not facts["storages"].get("skipped")
    drilled = drill.said("backup", *drill.place, "--drill", *drill.site)
    assert (drilled["number"], drilled["models"]) == (1, 1)
    assert not any(b"digits" in path.read_bytes() for path in drill.vault.rglob("*") if path.is_file())
    # ---- everything is lost
    drill.machine.rename(tmp_path / "lost")
    mosquitto.stop()
    mosquitto.start()
    assert main(["model", "list", "--registry", f"{drill.machine.as_uri()}/registry"]) == 5
    # ---- a first attempt is killed after a while, the second one brings the rest
    assert drill.restore_and_die() == -signal.SIGKILL
    assert (drill.machine / "registry").is_dir()
    steps = drill.said(*drill.back, "--dry-run")["steps"]
    assert {step["action"] for step in steps} == {"write"}
    topics = {step["path"].split("/")[1][0] for step in steps if step["path"].startswith("broker/")}
    assert topics == {"a", "r"}, "the manifest, the rollout and its course"
    assert main([*drill.back, "--yes"]) == 0
    assert drill.looks() == before
    assert (drill.machine / "registry.pem").stat().st_mode & 0o777 == 0o600
    assert (drill.machine / "storages/cold-1/refs/routes/archive/head").is_file()
    # ---- once more is harmless, and what has moved on since is not taken back
    (drill.machine / "registry.pem").unlink()
    write_course(drill.url, tmp_path / "lost/keys/operator.pem", drill.rollout, drill.number + 1)
    assert main([*drill.back, "--yes"]) == 7
    assert "newer there" in capsys.readouterr().err
    assert not (drill.machine / "registry.pem").exists()
    assert main([*drill.back, "--yes", "--when-there", "keep"]) == 0
    assert (drill.machine / "registry.pem").is_file()
