"""`tiers sync prefetch` as a job uses it: paths in, answers out, the sum at the end."""

from __future__ import annotations

import json
import subprocess
import sys

from toolkit.cli import main

SITE = """
version: 1
name: clinic
registry: file:///nowhere
clusters: {{main: {{context: none, tiers: [hot, warm]}}}}
images: {{edge: registry.example/tiers-edge:1.0, jobs: registry.example/tiers-jobs:1.0}}
broker: {{url: "mqtts://broker.example:8883"}}
tiers:
  hot: {{storage: "{root}/hot"}}
  warm: {{storage: "{root}/warm"}}
routes:
  shards: {{from: warm, to: hot, path: data, trigger: demand}}
"""


def prefetch(site, *arguments, asked=b""):
    command = [
        sys.executable,
        "-m",
        "toolkit.cli",
        "sync",
        "prefetch",
        *arguments,
        "-f",
        str(site / "tiers.yaml"),
    ]
    return subprocess.run(command, check=False, capture_output=True, input=asked, timeout=120)


def test_a_job_asks_for_its_files(tmp_path, capsys):
    (tmp_path / "tiers.yaml").write_text(SITE.format(root=tmp_path.as_uri()))
    (tmp_path / "hot").mkdir()
    (tmp_path / "warm/data").mkdir(parents=True)
    (tmp_path / "warm/data/shard-1").write_bytes(b"x" * 5000)
    done = prefetch(tmp_path, "shards", "--json", "--ahead", "0", asked=b"data/shard-1\n../shard\n")
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["path"], first["state"]) == ("data/shard-1", "brought")
    assert (second["state"], done.returncode) == ("failed", 6)
    assert b"1 reads, 0 found their file there (0 %)" in done.stderr
    assert (tmp_path / "hot/data/shard-1").read_bytes() == b"x" * 5000
    assert main(["sync", "prefetch", "shards", "--budget", "lots", "-f", str(tmp_path / "tiers.yaml")]) == 2
    assert "--budget 20GiB" in capsys.readouterr().err
