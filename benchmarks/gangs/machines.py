"""A cluster of its own for a case of `benchmarks/gang.py`: a control plane, the machines of one pool, its jobs.

The ground below `submitting` and `mixed`. The jobs are those of a tiers.yaml that is made here and loaded as any other.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.nodes import node
from tests.cluster.plane import Plane
from toolkit.topology.load import load_texts
from toolkit.topology.topology import Topology

REPOSITORY = Path(__file__).resolve().parents[2]
POOL = "a100"
GPUS_A_MACHINE = 8
JOBS_PATH = "/apis/batch.volcano.sh/v1alpha1"


def document(name: str, machines: int, jobs: Mapping[str, Any], queues: Mapping[str, Any]) -> str:
    """Write a tiers.yaml: the hospital's, with one hot pool of this many machines, these queues and these jobs."""
    text: dict[str, Any] = yaml.safe_load((REPOSITORY / "tiers.yaml").read_text(encoding="utf-8"))
    text["name"] = name
    pool = {"hardware": "a100-sxm-80gb", "gpus": GPUS_A_MACHINE, "nodes": {"count": machines}}
    text["tiers"]["hot"]["pools"] = {POOL: pool}
    text["queues"], text["jobs"] = dict(queues), dict(jobs)
    for model in text["models"].values():
        model.pop("offload", None)
    for unneeded in ("services", "routes"):
        text.pop(unneeded, None)
    return json.dumps(text, indent=1)


def topology_of(text: str) -> Topology:
    """Load a tiers.yaml. Raises TopologyError as the command does."""
    return load_texts({"tiers.yaml": text}).topology


def crds() -> Path:
    """Find the CRDs by the rule of the tests. Raises SystemExit when nobody has brought them."""
    named = os.environ.get("TIERS_CRDS")
    places = (
        [Path(named)] if named else [REPOSITORY.parent / "shared" / "crds", REPOSITORY / ".cache" / "crds"]
    )
    for each in places:
        if (each / "volcano/batch.volcano.sh_jobs.yaml").is_file():
            return each
    raise SystemExit("the CRDs are missing; to bring them: make crds")


@dataclass
class Machines:
    """A running control plane with the machines of one pool."""

    plane: Plane
    number: int

    @property
    def gpus(self) -> int:
        """GPUs of all machines."""
        return self.number * GPUS_A_MACHINE

    def namespace(self, name: str) -> None:
        """Make a namespace, and wait until pods can be made in it."""
        self.plane.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        self.wait_for_account(name)

    def wait_for_account(self, name: str) -> None:
        """Wait until pods can be made in a namespace."""
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        self.plane.processes[1].wait_ready(lambda: not self.plane.api.gone(account))

    def clear(self, namespace: str) -> None:
        """Take jobs and pods of a namespace away and wait until they are gone."""
        api = self.plane.api
        jobs, pods = f"{JOBS_PATH}/namespaces/{namespace}/jobs", f"/api/v1/namespaces/{namespace}/pods"
        api.delete(jobs)
        api.delete(f"{pods}?gracePeriodSeconds=0")
        for path in (jobs, pods):
            self.plane.processes[1].wait_ready(lambda path=path: not api.items(f"{path}?limit=1"), 300)

    def bindings(self, namespace: str) -> dict[str, float]:
        """Give pod -> when its binding was answered (seconds of the wall clock), from the server's audit log."""
        path = re.compile(rf"/api/v1/namespaces/{namespace}/pods/([^/]+)/binding(\?.*)?")
        found: dict[str, float] = {}
        with self.plane.audit_log.open(encoding="utf-8") as lines:
            for line in lines:
                if "/binding" not in line or not line.endswith("}\n"):
                    continue
                entry = json.loads(line)
                matched = path.fullmatch(entry["requestURI"])
                if (
                    matched
                    and entry["stage"] == "ResponseComplete"
                    and entry["responseStatus"]["code"] == 201
                ):
                    found[matched[1]] = datetime.fromisoformat(
                        entry["stageTimestamp"].replace("Z", "+00:00")
                    ).timestamp()
        return found


@contextlib.contextmanager
def machines(number: int) -> Iterator[Machines]:
    """Run a control plane with this many machines of eight GPUs; everything ends with the block.

    Volcano's scheduler runs as `tiers render --scheduler-config` gives it for the hospital.
    """
    topology = topology_of(document("bench", number, {}, {}))
    [placed] = [each for each in topology.pools() if each.name == POOL]
    with tempfile.TemporaryDirectory(prefix="tiers-bench-") as folder:
        plane = Plane(Path(folder), crds())
        plane.start()
        try:
            names = (f"{POOL}-{each:03}" for each in range(1, number + 1))
            plane.create_all("/api/v1/nodes", (node(name, placed) for name in names))
            yield Machines(plane, number)
        finally:
            plane.stop()
