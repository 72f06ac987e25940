"""`tiers images` as it is typed, with a real registry: refused, locked, checked, rendered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.toolkit.images.conftest import start_registry

__all__ = ["start_registry"]

SITE = """version: 1
name: small
registry: file:///var/lib/tiers/registry
broker: {{url: "mqtts://broker.example"}}
clusters: {{main: {{context: hospital, tiers: [edge]}}}}
images: {{edge: "{edge}", jobs: "{edge}"{more}}}
tiers:
  edge:
    storage: {{url: "file:///var/lib/tiers/data"}}
    pools: {{boxes: {{hardware: jetson-orin-nx, nodes: {{names: [box-1]}}}}}}
"""


@pytest.fixture
def tiers(tmp_path):
    """Give `tiers(words)`: run in a folder of its own, with a home that has no logins but those of the test."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        own = {"HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        left = {"XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE"}
        return subprocess.run(
            [Path(sys.executable).with_name("tiers"), *words], cwd=tmp_path, capture_output=True, text=True,
            check=False, timeout=200, env={key: value for key, value in os.environ.items() if key not in left} | own,
        )  # fmt: skip

    return run


def test_a_tag_for_devices_is_refused_with_the_next_command_and_warned_of_where_that_is_allowed(
    tiers, tmp_path
):
    (tmp_path / "tiers.yaml").write_text(SITE.format(edge="registry.example/edge:1", more=""))
    for words in (("render",), ("render", "-o", "objects"), ("plan",), ("apply", "--yes")):
        done = tiers(*words)
        assert (done.returncode, done.stdout) == (7, ""), words
        assert "no digest for registry.example/edge:1" in done.stderr
        assert "try: tiers images lock" in done.stderr
    assert not (tmp_path / "objects").exists()
    (tmp_path / "tiers.yaml").write_text(SITE.format(edge="registry.example/edge:1", more=", unlocked: warn"))
    done = tiers("render")
    assert done.returncode == 0
    assert "warning: no digest for registry.example/edge:1" in done.stderr


def test_images_are_listed_locked_and_rendered(tiers, tmp_path, start_registry):
    registry = start_registry()
    image = f"{registry.host}/edge:1"
    digest = registry.push("edge:1", "edge", ("linux/arm64",))
    (tmp_path / "tiers.yaml").write_text(SITE.format(edge=image, more=""))
    (listed,) = json.loads(tiers("images", "list", "--json").stdout)
    assert (listed["image"], listed["digest"], listed["edge"]) == (image, "", True)
    assert [key["path"] for key in listed["keys"]] == ["images.edge", "images.jobs"]
    assert "NOT PINNED" in tiers("images", "list").stdout

    checked = tiers("images", "lock", "--check")
    assert checked.returncode == 8
    assert not (tmp_path / "tiers.lock").exists()
    done = tiers("images", "lock")
    assert (done.returncode, done.stdout.split()[-3:]) == (0, [image, digest, "linux/arm64"])
    assert json.loads((tmp_path / "tiers.lock").read_text()) == {"format": 1, "images": {image: digest}}
    assert tiers("images", "lock", "--check").returncode == 0
    assert f"{image}@{digest}" in tiers("render").stdout

    registry.push("edge:1", "another", ("linux/arm64",))
    assert tiers("images", "lock", "--check").returncode == 0
    assert tiers("images", "lock", "--check", "--update").returncode == 8
    before = (tmp_path / "tiers.lock").read_text()
    (tmp_path / "tiers.yaml").write_text(SITE.format(edge=f"{registry.host}/edge:2", more=""))
    missing = tiers("images", "lock")
    assert missing.returncode == 1
    assert f"has no {registry.host}/edge:2" in missing.stderr
    assert (tmp_path / "tiers.lock").read_text() == before


def test_a_helper_is_asked_and_its_password_stays_out_of_sight(tiers, tmp_path, start_registry):
    import urllib3

    from tests.toolkit.images.test_registry import BCRYPT, PASSWORD, USER

    (tmp_path / "htpasswd").write_text(f"{USER}:{BCRYPT}\n")
    auth = {"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}}
    registry = start_registry({"auth": auth}, urllib3.make_headers(basic_auth=f"{USER}:{PASSWORD}"))
    digest = registry.push("edge:1", "edge")
    (tmp_path / "tiers.yaml").write_text(SITE.format(edge=f"{registry.host}/edge:1", more=""))
    assert "docker login" in tiers("images", "lock").stderr
    helper = tmp_path / "docker-credential-drawer"
    answer = json.dumps({"ServerURL": registry.host, "Username": USER, "Secret": PASSWORD})
    helper.write_text(f'#!/bin/sh\n[ "$1" = get ] && [ "$(cat)" = {registry.host} ] && echo \'{answer}\'\n')
    helper.chmod(0o755)
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(json.dumps({"credHelpers": {registry.host: "drawer"}}))
    done = tiers("-v", "images", "lock")
    assert done.returncode == 0, done.stderr
    assert digest in (tmp_path / "tiers.lock").read_text()
    assert PASSWORD not in done.stdout + done.stderr
