"""`tiers render`, `tiers lint` and `tiers graph` as they are typed."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[3]
TIERS_YAML = REPOSITORY / "tiers.yaml"
GOLDEN = REPOSITORY / "tests" / "golden" / "hospital" / "objects.yaml"


@pytest.fixture
def tiers(tmp_path):
    """Give `tiers(*arguments)`: the command in a folder with the hospital's tiers.yaml."""
    (tmp_path / "tiers.yaml").write_bytes(TIERS_YAML.read_bytes())

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-c",
            "import sys; from toolkit.cli import main; sys.exit(main())",
            *arguments,
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, cwd=tmp_path)

    return run


def test_render_writes_the_stream_of_the_golden(tiers):
    done = tiers("render")
    assert (done.returncode, done.stdout) == (0, GOLDEN.read_text(encoding="utf-8"))


def test_render_as_json_holds_the_same_objects(tiers):
    listed = json.loads(tiers("render", "--json").stdout)
    assert [each["body"] for each in listed] == list(yaml.safe_load_all(GOLDEN.read_text(encoding="utf-8")))
    assert {each["cluster"] for each in listed} == {"main"}


def test_render_to_a_folder_says_what_it_wrote_and_lint_reads_it(tiers):
    done = tiers("render", "-o", "out")
    assert done.returncode == 0
    assert re.search(r"main/\d+-job-seg3d\.yaml", done.stdout)
    assert "tiers lint out" in done.stderr
    again = tiers("render", "-o", "out", "--json")
    assert json.loads(again.stdout)["written"] == []
    found = tiers("lint", "out")
    assert found.returncode == 0
    daemon = r"out/main/\d+-daemonset-tiers-edge-ultrasound-jetson-orin-nx\.yaml:.* L206 "
    assert re.search(daemon, found.stdout)


def test_a_lock_beside_tiers_yaml_pins_images(tiers, tmp_path):
    digest = "sha256:" + "c" * 64
    (tmp_path / "tiers.lock").write_text(
        json.dumps({"format": 1, "images": {"registry.example/tiers-edge:1.0": digest}})
    )
    assert f"registry.example/tiers-edge:1.0@{digest}" in tiers("render").stdout
    found = json.loads(tiers("lint", "--json").stdout)
    others = [each for each in found if "DaemonSet medical-imaging/tiers-dcgm-" not in each["place"]["where"]]
    assert others == [], "DCGM's exporter reads a socket of root's; everything else is as it should be"


def test_a_wrong_tiers_yaml_renders_nothing(tiers, tmp_path):
    (tmp_path / "tiers.yaml").write_text(TIERS_YAML.read_text().replace("pool: a100", "pool: a10"))
    done = tiers("render", "-o", "out")
    assert done.returncode == 3
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()
    assert "tiers.yaml:" in done.stderr


