"""Waiting on a real cluster: devices that are off, failures that recover, failures that do not."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import urllib3

from tests.cluster.api import Refused
from tests.cluster.plane import Plane
from toolkit.cluster.machines import silent_since
from toolkit.cluster.readiness import State
from toolkit.cluster.request import Connection
from toolkit.cluster.wait import Waited, wait
from toolkit.render.rendered import RenderedObject

OFF = "tiers.test/off"
SINCE = "2026-11-22T01:02:03Z"
ON_FAKE_NODES = {"key": "tiers.test/pool", "effect": "NoSchedule"}


class Telling(urllib3.PoolManager):
    """Tells when something is watched."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.watches = threading.Event()

    def request(
        self, method: str, url: str, *arguments: object, **options: object
    ) -> urllib3.BaseHTTPResponse:
        if "watch=true" in url:
            self.watches.set()
        return super().request(method, url, *arguments, **options)


@dataclass
class Yard:
    """A namespace, some nodes and what is written there by hand; nobody else's nodes are touched."""

    plane: Plane
    wait_until: Callable[..., None]
    name: str = field(default_factory=lambda: f"yard-{secrets.token_hex(4)}")
    objects: list[RenderedObject] = field(default_factory=list)

    @property
    def connection(self) -> Connection:
        pool = Telling(ca_certs=str(self.plane.authority.ca), maxsize=8)
        token = f"Bearer {self.plane.tokens['tiers']}"
        return Connection("main", "hospital", self.plane.url, pool, lambda: {"Authorization": token})

    def node(self, number: int, cpu: str = "4") -> str:
        name = f"{self.name}-{number}"
        size = {"cpu": cpu, "memory": "4Gi", "pods": "110"}
        self.plane.api.create(
            "/api/v1/nodes",
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "labels": {"tiers.test/pool": self.name}},
                "spec": {"taints": [ON_FAKE_NODES]},
                "status": {"capacity": size, "allocatable": size},
            },
        )
        found = lambda: self.plane.api.get(f"/api/v1/nodes/{name}")  # noqa: E731
        self.wait_until(lambda: silent_since(found()) is None, "KWOK keeps the node")
        return name

    def switch_off(self, name: str) -> None:
        """Keep KWOK from a node; write what the node controller writes when a node is silent, 40 s later."""
        node = f"/api/v1/nodes/{name}"
        self.plane.api.merge(node, {"metadata": {"labels": {OFF: "yes"}}})
        self.wait_until(lambda: self._is_left_alone(node), "only we write the node's status")
        self._not_ready(node, "Unknown")
        taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}
        taints = [
            each for each in self.plane.api.get(node)["spec"].get("taints", []) if each["key"] != taint["key"]
        ]
        self.plane.api.merge(node, {"spec": {"taints": [*taints, taint]}})
        pods = f"/api/v1/namespaces/{self.name}/pods"
        for pod in self.plane.api.items(f"{pods}?fieldSelector=spec.nodeName={name}"):
            self._not_ready(f"{pods}/{pod['metadata']['name']}", "False")

    def show(self) -> None:
        """Print what Kubernetes thinks of the machines, for who reads of a failure."""
        print(self.status())
        for node in self.plane.api.items(f"/api/v1/nodes?labelSelector=tiers.test/pool={self.name}"):
            print(node["metadata"]["name"], node["spec"], node["status"]["conditions"])
        for pod in self.plane.api.items(f"/api/v1/namespaces/{self.name}/pods"):
            print(pod["spec"].get("nodeName"), pod["status"])

    def _is_left_alone(self, node: str) -> bool:
        try:
            self.plane.user("system").merge(f"{node}/status", {"metadata": {"annotations": {"tried": "yes"}}})
        except Refused as error:
            return OFF in error.body
        return False

    def _not_ready(self, path: str, status: str) -> None:
        conditions = self.plane.api.get(path)["status"]["conditions"]
        for each in conditions:
            if each["type"] == "Ready":
                each |= {"status": status, "lastTransitionTime": SINCE}
        self.plane.api.merge(f"{path}/status", {"status": {"conditions": conditions}})

    def write(self, path: str, api_version: str, kind: str, spec: dict[str, Any]) -> None:
        labels = {"tiers.dev/topology": self.name, "app": "a"}
        metadata = {"name": "a", "namespace": self.name, "labels": labels}
        body = {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}
        self.plane.api.create(f"{path}/namespaces/{self.name}/{kind.lower()}s", body)
        self.objects = [RenderedObject("main", "yard", body)]

    def pods(self, annotations: dict[str, str] | None = None, **spec: object) -> dict[str, Any]:
        return {
            "metadata": {
                "labels": {"app": "a", "tiers.dev/topology": self.name},
                "annotations": annotations or {},
            },
            "spec": {
                "nodeSelector": {"tiers.test/pool": self.name},
                "tolerations": [{"key": "tiers.test/pool", "operator": "Exists"}],
                "containers": [
                    {"name": "a", "image": "a", "resources": {"requests": {"cpu": "1", "memory": "1Mi"}}}
                ],
                **spec,
            },
        }

    def daemons(self, toleration: dict[str, str]) -> None:
        selector = {"matchLabels": {"app": "a"}}
        spec = {
            "selector": selector,
            "updateStrategy": {"type": "OnDelete"},
            "template": self.pods(tolerations=[toleration]),
        }
        self.write("/apis/apps/v1", "apps/v1", "DaemonSet", spec)

    def status(self) -> dict[str, Any]:
        return self.plane.api.get(f"/apis/apps/v1/namespaces/{self.name}/daemonsets/a")["status"]

    def wait(
        self, seconds: float, *, meanwhile: Callable[[], object] | None = None, **more: object
    ) -> Waited:
        """Wait; do something as soon as not all was there and something is watched."""
        connection = self.connection

        def follow() -> None:
            if meanwhile is not None:
                assert connection.pool.watches.wait(100)
                meanwhile()

        with ThreadPoolExecutor(1) as thread:
            following = thread.submit(follow)
            waited = wait(connection, self.name, self.objects, seconds=seconds, **more)
            following.result()
        return waited


