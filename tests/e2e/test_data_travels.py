"""The hospital's data on its way: edge → hot → warm → cold, over folders, S3 and SSH, and back for a job.

The places are real: folders, versitygw, OpenSSH with an encrypted store. The tasks are the rendered ones, as agents and
the staging pod get them; only the clock is not the machine's, because a study takes thirty days to age.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.contracts.s3_server import S3Server
from tests.contracts.ssh_server import SshServer
from toolkit.policies import policy_of
from toolkit.render.staging import stage_tasks
from toolkit.routes import recall_tasks, sync_task
from toolkit.sync.key_file import make_key_file
from toolkit.sync.pins import holders, pin
from toolkit.sync.policies.where import remember, where
from toolkit.sync.recall import recall
from toolkit.sync.run import run_task
from toolkit.sync.task import SyncTask, decode_tasks, encode_tasks
from toolkit.topology.load import load
from toolkit.topology.topology import Topology

DAY = 86_400
HOSPITAL = Path(__file__).resolve().parents[2] / "tiers.yaml"
SITE = """
tiers:
  edge: {{storage: {{url: "file://{root}/edge"}}}}
  hot: {{storage: {{url: "file://{root}/hot", layout: mirror}}}}
  warm:
    storage:
      - {{url: "s3://{bucket}", endpoint: "{endpoint}", region: us-east-1, credentials: {{file: "{login}"}}}}
      - {{url: "s3://{bucket}-2", endpoint: "{endpoint}", region: us-east-1, credentials: {{file: "{login}"}}}}
  cold:
    storage:
      url: "sftp://{user}@127.0.0.1:{port}{root}/cold"
      layout: packs
      credentials: {{file: "{key}"}}
      known_hosts: {{file: "{hosts}"}}
      encryption: {{key: {{file: "{root}/storage.key"}}}}
routes:
  studies: {{from: hot, to: warm, path: frames, every: 1h}}
  studies-archive: {{from: warm, to: cold, path: frames, when: {{older_than: 30d}}, then: remove_source}}
  studies-back: {{from: cold, to: warm, path: frames, trigger: demand}}
  weights-archive: {{from: warm, to: cold, path: checkpoints, when: {{older_than: 30d}}, then: remove_source}}
  weights-back: {{from: cold, to: warm, path: checkpoints, trigger: demand}}
  weights-hot: {{from: warm, to: hot, path: checkpoints, trigger: demand}}
jobs:
  seg3d: {{data: {{from: warm, path: frames}}}}
