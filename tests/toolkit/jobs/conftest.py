"""Gangs of plain Python workers, run by real processes; and jobs of a cluster, as documents for what is pure."""

from __future__ import annotations

import copy
import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.nodes import nodes_of
from toolkit.jobs.plan import LocalJob, plan_local
from toolkit.jobs.seen import Seen
from toolkit.render.metadata import owner_labels
from toolkit.render.objects import render
from toolkit.topology.topology import Topology

PRELUDE = """
import os, signal, subprocess, sys, threading, time
from pathlib import Path
rank = int(os.environ["RANK"])
output = Path(os.environ["TIERS_OUTPUT"])
def note(name, text):
    part = output / f".{name}.part"
    part.write_text(str(text))
    part.rename(output / name)
def wait_for(*names):
    for _ in range(3000):
        if all((output / name).exists() for name in names):
            return
        threading.Event().wait(0.01)
    sys.exit(99)
def child():
    return subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]).pid
"""


@pytest.fixture
def plan(topology, tmp_path) -> Callable[..., LocalJob]:
    """Give `plan(code, **keys of the job)`: a job `work` of two workers that run this code."""

    def make(
        code: str, *, workers: int = 2, environ: dict[str, str] | None = None, **changes: object
    ) -> LocalJob:
        run = [sys.executable, "-c", PRELUDE + textwrap.dedent(code)]
        job = {"pool": "a100", "gang": {"workers": 4}, "run": run, "retry": {"attempts": 0}, "grace": "5s"}
        site = topology({"jobs": {"work": job | changes}})
        environment = dict(os.environ) if environ is None else environ
        return plan_local(site, "work", root=tmp_path / "jobs", environ=environment, workers=workers)

    return make


@pytest.fixture
def alive() -> Callable[[int], bool]:
    """Give a function that says whether a process runs; one that is dead but not yet reaped does not."""

    def ask(pid: int) -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        return state not in {"Z", "X"}

    return ask


# ---------------------------------------------------------------- a job in a cluster, as documents
class Cluster:
    """The hospital as a cluster would show it, with a job of it in a phase; each method changes one thing."""

    def __init__(self, topology: Topology, job: str) -> None:
        self.topology, self.name = topology, job
        rendered = {(each.kind, each.name): each.body for each in render(topology)}
        self.job = copy.deepcopy(dict(rendered["Job", job]))
        self.job["metadata"] |= {"uid": "u-1"}
        self.queues = [copy.deepcopy(dict(body)) for (kind, _), body in rendered.items() if kind == "Queue"]
        for queue in self.queues:
            queue["status"] = {"state": "Open"}
        self.nodes = list(nodes_of(topology))
        self.others: list[dict] = []
        self.pods: list[dict] = []
        self.rest: dict[str, object] = {}
        self.phase("Pending")

    def phase(self, name: str, **status: object) -> Cluster:
        state = {"phase": name, "lastTransitionTime": "2026-11-21T10:00:00Z"}
        self.job["status"] = {"state": state, **status} if name else {}
        return self

    def pod(self, node: str, labels: dict[str, str], **asks: str) -> dict:
        number = len(self.others) + len(self.pods)
        container = {
            "name": "c",
            "resources": {"requests": {"nvidia.com/gpu": asks.pop("gpus", "0"), **asks}},
        }
        return {
            "metadata": {"name": f"pod-{number}", "namespace": self.topology.name, "labels": labels},
            "spec": {"nodeName": node, "containers": [container]},
            "status": {"phase": "Running" if node else "Pending"},
        }

    def taken(self, node: str, noun: str, name: str, gpus: int, **labels: str) -> Cluster:
        """Let something of this topology hold GPUs of a machine."""
        owner = owner_labels(self.topology.name, noun, name) | {
            key.replace("_", "/"): value for key, value in labels.items()
        }
        self.others.append(self.pod(node, owner, gpus=str(gpus)))
        return self

    def worker(self, rank: int, phase: str, node: str = "a100-001", **container: object) -> Cluster:
        """Give the job the pod of a worker."""
        pod = self.pod(node, owner_labels(self.topology.name, "job", self.name), gpus="8")
        pod["metadata"]["labels"] |= {
            "volcano.sh/task-index": str(rank), "volcano.sh/job-name": self.name,
            "volcano.sh/queue-name": self.job["spec"]["queue"],
        }  # fmt: skip
        pod["status"] = {"phase": phase, "containerStatuses": [{"name": "worker", **container}]}
        self.pods.append(pod)
        return self

    def seen(self, **rest: object) -> Seen:
        return Seen(
            name=self.name,
            namespace=self.topology.name,
            pool=self.topology.jobs[self.name].pool,
            job=self.job,
            pods=tuple(self.pods),
            queues=tuple(self.queues),
            nodes=tuple(self.nodes),
            others=tuple(self.others),
            **self.rest | rest,
        )


@pytest.fixture
def cluster(topology) -> Callable[..., Cluster]:
    """Give `cluster(job, changes of tiers.yaml)`."""

    def make(job: str = "seg3d", changes: dict | None = None) -> Cluster:
        return Cluster(topology(changes), job)

    return make
