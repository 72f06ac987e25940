"""The script that joins a device: it parses, holds every flag and no token, and does its steps with stand-ins."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess

import pytest
import yaml

from toolkit.errors import UsageError
from toolkit.render.join import join_script
from toolkit.render.kubeedge_config import edge_config

SAMPLE = "27a37ef1.eyJhbGciOiJIUzI1NiJ9"
KEADM = """#!/bin/bash
printf '%s\\n' "$@" >> "$RECORD"
mkdir -p {root}/certs {root}/config
[ -z "$BREAKS" ] || exit 1
echo certificate > {root}/certs/server.crt
echo 'modules: {{edgeHub: {{token: secret}}}}' > {root}/config/edgecore.yaml
"""


def parses(script: str) -> bool:
    return subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def flags(script: str) -> list[str]:
    joined = script.replace(" \\\n", " ")
    (line,) = re.findall(r"^ *keadm join (.*)$", joined, re.MULTILINE)
    return shlex.split(line)


@pytest.fixture
def device(tmp_path):
    """Give `run(script, host)`: run a script with its paths below a folder and programs of the device as stand-ins."""
    root, programs = tmp_path / "kubeedge", tmp_path / "bin"
    programs.mkdir()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "c.sock"))
    stands_in = {
        "keadm": KEADM.format(root=root),
        "id": "#!/bin/bash\necho 0\n",
        "pgrep": "#!/bin/bash\nexit 1\n",
        "systemctl": '#!/bin/bash\necho "systemctl $*" >> "$RECORD"\n',
        "hostname": '#!/bin/bash\necho "$HOST"\n',
    }
    for name, text in stands_in.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)

    def run(script: str, host: str = "endo-01", token: str = SAMPLE, *, breaks: bool = False):
        moved = script.replace("/etc/kubeedge", str(root))
        moved = moved.replace("[ -S /run/containerd/containerd.sock ]", f"[ -S {tmp_path}/c.sock ]")
        path = os.pathsep.join([str(programs), os.environ["PATH"]])
        environment = {
            "PATH": path,
            "RECORD": str(tmp_path / "record"),
            "HOST": host,
            "BREAKS": "1" if breaks else "",
        }
        (tmp_path / "join.sh").write_text(moved)
        return subprocess.run(
            ["bash", str(tmp_path / "join.sh")], input=token, capture_output=True, text=True,
            env=environment, check=False, timeout=60,
        )  # fmt: skip

    yield run
    listening.close()


def recorded(tmp_path) -> list[str]:
    record = tmp_path / "record"
    return record.read_text().splitlines() if record.exists() else []


def test_it_parses_holds_every_flag_and_no_token(hospital):
    for pool, name in (("ultrasound", ""), ("ultrasound", "ultrasound-007"), ("endoscopy", "endo-02")):
        script = join_script(hospital, pool, name)
        assert parses(script)
        given = flags(script)
        assert "--kubeedge-version=v1.23.1" in given
        assert "--cloudcore-ipport=192.0.2.10:10000" in given
        assert "--cgroupdriver=systemd" in given
        assert "--remote-runtime-endpoint=unix:///run/containerd/containerd.sock" in given
        (labels,) = [flag for flag in given if flag.startswith("--labels=")]
        assert {"tiers.dev/tier=edge", f"tiers.dev/pool={pool}"} <= set(labels[9:].split(","))
        assert [flag for flag in given if "token" in flag] == ["--token=$TOKEN"]
        assert "get secret tokensecret" in script
        assert 'token: ""' in script


def test_a_device_gets_its_certificate_then_the_reviewed_file(hospital, device, tmp_path):
    done = device(join_script(hospital, "endoscopy"), "endo-02")
    assert done.returncode == 0, done.stderr
    called = recorded(tmp_path)
    assert called[0] == "join"
    assert {"--edgenode-name=endo-02", f"--token={SAMPLE}"} <= set(called)
    assert called[-1] == "systemctl restart edgecore"
    written = tmp_path / "kubeedge" / "config" / "edgecore.yaml"
    wanted = edge_config(hospital, "endoscopy").replace("/etc/kubeedge", str(tmp_path / "kubeedge"))
    assert written.read_text() == wanted
    assert yaml.safe_load(written.read_text())["modules"]["edgeHub"]["token"] == ""
    assert written.stat().st_mode & 0o077 == 0
    assert not [path for path in tmp_path.rglob("*.*") if path.is_file() and SAMPLE in path.read_text()]
    assert SAMPLE not in done.stdout + done.stderr


def test_a_second_run_joins_no_second_time(hospital, device, tmp_path):
    script = join_script(hospital, "endoscopy", "endo-01")
    assert device(script).returncode == 0
    assert device(script, token="").returncode == 0
    assert recorded(tmp_path).count("join") == 1
    assert recorded(tmp_path).count("systemctl restart edgecore") == 2


def test_a_join_that_broke_off_is_told_with_its_cure(hospital, device, tmp_path):
    script = join_script(hospital, "endoscopy", "endo-01")
    assert device(script, breaks=True).returncode == 1
    done = device(script)
    assert (done.returncode, "keadm reset --force" in done.stderr) == (1, True)
    assert recorded(tmp_path).count("join") == 1
    shutil.rmtree(tmp_path / "kubeedge")
    assert device(script).returncode == 0


def test_a_machine_of_another_name_and_an_empty_token_are_refused(hospital, device, tmp_path):
    done = device(join_script(hospital, "ultrasound"), "endo-01")
    assert done.returncode == 1
    assert "no device of the pool ultrasound" in done.stderr
    assert device(join_script(hospital, "ultrasound"), "ultrasound-0071").returncode == 1
    done = device(join_script(hospital, "endoscopy"), token="")
    assert (done.returncode, "no token" in done.stderr) == (1, True)
    assert recorded(tmp_path) == []
    assert device(join_script(hospital, "ultrasound"), "ultrasound-007").returncode == 0


def test_a_device_with_labels_of_its_own_gets_a_script_of_its_own(topology, device):
    own = {"nodes": {"own_labels": {"endo-02": {"room": "7"}}}}
    site = topology({"tiers": {"edge": {"pools": {"endoscopy": own}}}})
    done = device(join_script(site, "endoscopy"), "endo-02")
    assert done.returncode == 1
    assert "render --join endoscopy/endo-02" in done.stderr
    assert device(join_script(site, "endoscopy"), "endo-01").returncode == 0
    (labels,) = [flag for flag in flags(join_script(site, "endoscopy", "endo-02")) if "--labels" in flag]
    assert labels.endswith(",room=7")
    assert "room: " in edge_config(site, "endoscopy", "endo-02")
    assert "room: " not in edge_config(site, "endoscopy")


def test_nothing_of_tiers_yaml_becomes_a_command(topology, device, tmp_path):
    context = 'x\'\ntouch "$RECORD".1 #`touch $RECORD.2` $(touch $RECORD.3)'
    nasty = topology({"clusters": {"main": {"context": context}}})
    script = join_script(nasty, "endoscopy", "endo-01")
    assert parses(script)
    assert device(script).returncode == 0
    assert not list(tmp_path.glob("record.*"))


def test_what_is_not_there_is_named(hospital):
    with pytest.raises(UsageError, match="the pool endoscopy has no device 'endo-03'"):
        join_script(hospital, "endoscopy", "endo-03")
    with pytest.raises(UsageError, match="no pool 'a100' on the edge"):
        join_script(hospital, "a100")
