"""A cluster in good health: a real API server with everything that the hospital leans on, as its charts would leave it.

Only the API server runs, so nothing moves by itself: what is available, and which kubelet a node has, is written here.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar

import pytest

from tests.cluster.api import Refused
from tests.cluster.crds import find_crds
from tests.cluster.nodes import nodes_of
from tests.cluster.plane import Plane
from toolkit.cluster.connect import connect
from toolkit.cluster.doctor.examine import Diagnosis, examine
from toolkit.cluster.request import Answer, Pool
from toolkit.cluster.server_clock import ServerClock
from toolkit.render.kubeedge_config import cloud_config
from toolkit.render.objects import render
from toolkit.render.rendered import RenderedObject
from toolkit.render.scheduler import scheduler_config
from toolkit.topology.topology import Topology

KUBEEDGE = {"clusters": {"main": {"kubeedge": {"addresses": ["192.0.2.10"]}}}}
KUBELET, EDGE_KUBELET = "v1.34.2", "v1.32.10-kubeedge-v1.23.1"
PARTS = {
    "volcano-system/volcano-scheduler": ("volcanosh/vc-scheduler:v1.15.1", "volcano-scheduler-configmap"),
    "volcano-system/volcano-controllers": ("volcanosh/vc-controller-manager:v1.15.1", ""),
    "volcano-system/volcano-admission": ("volcanosh/vc-webhook-manager:v1.15.1", ""),
    "kubeedge/cloudcore": ("kubeedge/cloudcore:v1.23.1", "cloudcore"),
    "kubeedge/controller-manager": ("kubeedge/controller-manager:v1.23.1", ""),
    "keda/keda-operator": ("ghcr.io/kedacore/keda:2.20.0", ""),
    "monitoring/prometheus-operator": ("quay.io/prometheus-operator/prometheus-operator:v0.93.0", ""),
}
"""Namespace and name of a Deployment → its image and the ConfigMap that it mounts."""


def deployment(name: str, image: str, config_map: str) -> dict:
    labels = {"app": name}
    volumes = [{"name": "config", "configMap": {"name": config_map}}] if config_map else []
    args = ["--scheduler-conf=/volcano.scheduler/volcano-scheduler.conf"] if "vc-scheduler" in image else []
    pod = {"containers": [{"name": "main", "image": image, "args": args}], "volumes": volumes}
    return {
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


@dataclass
class VersionAnswer:
    """An API server's answer to /version."""

    body: bytes
    status = 200
    headers: ClassVar[dict[str, str]] = {}

    def read(self, _: int | None = None) -> bytes:
        return self.body

    def release_conn(self) -> None:
        pass


@dataclass
class OtherVersion:
    """The way to the real server, which says to be of another version."""

    pool: Pool
    version: str

    def request(self, method: str, url: str, **options: object) -> Answer:
        if url.endswith("/version"):
            return VersionAnswer(json.dumps({"gitVersion": self.version}).encode())
        return self.pool.request(method, url, **options)