def test_lint_ends_with_1_when_there_is_an_error(tiers, tmp_path):
    job = {
        "apiVersion": "batch.volcano.sh/v1alpha1",
        "kind": "Job",
        "metadata": {"name": "x"},
        "spec": {"tasks": []},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    done = tiers("lint", "job.yaml")
    assert done.returncode == 1
    assert "job.yaml:6:3: error L101 Job x: has no task" in done.stdout
    assert "help: " in done.stdout
    assert "1 object: 1 error, 1 warning" in done.stderr


def test_lint_explains_a_code(tiers):
    done = tiers("lint", "--explain", "L401")
    assert done.returncode == 0
    assert done.stdout.startswith("L401 (error): ")
    assert "\n  why: " in done.stdout
    assert "\n  cure: " in done.stdout
    as_json = yaml.safe_load(tiers("lint", "--explain", "L401", "--json").stdout)
    assert (as_json["code"], as_json["severity"]) == ("L401", "error")
    gone = tiers("lint", "--explain", "L999")
    assert gone.returncode == 2
    assert "problems.md" in gone.stderr


def test_lint_knows_machines_services_and_queues_where_tiers_yaml_is_given(tiers, tmp_path):
    corpus = REPOSITORY / "tests" / "toolkit" / "lint" / "corpus"
    job = (corpus / "gpus-that-services-hold.yaml").read_text(encoding="utf-8")
    (tmp_path / "job.yaml").write_text(job.replace("corpus-open", "research"))
    alone = tiers("lint", "job.yaml")
    assert (alone.returncode, ": error " in alone.stdout) == (0, False)
    beside = tiers("lint", "job.yaml", "--file", "tiers.yaml")
    assert beside.returncode == 1
    assert "error L156 Job corpus/six-workers: would stay Pending: 6 pods" in beside.stdout
    assert "beside service medical-ai (2) there is room for 5" in beside.stdout
    mended = job.replace("corpus-open", "research").replace("replicas: 6", "replicas: 4")
    (tmp_path / "job.yaml").write_text(mended)
    assert tiers("lint", "job.yaml", "--file", "tiers.yaml").returncode == 0


def test_lint_names_a_file_that_is_not_there(tiers):
    done = tiers("lint", "gone.yaml")
    assert (done.returncode, done.stdout) == (1, "")
    assert "gone.yaml" in done.stderr


def test_graph_draws(tiers):
    done = tiers("graph")
    assert done.returncode == 0
    assert done.stdout.startswith("flowchart LR\n")
    assert "job_seg3d --> pool_a100" in done.stdout


def test_no_secret_of_tiers_yaml_reaches_an_object(tiers, tmp_path):
    over = {
        "tiers": {
            "hot": {
                "storage": [
                    {"url": "file:///mnt/scratch", "credentials": {"file": "/etc/keys/key-of-scratch"}}
                ]
            }
        },
        "jobs": {"seg3d": {"env": {"HUB_TOKEN": {"secret": "hub/token"}}}},
    }
    (tmp_path / "site.yaml").write_text(json.dumps(over))
    done = tiers("render", "-f", "tiers.yaml", "-f", "site.yaml")
    assert done.returncode == 0, done.stderr
    assert "broker-login" not in done.stdout
    assert "key-of-scratch" not in done.stdout
    objects = {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}
    assert "Secret" not in objects
    worker = objects["Job"]["spec"]["tasks"][0]["template"]["spec"]["containers"][0]
    token = next(each for each in worker["env"] if each["name"] == "HUB_TOKEN")
    assert token == {"name": "HUB_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}


def test_a_secret_that_is_written_out_is_refused_and_never_repeated(tiers, tmp_path):
    literal = "hunter2-is-not-a-secret"
    over = {"broker": {"credentials": literal}, "jobs": {"seg3d": {"env": {"HUB_TOKEN": literal}}}}
    (tmp_path / "site.yaml").write_text(json.dumps(over))
    done = tiers("render", "-f", "tiers.yaml", "-f", "site.yaml")
    assert done.returncode == 3
    assert done.stdout == ""
    assert literal not in done.stderr


def test_the_schedulers_configuration_is_printed_and_is_clean(tiers, tmp_path):
    done = tiers("render", "--scheduler-config")
    assert done.returncode == 0
    conf = tmp_path / "volcano-scheduler.conf"
    conf.write_text(done.stdout)
    assert (tiers("lint", str(conf)).returncode, tiers("lint", str(conf)).stdout) == (0, "")

    conf.write_text(done.stdout.replace("preempt,", "gangPreempt,"))
    wrong = tiers("lint", str(conf))
    assert wrong.returncode == 1
    assert "did you mean 'gangpreempt'?" in wrong.stdout
    assert "volcano-scheduler.conf:2:1" in wrong.stdout


def test_the_files_of_a_broker_without_kubernetes(tiers, tmp_path):
    done = tiers("render", "--broker-config", "broker")
    assert done.returncode == 0, done.stderr
    conf = (tmp_path / "broker" / "mosquitto.conf").read_text().splitlines()
    for line in (
        f"crlfile {tmp_path}/broker/ca.crl",
        f"acl_file {tmp_path}/broker/topics.acl",
        "listener 8883",
    ):
        assert line in conf
    assert "allow_anonymous true" not in conf
    assert "needs also ca.crt, ca.crl, broker.crt, broker.key" in done.stderr
    assert "/etc/systemd/system/mosquitto.service.d/tiers.conf" in done.stderr
    service = configparser.ConfigParser(strict=False, interpolation=None)
    service.read(tmp_path / "broker" / "mosquitto.service.conf")
    assert service["Service"]["Environment"].startswith("MALLOC_")
    assert (tmp_path / "broker" / "data").is_dir()
    assert tiers("render", "--broker-config", "broker", "--json").returncode == 0
    (tmp_path / "broker" / "topics.acl").write_text("mine")
    refused = tiers("render", "--broker-config", "broker")
    assert (refused.returncode, "topics.acl is in the way" in refused.stderr) == (1, True)
    (tmp_path / "site.yaml").write_text("broker: {preset: emqx}\n")
    other = tiers("render", "-f", "tiers.yaml", "-f", "site.yaml", "--broker-config", "x")
    assert (other.returncode, "no Mosquitto with encryption" in other.stderr) == (1, True)