"""


@dataclass
class Site:
    """The hospital with its storages on this machine, and a clock that is set by hand."""

    root: Path
    topology: Topology
    now_ns: int

    def run(self, route: str) -> int:
        """Run a route as an agent does; give the bytes that moved."""
        (task,) = decode_tasks(encode_tasks([sync_task(self.topology, route)]))
        result = run_task(task, clock=lambda: self.now_ns)
        assert result.exit_code == 0, [target.error for target in result.targets]
        return result.bytes_moved

    def later(self, days: float) -> None:
        """Let time pass."""
        self.now_ns += int(days * DAY * 1e9)


@pytest.fixture
def site(tmp_path: Path, s3_server: S3Server, ssh_server: SshServer) -> Site:
    for name in ("edge", "hot", "cold"):
        (tmp_path / name).mkdir()
    make_key_file(tmp_path / "storage.key")
    bucket = f"e2e-{tmp_path.name.strip('_').replace('_', '-')[-40:].strip('-')}"
    for name in (bucket, f"{bucket}-2"):
        s3_server.storage(name)
    text = SITE.format(
        root=tmp_path, bucket=bucket, endpoint=s3_server.endpoint, login=s3_server.credentials_file,
        user=ssh_server.user, port=ssh_server.port, key=ssh_server.key_file, hosts=ssh_server.known_hosts_file,
    )  # fmt: skip
    overlay = tmp_path / "site.yaml"
    overlay.write_text(text)
    return Site(tmp_path, load([HOSPITAL, overlay]).topology, time.time_ns())


def write(root: Path, name: str, seed: int, size: int, at_ns: int) -> bytes:
    """Write a file of a certain age; give its bytes."""
    data = random.Random(seed).randbytes(size)
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(at_ns, at_ns))
    return data


def tiers_with(site: Site, path: str) -> list[str]:
    """Ask `sync where` for a file; give the tiers that hold it, each once it was really found there."""
    found = where(policy_of(site.topology), path.encode(), site.now_ns // 1_000_000)
    assert not found.silent
    assert all(each.seen_ms == site.now_ns // 1_000_000 and not each.is_remembered for each in found.found)
    return sorted(each.tier for each in found.found)


def test_a_study_and_a_checkpoint_go_all_the_way_and_a_job_gets_the_study_back(site: Site) -> None:
    root, path = site.root, "frames/p7/1.dcm"
    study = write(root / "edge", path, 1, 300_000, site.now_ns)
    write(root / "edge", "frames/p8/1.dcm", 2, 200_000, site.now_ns)
    write(root / "hot", "checkpoints/seg3d/step-9.pt", 3, 400_000, site.now_ns)
    assert tiers_with(site, path) == [], "what devices hold is theirs until it has arrived"

    assert site.run("frames") > 0
    assert (root / "hot" / path).read_bytes() == study
    assert tiers_with(site, path) == ["hot"]

    assert site.run("studies") > 0
    assert site.run("checkpoints") > 0
    assert tiers_with(site, path) == ["hot", "warm"]
    assert tiers_with(site, "checkpoints/seg3d/step-9.pt") == ["hot", "warm"]

    site.later(29)
    assert site.run("studies-archive") == site.run("weights-archive") == 0, "nothing is old enough yet"
    assert tiers_with(site, path) == ["hot", "warm"]

    site.later(2)
    assert site.run("studies-archive") > 0
    assert site.run("weights-archive") > 0
    assert tiers_with(site, path) == ["cold", "hot"], "warm has let it go"
    raw = b"".join(each.read_bytes() for each in (root / "cold").rglob("*") if each.is_file())
    assert raw
    assert study[:64] not in raw, "whoever runs the archive cannot read it"
    assert path.encode() not in raw

    shutil.rmtree(root / "hot/frames")
    tasks, _ = stage_tasks(site.topology, "seg3d")
    assert [task.route for task in tasks] == ["studies-back", "seg3d-stage"]
    staged = recall(seen_from_here(site, tasks), "hot")
    assert [hop.exit_code for hop in staged.hops] == [0, 0]
    assert (root / "hot" / path).read_bytes() == study
    assert tiers_with(site, path) == ["cold", "hot", "warm"]
    stage = seen_from_here(site, tasks)[-1]
    pin(stage, stage.targets[0], "nightly")
    assert holders(stage, stage.targets[0]) == ("nightly",)


def test_what_was_asked_back_stays_for_its_time_and_weights_come_through_two_tiers(site: Site) -> None:
    root, path = site.root, "frames/p7/1.dcm"
    for name, seed in ((path, 1), ("frames/p8/1.dcm", 2)):
        write(root / "hot", name, seed, 100_000, site.now_ns)
    weights = write(root / "hot", "checkpoints/seg3d/step-9.pt", 3, 400_000, site.now_ns)
    for route in ("studies", "checkpoints"):
        site.run(route)
    site.later(31)
    for route in ("studies-archive", "weights-archive"):
        site.run(route)
    shutil.rmtree(root / "hot")
    (root / "hot").mkdir()

    until = site.now_ns // 1_000_000 + 7 * DAY * 1000
    recall(recall_tasks(site.topology, "frames/p7"), "warm", until_ms=until)
    recall(recall_tasks(site.topology, "frames/p8"), "warm")
    assert tiers_with(site, path) == tiers_with(site, "frames/p8/1.dcm") == ["cold", "warm"]
    site.run("studies-archive")
    assert tiers_with(site, path) == ["cold", "warm"], "somebody was promised a week"
    assert tiers_with(site, "frames/p8/1.dcm") == ["cold"]
    site.later(8)
    site.run("studies-archive")
    assert tiers_with(site, path) == ["cold"]

    found = recall(recall_tasks(site.topology, "checkpoints"), "hot")
    assert [(hop.route, hop.exit_code) for hop in found.hops] == [("weights-back", 0), ("weights-hot", 0)]
    assert (root / "hot/checkpoints/seg3d/step-9.pt").read_bytes() == weights


def test_where_tells_what_cold_had_while_nobody_answers_there(site: Site) -> None:
    path = "frames/p7/1.dcm"
    write(site.root / "hot", path, 1, 50_000, site.now_ns)
    site.run("studies")
    site.later(31)
    site.run("studies-archive")
    policy, now_ms = policy_of(site.topology), site.now_ns // 1_000_000
    remember(policy, now_ms)
    (site.root / "cold").rename(site.root / "away")
    site.later(1)
    found = where(policy, path.encode(), site.now_ns // 1_000_000)
    (cold,) = [each for each in found.found if each.tier == "cold"]
    assert (cold.is_remembered, cold.seen_ms) == (True, now_ms)
    assert [each.tier for each in found.silent] == ["cold"]
    assert found.exit_code == 0, "what it had is known"
    assert all(not each.is_remembered for each in found.found if each.tier != "cold")


def seen_from_here(site: Site, tasks: tuple[SyncTask, ...]) -> tuple[SyncTask, ...]:
    """Put the folders of this machine where the pod would see them mounted."""

    def here(task: SyncTask) -> SyncTask:
        places = [
            msgspec.structs.replace(place, url=(site.root / place.tier).as_uri())
            if place.url.startswith("file:///tiers/")
            else place
            for place in (task.source, *task.targets)
        ]
        return msgspec.structs.replace(task, source=places[0], targets=tuple(places[1:]))

    return tuple(map(here, decode_tasks(encode_tasks(tasks))))