@pytest.fixture(scope="module", autouse=True)
def _switch(plane: Plane) -> Iterator[None]:
    """Let the server refuse what KWOK writes about nodes that are switched off: it would put them right at once."""
    registration, name = "/apis/admissionregistration.k8s.io/v1", {"name": "switched-off.tiers.test"}
    status = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "resources": ["nodes/status"],
        "operations": ["UPDATE"],
    }
    rules = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [status]},
        "validations": [
            {
                "expression": f"!('{OFF}' in object.metadata.labels) || request.userInfo.username != 'system'",
                "message": f"it has the label {OFF}",
            }
        ],
    }
    policies = (
        f"{registration}/validatingadmissionpolicies",
        f"{registration}/validatingadmissionpolicybindings",
    )
    binding = {"policyName": name["name"], "validationActions": ["Deny"]}
    for path, spec in zip(policies, (rules, binding), strict=True):
        plane.api.create(path, {"metadata": name, "spec": spec})
    yield
    for path in policies:
        plane.api.delete(f"{path}/{name['name']}")


@pytest.fixture
def yard(plane: Plane, wait_until: Callable[..., None]) -> Iterator[Yard]:
    made = Yard(plane, wait_until)
    plane.api.create("/api/v1/namespaces", {"metadata": {"name": made.name}})
    yield made
    written = (("apps", "daemonsets"), ("apps", "deployments"), ("batch", "jobs"))
    places = [f"/apis/{group}/v1/namespaces/{made.name}/{plural}" for group, plural in written]
    pods = f"/api/v1/namespaces/{made.name}/pods"
    for place in (*places, pods):
        plane.api.request("DELETE", f"{place}?propagationPolicy=Background")
    wait_until(lambda: not plane.api.items(pods), "the pods are gone, which needs their nodes")
    plane.api.delete(f"/api/v1/namespaces/{made.name}")
    plane.api.request("DELETE", f"/api/v1/nodes?labelSelector=tiers.test/pool={made.name}")


