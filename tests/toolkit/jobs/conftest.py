"""Gangs of plain Python workers, run by real processes; and jobs of a cluster, as documents for what is pure."""

from __future__ import annotations

import copy
import itertools
import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.cluster.api import APPLY, Refused
from tests.cluster.nodes import nodes_of
from tests.cluster.plane import Plane
from tests.toolkit.cluster.gangs import NOT_HEARD_YET
from toolkit.cluster.connect import connect
from toolkit.cluster.kinds import Kinds
from toolkit.jobs.plan import LocalJob, plan_local
from toolkit.jobs.seen import Seen
from toolkit.jobs.where import Where, locate
from toolkit.render.metadata import owner_labels
from toolkit.render.objects import render
from toolkit.topology.load import load_texts
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
    for _ in range(12000):
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


# ---------------------------------------------------------------- a job in a real cluster
def merged(base: object, changes: object) -> object:
    """Lay changes over a document: mappings by key, None takes a key away, all else replaces."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    kept = {key: value for key, value in base.items() if changes.get(key, value) is not None}
    laid = {key: merged(base.get(key), value) for key, value in changes.items() if value is not None}
    return kept | laid


NO_SERVICES = {"services": None, "models": {"us-segmentation": {"offload": None}}}
SMALL = {"retry": {"attempts": 100}, "data": None, "checkpoints": None, "grace": "1s"}
_numbers = itertools.count(1)


class Ward:
    """One topology of one test on the control plane; its queues, classes and namespace are there, its jobs are not."""

    def __init__(self, plane: Plane, topology: Topology, folder: Path) -> None:
        self.plane, self.topology, self.api, self.name = plane, topology, plane.api, topology.name
        self.file = folder / f"{topology.name}.yaml"
        self.connection = connect(topology, "main", plane.kubeconfig)

    @property
    def surroundings(self) -> list[tuple[str, dict]]:
        kinds = Kinds(self.connection)
        wanted = {"Namespace", "PriorityClass", "Queue", "ServiceAccount", "Deployment"}
        return [
            (kinds.resource(each.api_version, each.kind).path(each.namespace, each.name), dict(each.body))
            for each in render(self.topology)
            if each.kind in wanted
        ]

    def prepare(self) -> Ward:
        for path, body in self.surroundings:
            self.api.apply(path, body, manager="tiers")
        return self

    def takes_jobs(self) -> bool:
        """Tell whether Volcano's webhook knows of the queues that they are open: a moment after the server does."""
        for each in render(self.topology):
            if each.kind != "Job" or each.api_version != "batch.volcano.sh/v1alpha1":
                continue
            try:
                path = f"{self.path(each.name)}?dryRun=All&fieldManager=tiers&force=true"
                self.api.request("PATCH", path, dict(each.body), APPLY)
            except Refused as error:
                if any(said in error.body for said in NOT_HEARD_YET):
                    return False
        return True

    def where(self, job: str) -> Where:
        return locate(self.topology, job, {"main": self.connection})

    def command(self, *words: str, user: str = "tiers") -> list[str]:
        """Give the words of a job command on this ward."""
        kubeconfig = self.plane.kubeconfig if user == "tiers" else self.plane.write_kubeconfig(user)
        return ["job", *words, "--file", str(self.file), "--kubeconfig", str(kubeconfig)]

    def path(self, job: str) -> str:
        return f"/apis/batch.volcano.sh/v1alpha1/namespaces/{self.name}/jobs/{job}"

    def live(self, job: str) -> dict:
        return self.api.get(self.path(job))

    def phase(self, job: str) -> str:
        return self.live(job).get("status", {}).get("state", {}).get("phase", "")

    def pods(self, job: str) -> list[dict]:
        return self.api.items(f"/api/v1/namespaces/{self.name}/pods?labelSelector=volcano.sh/job-name={job}")

    def end(self, job: str, code: int, rank: int | None = None) -> None:
        """Let KWOK end the workers of a job, or one of them, with an exit code."""
        for pod in self.pods(job):
            if rank is None or pod["metadata"]["labels"]["volcano.sh/task-index"] == str(rank):
                path = f"/api/v1/namespaces/{self.name}/pods/{pod['metadata']['name']}"
                self.api.merge(path, {"metadata": {"annotations": {"tiers.test/exit-code": str(code)}}})

    def writes(self) -> list[tuple[str, str]]:
        """Give what `tiers` has asked this namespace to change, dry runs left out."""
        mine = f"/namespaces/{self.name}/"
        return [each for each in self.plane.writes() if mine in each[1] and "dryRun" not in each[1]]

    def allow(self, user: str, *rules: tuple[str, str, list[str]]) -> None:
        """Let a user do some things in this namespace and nothing elsewhere: (group, resource, verbs)."""
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.name}"
        listed = [{"apiGroups": [group], "resources": [what], "verbs": verbs} for group, what, verbs in rules]
        self.api.create(f"{rbac}/roles", {"metadata": {"name": user}, "rules": listed})
        group = "rbac.authorization.k8s.io"
        binding = {
            "metadata": {"name": user},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": user},
            "subjects": [{"kind": "User", "name": user, "apiGroup": group}],
        }
        self.api.create(f"{rbac}/rolebindings", binding)

    def looks(self, job: str) -> int:
        """Count how often `tiers` has read a job, by the server's audit log."""
        lines = self.plane.audit_log.read_text().splitlines()
        entries = [json.loads(line) for line in lines if self.path(job) in line and line.endswith("}")]
        return sum(1 for each in entries if each["verb"] == "get" and each["user"]["username"] == "tiers")


@pytest.fixture
def ward(
    plane: Plane, hospital_text: str, wait_until: Callable[..., None], tmp_path: Path
) -> Iterator[Callable[..., Ward]]:
    """Give `ward(changes)`: the hospital, without services unless asked, under a name of its own, in file and cluster.

    The same name with other changes is the same site whose tiers.yaml somebody edited.
    """
    made: dict[str, Ward] = {}

    def make(
        changes: dict | None = None,
        *,
        name: str = "",
        prepare: bool = True,
        heard: bool = True,
        services: bool = False,
    ) -> Ward:
        own = name or f"ward-{os.getpid()}-{next(_numbers)}"
        document = yaml.safe_load(hospital_text)
        for change in (
            {} if services else NO_SERVICES,
            {"jobs": {"seg3d": SMALL, "digits": SMALL}},
            changes or {},
        ):
            document = merged(document, change)
        document["name"] = own
        text = json.dumps(document, indent=1)
        found = Ward(plane, load_texts({"tiers.yaml": text}).topology, tmp_path)
        found.file.write_text(text)
        if prepare:
            found.prepare()
        if prepare and heard:
            wait_until(found.takes_jobs, f"the queues of {own} are open, and the webhook knows it")
        made[own] = found
        return found

    yield make
    for each in made.values():
        jobs = f"/apis/batch.volcano.sh/v1alpha1/namespaces/{each.name}/jobs"
        for path in (jobs, f"/apis/apps/v1/namespaces/{each.name}/deployments"):
            with suppress(Refused):
                each.api.request("DELETE", path)
    for each in made.values():  # the next test wants the machines
        pods = f"/api/v1/namespaces/{each.name}/pods"
        wait_until(lambda pods=pods: not plane.api.items(pods), f"{each.name} is empty")
        for path, body in each.surroundings:
            if body["kind"] in {"Namespace", "Queue"}:  # a queue that stays would keep its guarantee
                with suppress(Refused):
                    each.api.delete(path)
