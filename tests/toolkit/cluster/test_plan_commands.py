"""`tiers plan` and `tiers apply` as they are typed: files, locks, several clusters, and what goes wrong."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from toolkit.cli import main
from toolkit.cluster.lock import Claim, hold

NOWHERE = {
    name: {"hardware": hardware, "nodes": {"names": [f"{name}-of-nobody"]}}
    for name, hardware in (("ultrasound", "jetson-orin-nx"), ("endoscopy", "jetson-orin-nano"))
}
_numbers = itertools.count(1)


@dataclass
class Desk:
    """A folder with a tiers.yaml, and a kubeconfig."""

    folder: Path
    name: str
    document: dict
    kubeconfig: Path

    @property
    def options(self) -> list[str]:
        file = self.folder / "tiers.yaml"
        file.write_text(json.dumps(self.document))
        return ["--file", str(file), "--kubeconfig", str(self.kubeconfig)]


@pytest.fixture
def desk(tmp_path, hospital_text, plane):
    """Give the hospital under a name of its own, with nothing that has pods; its objects go afterwards."""
    document = yaml.safe_load(hospital_text)
    name = f"desk-{os.getpid()}-{next(_numbers)}"
    document |= {"name": name, "jobs": {}, "services": {}}
    document["models"]["us-segmentation"].pop("offload")
    document["tiers"]["edge"]["pools"] = NOWHERE
    yield Desk(tmp_path, name, document, plane.kubeconfig)
    plane.api.remove(f"/api/v1/namespaces/{name}")
    plane.forget(name)


def test_a_plan_is_written_shown_and_applied_without_tiers_yaml(desk, capsys):
    file = desk.folder / "hospital.plan"
    assert main(["plan", *desk.options, "-o", str(file)]) == 0
    told = capsys.readouterr()
    assert f"create Namespace {desk.name}" in told.out
    assert f"next: tiers apply {file}" in told.err
    (desk.folder / "tiers.yaml").unlink()
    assert main(["apply", str(file), "--kubeconfig", str(desk.kubeconfig)]) == 2, "nobody to ask"
    assert main(["apply", str(file), "--kubeconfig", str(desk.kubeconfig), "--yes", "--json"]) == 0
    told = capsys.readouterr()
    (applied,) = json.loads(told.out)
    assert {each["outcome"] for each in applied["objects"]} == {"created"}
    assert f"main: created Namespace {desk.name}" in told.err, (
        "a line for each object where there is no terminal"
    )
    assert main(["diff", *desk.options, "--exit-code"]) == 0
    assert main(["plan", *desk.options]) == 0
    assert "0 objects would be written" in capsys.readouterr().err


def test_a_plan_that_is_old_is_refused_with_who_moved_what(desk, capsys, plane):
    assert main(["apply", *desk.options, "--yes"]) == 0
    desk.document["queues"]["research"]["deserved"] = {"gpus": 24}
    file = str(desk.folder / "p")
    assert main(["plan", *desk.options, "-o", file]) == 0
    queue = f"/apis/scheduling.volcano.sh/v1beta1/queues/{desk.name}-research"
    plane.api.merge(queue, {"metadata": {"annotations": {"seen": "yes"}}}, manager="kubectl-annotate")
    capsys.readouterr()
    assert main(["apply", file, "--kubeconfig", str(desk.kubeconfig), "--yes"]) == 7
    told = capsys.readouterr().err
    assert "1 objects have moved since the plan was made; nothing was written" in told
    assert f"Queue {desk.name}-research: it was changed (by " in told
    assert "kubectl-annotate at 20" in told
    assert f"tiers plan -o {file}" in told


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--context", "elsewhere"], 2, "is for the contexts hospital, not for elsewhere"),
        (["--set", "a=b"], 2, "a plan is complete"),
        (["--no-prune"], 2, "a plan is complete"),
        (["--force-conflicts"], 2, "a plan is complete"),
        (["--wait-for-lock", "soon"], 2, "--wait-for-lock: 'soon' is not a duration"),
        (["--kubeconfig", "nowhere"], 5, "no usable kubeconfig"),
        (["--ready", "0"], 2, "--ready"),
    ],
)
def test_a_wrong_command_line_says_so(desk, capsys, more, code, said):
    file = str(desk.folder / "p")
    assert main(["plan", *desk.options, "-o", file]) == 0
    capsys.readouterr()
    assert main(["apply", file, "--kubeconfig", str(desk.kubeconfig), "--yes", *more]) == code
    assert said in capsys.readouterr().err
    assert main(["diff", *desk.options, "--exit-code"]) == 8, "nothing was written"


def test_a_changed_plan_and_no_plan_say_so(desk, capsys):
    file = desk.folder / "p"
    assert main(["plan", *desk.options, "-o", str(file)]) == 0
    file.write_bytes(file.read_bytes().replace(b"hospital", b"elsewhere"))
    assert main(["apply", str(file), "--yes"]) == 6
    assert "was changed after it was written" in capsys.readouterr().err
    assert main(["apply", str(desk.folder / "q"), "--yes"]) == 2
    assert "No such file" in capsys.readouterr().err
    assert main(["plan", *desk.options, "-o", str(desk.folder / "no" / "p")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_a_held_lock_names_its_holder_and_the_ways_out(desk, capsys):
    from toolkit.cluster.connect import connect_context

    assert main(["apply", *desk.options, "--yes"]) == 0
    desk.document["queues"]["research"]["deserved"] = {"gpus": 24}
    other = connect_context("main", "hospital", desk.kubeconfig)
    capsys.readouterr()
    with hold(other, desk.name, desk.name, Claim("ben@elsewhere", duration_seconds=60)):
        assert main(["apply", *desk.options, "--yes"]) == 1
        told = capsys.readouterr().err
        assert "is being written by ben@elsewhere" in told
        assert "tiers apply --wait-for-lock 2m" in told
        assert main(["apply", *desk.options, "--yes", "--break-lock"]) == 0
    assert main(["diff", *desk.options, "--exit-code"]) == 0


def test_two_at_once_never_write_in_between_each_other(desk, plane):
    """As two users, so that the audit log tells them apart."""
    mine, theirs = desk.options, [*desk.options[:-1], str(plane.write_kubeconfig("admin"))]
    begin = len(plane.audited())
    command = [sys.executable, "-m", "toolkit.cli", "apply", "--yes", "--wait-for-lock", "2m"]
    both = [
        subprocess.Popen(
            [*command, *options],
            cwd=Path(__file__).parents[3],
            stderr=subprocess.PIPE,
            text=True,
            stdout=subprocess.DEVNULL,
        )
        for options in (mine, theirs)
    ]
    said = [each.communicate(timeout=250)[1] for each in both]
    # Whoever came second finds that the cluster has moved, or that all is done; it never writes over the first.
    assert min(each.returncode for each in both) == 0, said
    entries = plane.audited()[begin:]
    writers = [
        each["user"]["username"]
        for each in sorted(entries, key=lambda each: each["requestReceivedTimestamp"])
        if each["verb"] in {"create", "update", "patch", "delete"}
        and each["user"]["username"] in {"tiers", "admin"}
        and desk.name in each["requestURI"]
        and "dryRun" not in each["requestURI"]
        and "/leases" not in each["requestURI"]
        and not each["requestURI"].partition("?")[0].endswith(f"/namespaces/{desk.name}")
        and each["stage"] == "ResponseComplete"
    ]
    assert len(writers) > 5
    turns = [user for user, _ in itertools.groupby(writers)]
    assert len(turns) <= 2, writers


def test_ctrl_c_while_waiting_for_the_lock_ends_at_once(desk):
    from toolkit.cluster.connect import connect_context

    assert main(["apply", *desk.options, "--yes"]) == 0
    desk.document["queues"]["research"]["deserved"] = {"gpus": 24}
    other = connect_context("main", "hospital", desk.kubeconfig)
    command = [sys.executable, "-m", "toolkit.cli", "apply", "--yes", "--wait-for-lock", "10m", *desk.options]
    with hold(other, desk.name, desk.name, Claim("ben@elsewhere", duration_seconds=60)) as lock:
        waiting = subprocess.Popen(command, cwd=Path(__file__).parents[3], stderr=subprocess.PIPE, text=True)
        assert waiting.stderr is not None
        shown = next(line for line in waiting.stderr if "change Queue" in line)
        pressing = threading.Timer(3, waiting.send_signal, [signal.SIGINT])
        pressing.start()
        said = waiting.communicate(timeout=60)[1]
        assert waiting.returncode == 130, shown + said
        assert "interrupted" in said
        assert lock.reason_to_stop() == ""
    assert main(["diff", *desk.options, "--exit-code"]) == 8


# ---------------------------------------------------------------- several clusters
@pytest.fixture
def two(desk, plane, free_port):
    """Give the hospital in two clusters: one that answers, and one that does not."""
    config = json.loads(plane.kubeconfig.read_text())
    dead = {"server": f"https://127.0.0.1:{free_port()}", "insecure-skip-tls-verify": True}
    config["clusters"].append({"name": "far", "cluster": dead})
    config["contexts"].append(
        {"name": "far", "context": {"cluster": "far", "user": config["users"][0]["name"]}}
    )
    desk.kubeconfig = desk.folder / "config"
    desk.kubeconfig.write_text(json.dumps(config))
    desk.document["clusters"] = {
        "main": {"context": "hospital", "tiers": ["edge", "hot", "warm"]},
        "far": {"context": "far", "tiers": ["cold"]},
    }
    return desk


@pytest.mark.slow
def test_one_that_does_not_answer_does_not_stop_the_other(two, capsys):
    assert main(["diff", *two.options]) == 5
    told = capsys.readouterr()
    assert f"create main: Namespace {two.name}" in told.out
    assert "1 of 2 clusters:\n  far: the cluster 'far' (context far) does not answer" in told.err
    assert main(["plan", *two.options, "-o", str(two.folder / "p")]) == 5
    assert not (two.folder / "p").exists(), "no plan without all clusters"
    assert main(["apply", *two.options, "--yes"]) == 5
    told = capsys.readouterr()
    assert "created" in told.out
    assert main(["apply", *two.options, "--yes", "--context", "hospital"]) == 0, "that part is done"
    assert main(["status", *two.options]) == 5
    assert "main: edge/ultrasound" in capsys.readouterr().out