@pytest.mark.timeout(500)
@pytest.mark.parametrize("stays", [True, False], ids=["wanted on it still", "not wanted on it any more"])
def test_a_device_that_is_off_is_named_and_not_waited_for(yard, stays):
    names = [yard.node(number) for number in range(4)]
    yard.daemons({"operator": "Exists"} if stays else ON_FAKE_NODES)
    everything = yard.wait(100)
    assert (everything.not_ready, everything.offline) == ((), {})

    yard.switch_off(names[1])
    seen = {"numberReady": 3, "desiredNumberScheduled": 4 if stays else 3}
    try:
        yard.wait_until(lambda: seen.items() <= yard.status().items(), "Kubernetes has noticed", 240)
    except pytest.fail.Exception:
        yard.show()
        raise
    some = yard.wait(100)
    assert some.not_ready == ()
    assert some.offline == {names[1]: SINCE}


def test_a_device_that_is_on_and_does_not_run_is_waited_for(yard):
    names = [yard.node(number, cpu="4" if number else "0") for number in range(3)]
    yard.daemons({"operator": "Exists"})
    yard.wait_until(lambda: yard.status().get("numberReady") == 2, "two run")
    yard.switch_off(names[2])
    yard.wait_until(lambda: yard.status()["numberReady"] == 1, "Kubernetes has noticed")
    events = f"/api/v1/namespaces/{yard.name}/events"
    said = lambda: any("Insufficient cpu" in each["message"] for each in yard.plane.api.items(events))  # noqa: E731
    yard.wait_until(said, "the scheduler has said why one does not run")
    waited = yard.wait(4)
    (missing,) = waited.not_ready
    assert missing.reason.startswith("1 of 3 pods are ready; 1 machines are offline")
    assert any("Insufficient cpu" in each for each in missing.warnings), missing.warnings
    assert yard.wait(8, ready_percent=50).not_ready == ()


@pytest.mark.slow
def test_a_device_that_goes_off_during_the_wait_ends_it(yard):
    """The pod that is missing is on the machine that goes; nothing is written about the pod when it does."""
    names = [yard.node(number, cpu="4" if number else "0") for number in range(3)]
    yard.daemons({"operator": "Exists"})
    waited = yard.wait(100, meanwhile=lambda: yard.switch_off(names[0]))
    assert waited.not_ready == ()
    assert list(waited.offline) == [names[0]]


def test_past_its_deadline_is_not_given_up_because_it_may_recover(yard):
    spec = {"replicas": 1, "progressDeadlineSeconds": 1, "selector": {"matchLabels": {"app": "a"}}}
    yard.write("/apis/apps/v1", "apps/v1", "Deployment", spec | {"template": yard.pods()})
    state = lambda: yard.wait(0).objects[0].state  # noqa: E731
    yard.wait_until(lambda: state() is State.FAILED, "it is past its deadline")
    waited = yard.wait(100, meanwhile=lambda: yard.node(0))  # it was failing when the wait began
    assert waited.not_ready == ()


def test_a_job_that_failed_ends_the_wait(yard):
    yard.node(0)
    template = yard.pods({"tiers.test/exit-code": "1"}, restartPolicy="Never")
    yard.write("/apis/batch/v1", "batch/v1", "Job", {"backoffLimit": 0, "template": template})
    waited = yard.wait(250)
    (failed,) = waited.not_ready
    assert failed.state is State.FAILED
    assert "BackoffLimitExceeded" in failed.reason
    assert waited.seconds < 200


def test_a_job_that_succeeds_is_ready(yard):
    yard.node(0)
    template = yard.pods({"tiers.test/exit-code": "0"}, restartPolicy="Never")
    yard.write("/apis/batch/v1", "batch/v1", "Job", {"completions": 2, "template": template})
    assert yard.wait(100).not_ready == ()


def test_a_switched_off_node_is_silent_for_us_as_for_kubernetes(yard):
    name = yard.node(0)
    yard.switch_off(name)
    assert silent_since(yard.plane.api.get(f"/api/v1/nodes/{name}")) == SINCE