class Ward:
    """The API server, and what tests do to it: each change is taken back at its end."""

    def __init__(self, plane: Plane, topology: Callable[..., Topology]) -> None:
        self.plane, self.api, self.topology = plane, plane.api, topology
        self.hospital = topology(KUBEEDGE)

    def fill(self) -> None:
        """Create what a healthy cluster has."""
        for node in nodes_of(self.hospital):
            on_edge = "node-role.kubernetes.io/edge" in node["metadata"]["labels"]
            node["status"]["nodeInfo"] = {
                **dict.fromkeys(
                    (
                        "machineID",
                        "systemUUID",
                        "bootID",
                        "kernelVersion",
                        "osImage",
                        "containerRuntimeVersion",
                    ),
                    "x",
                ),
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": node["metadata"]["labels"]["kubernetes.io/arch"],
                "kubeletVersion": EDGE_KUBELET if on_edge else KUBELET,
            }
            self.api.create("/api/v1/nodes", node)
        for place, (image, config_map) in PARTS.items():
            namespace, name = place.split("/")
            if self.api.gone(f"/api/v1/namespaces/{namespace}"):
                self.api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
            self.api.create(
                f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment(name, image, config_map)
            )
            self.available(place, 1)
        self.config_map(
            "volcano-system/volcano-scheduler-configmap",
            "volcano-scheduler.conf",
            scheduler_config(self.hospital),
        )
        self.config_map("kubeedge/cloudcore", "cloudcore.yaml", cloud_config(self.hospital, "main"))

    def config_map(self, place: str, key: str, content: str) -> None:
        namespace, name = place.split("/")
        body = {"metadata": {"name": name}, "data": {key: content}}
        self.api.create(f"/api/v1/namespaces/{namespace}/configmaps", body)

    def available(self, place: str, number: int) -> None:
        """Write how many pods of a Deployment are available."""
        numbers = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas", "availableReplicas"), number)
        self.api.merge(f"{self.deployment(place)}/status", {"status": numbers})

    def deployment(self, place: str) -> str:
        namespace, name = place.split("/")
        return f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"

    @contextmanager
    def changed(self, path: str, patch: dict, below: str = "") -> Iterator[None]:
        """Change an object (or its status) for a while."""
        before = self.api.get(path)
        self.api.merge(path + below, patch)
        try:
            yield
        finally:
            while not self._put_back(path, below, before):
                pass

    def _put_back(self, path: str, below: str, before: dict) -> bool:
        """Write an object as it was; False when the server itself has just written it, as it does with a CRD."""
        before["metadata"]["resourceVersion"] = self.api.get(path)["metadata"]["resourceVersion"]
        try:
            self.api.request("PUT", path + below, before)
        except Refused as error:
            if error.code != HTTPStatus.CONFLICT:
                raise
            return False
        return True

    @contextmanager
    def without(self, path: str) -> Iterator[None]:
        """Take an object away for a while."""
        before = self.api.get(path)
        self.api.delete(path)
        try:
            yield
        finally:
            for field in ("resourceVersion", "uid", "creationTimestamp", "managedFields", "generation"):
                before["metadata"].pop(field, None)
            self.api.create(path.rpartition("/")[0], before)
            if "status" in before and "deployments" in path:
                self.api.merge(f"{path}/status", {"status": before["status"]})

    def text_of(self, place: str, key: str) -> str:
        namespace, name = place.split("/")
        return self.api.get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")["data"][key]

    def examine(
        self,
        changes: dict | None = None,
        user: str = "tiers",
        clock: ServerClock | None = None,
        more: tuple[RenderedObject, ...] = (),
        version: str = "",
    ) -> Diagnosis:
        """Let doctor look, for the hospital with changes and more objects, as a user."""
        topology = self.topology({**KUBEEDGE, **(changes or {})})
        connection = connect(topology, "main", self.plane.write_kubeconfig(user))
        connection = replace(connection, clock=clock) if clock else connection
        connection = (
            replace(connection, pool=OtherVersion(connection.pool, version)) if version else connection
        )
        return examine(connection, topology, (*render(topology), *more))

    def codes(self, changes: dict | None = None, **options: object) -> list[str]:
        return [each.code for each in self.examine(changes, **options).problems]


@pytest.fixture(scope="module")
def ward(require, tmp_path_factory, topology) -> Iterator[Ward]:
    """Give a healthy cluster; tests change it and put it back."""
    require("cluster")
    plane = Plane(Path(tmp_path_factory.mktemp("ward")), find_crds())
    plane.start(alone=True)
    try:
        found = Ward(plane, copy.copy(topology))
        found.fill()
        yield found
    finally:
        plane.stop()


@pytest.fixture
def files(tmp_path, hospital_text) -> list[str]:
    """Write the hospital with the KubeEdge of the ward; give the options that name it."""
    (tmp_path / "tiers.yaml").write_text(hospital_text)
    (tmp_path / "site.yaml").write_text(json.dumps(KUBEEDGE))
    return ["--file", str(tmp_path / "tiers.yaml"), "--file", str(tmp_path / "site.yaml")]
