"""Storages behind SSH and in S3, as commands reach them: a login from a file, from a variable, none from a Secret."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.toolkit.registry.making import make_model
from tests.toolkit.sync.trees import make_tree, photograph
from toolkit.cli import main
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.choose import open_storage
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask

SITE = """
version: 1
name: site
registry: {registry}
clusters: {{main: {{context: none, tiers: [hot, warm]}}}}
images: {{edge: registry.example/tiers-edge:1.0, jobs: registry.example/tiers-jobs:1.0}}
broker: {{url: "mqtts://broker.example:8883"}}
tiers:
  hot:
    storage: {{url: "{hot}"}}
    pools: {{a100: {{hardware: a100-sxm-80gb, gpus: 8, nodes: {{count: 1}}}}}}
  warm:
    storage: {warm}
    pools: {{nvme: {{hardware: nvme-node, nodes: {{count: 1}}}}}}
routes:
  studies: {{from: hot, to: warm, path: studies}}
"""


@pytest.fixture
def write(tmp_path):
    """Give a function that writes tiers.yaml with a storage and a registry."""

    def write(warm: dict, registry: dict | str = "file:///nowhere") -> Path:
        make_tree(tmp_path / "hot/studies", files=12)
        file = tmp_path / "tiers.yaml"
        hot = (tmp_path / "hot").as_uri()
        file.write_text(SITE.format(hot=hot, warm=json.dumps(warm), registry=json.dumps(registry)))
        return file

    return write


def behind_ssh(server, folder: Path, credentials: dict) -> dict:
    folder.mkdir(exist_ok=True)
    url = server.storage(folder).url
    return {"url": url, "credentials": credentials, "known_hosts": {"file": str(server.known_hosts_file)}}


def in_a_bucket(server, name: str, credentials: dict) -> dict:
    place = server.storage(name)
    return {"url": place.url, "endpoint": place.endpoint, "region": place.region, "credentials": credentials}


def run(*words: str) -> int:
    return main(["sync", *words])


def test_a_route_leads_behind_ssh_and_is_verified_there(write, ssh_server, tmp_path, capsys):
    file = write(behind_ssh(ssh_server, tmp_path / "warm", {"file": str(ssh_server.key_file)}))
    assert run("run", "studies", "-f", str(file)) == 0
    assert run("verify", "studies", "-f", str(file)) == 0
    assert run("run", "studies", "-f", str(file)) == 0
    assert "up to date" in capsys.readouterr().out
    back = SyncTask(
        route="back",
        source=ssh_server.storage(tmp_path / "warm"),
        targets=(Storage(tier="hot", url=(tmp_path / "again").as_uri()),),
        path="studies",
    )
    (tmp_path / "again").mkdir()
    assert run_task(back).exit_code == 0
    assert photograph(tmp_path / "again/studies") == photograph(tmp_path / "hot/studies")


def test_reading_back_keeps_to_the_limit_of_the_routes_on_the_line(write, ssh_server, tmp_path):
    file = write(behind_ssh(ssh_server, tmp_path / "warm", {"file": str(ssh_server.key_file)}))
    (tmp_path / "hot/studies/noise").write_bytes(random.Random(1).randbytes(150_000))
    assert run("run", "studies", "-f", str(file)) == 0
    file.write_text(file.read_text().replace("path: studies}", "path: studies, limit: 100kB/s}"))
    for words in (("verify", "studies"), ("verify", "--store", "warm"), ("gc", "warm")):
        begun = time.monotonic()
        assert run(*words, "-f", str(file)) == 0
        # Nothing can make it shorter: 150 kB less the burst of a quarter of a second. A collection reads the lists.
        assert words[0] == "gc" or time.monotonic() - begun > 1.2


_TYPED = "import sys; from toolkit.cli import main; sys.exit(main(sys.argv[1:]))"


def typed(words: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _TYPED, *words]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.slow
def test_a_login_in_a_variable_opens_a_bucket_and_is_shown_nowhere(write, s3_server):
    file = write(in_a_bucket(s3_server, "by-variable", {"env": "WARM_LOGIN"}))
    login = s3_server.credentials_file.read_text()
    done = typed(["sync", "run", "studies", "-f", str(file), "--json"], WARM_LOGIN=login)
    assert done.returncode == 0, done.stderr
    assert "test-secret-key" not in done.stdout + done.stderr
    assert PackStore(open_storage(s3_server.storage("by-variable"))).read_ref("routes/studies/head")
    unset = typed(["sync", "run", "studies", "-f", str(file)])
    assert unset.returncode == 2
    assert "in the variable WARM_LOGIN, which is not set" in unset.stdout + unset.stderr


@pytest.mark.slow
def test_a_private_key_in_a_variable_opens_ssh_and_touches_no_disk(write, ssh_server, tmp_path):
    file = write(behind_ssh(ssh_server, tmp_path / "warm", {"env": "WARM_KEY"}))
    key = ssh_server.key_file.read_text()
    done = typed(["sync", "run", "studies", "-f", str(file)], WARM_KEY=key, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "warm/refs/routes/studies/head").is_file()
    body = key.splitlines()[2].encode()
    found = [each for each in tmp_path.rglob("*") if each.is_file() and body in each.read_bytes()]
    assert found == []


def test_a_login_in_a_secret_of_the_cluster_is_refused_with_the_way_to_get_it(
    write, ssh_server, tmp_path, capsys
):
    file = write(behind_ssh(ssh_server, tmp_path / "warm", {"secret": "warm-login"}))
    assert run("run", "studies", "-f", str(file)) == 2
    said = "".join(capsys.readouterr())
    assert "Kubernetes Secret warm-login" in said
    assert (
        "kubectl -n site get secret warm-login -o go-template='{{index .data \"ssh-privatekey\" | base64decode}}'"
        in (" ".join(said.split()))
    )


@pytest.mark.slow
def test_a_registry_is_pushed_to_and_listed_in_a_bucket_and_behind_ssh(
    write, ssh_server, s3_server, tmp_path, capsys
):
    assert main(["model", "keygen", str(tmp_path / "keys")]) == 0
    model, golden = make_model(tmp_path / "model", head=1)
    (tmp_path / "registry").mkdir()
    for registry in (
        in_a_bucket(s3_server, "registry", {"file": str(s3_server.credentials_file)}),
        behind_ssh(ssh_server, tmp_path / "registry", {"file": str(ssh_server.key_file)}),
    ):
        site = ["-f", str(write("file:///nowhere", registry))]
        named = ["--golden", str(golden), "--name", "digits", "--version", "1"]
        key = ["--key", str(tmp_path / "keys/registry.pem")]
        for _ in range(2):  # a repetition is harmless
            assert main(["model", "push", str(model), *named, *key, *site]) == 0
        capsys.readouterr()
        trusted = ["--keyring", str(tmp_path / "keys/keyring.json")]
        assert main(["model", "list", *trusted, *site, "--json"]) == 0
        (line,) = json.loads(capsys.readouterr().out)
        assert (line["version"], line["problem"]) == ("1", "")
        assert main(["model", "show", "digits@1", *trusted, *site]) == 0
        capsys.readouterr()
