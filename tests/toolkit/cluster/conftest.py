"""A topology of its own for each test on the control plane, and the way there as the user `tiers`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.cluster.api import Api
from tests.cluster.plane import Plane
from toolkit.cluster.apply import Applied, apply
from toolkit.cluster.connect import connect
from toolkit.cluster.diff import Diff, diff
from toolkit.cluster.request import Connection
from toolkit.cluster.rules import Rules
from toolkit.render.objects import render
from toolkit.render.rendered import RenderedObject
from toolkit.topology.topology import Topology

_numbers = itertools.count(1)


@dataclass
class Site:
    """One topology of one test, in the plane."""

    plane: Plane
    topology: Topology
    connection: Connection

    @property
    def name(self) -> str:
        return self.topology.name

    @property
    def api(self) -> Api:
        return self.plane.api

    @property
    def objects(self) -> tuple[RenderedObject, ...]:
        return render(self.topology)

    def changed(self, topology: Topology) -> Site:
        return Site(self.plane, topology, self.connection)

    def apply(self, **rules: object) -> Applied:
        return apply(self.connection, self.name, self.objects, rules=Rules(**rules))

    def diff(self, **rules: object) -> Diff:
        return diff(self.connection, self.name, self.objects, Rules(**rules))

    def gang(self, name: str) -> str:
        return f"/apis/batch.volcano.sh/v1alpha1/namespaces/{self.name}/jobs/{name}"

    def pods(self, job: str) -> list[dict]:
        path = f"/api/v1/namespaces/{self.name}/pods?labelSelector=volcano.sh/job-name={job}"
        return self.api.items(path)

    def writes(self) -> int:
        """Count the writes of `tiers` to the server, dry runs left out."""
        return sum(1 for _, path in self.plane.writes() if "dryRun" not in path)

    def requests(self) -> int:
        """Count the writes and dry runs of `tiers`."""
        return len(self.plane.writes())


TWO_POOLS = {
    "tiers": {
        "edge": {
            "pools": {
                "ultrasound": None,
                "endoscopy": None,
                "labs": {"hardware": "jetson-orin-nano", "nodes": {"names": ["lab-01"]}},
                "wards": {"hardware": "jetson-orin-nx", "nodes": {"names": ["ward-01"]}},
            }
        }
    },
    "models": None,
    "services": None,
    "jobs": None,
    "monitoring": None,
    "priorities": {"batch": {"value": 1000, "preempts": True}},  # fixed for ever, with queues and without
}
"""A site of 11 objects whose machines are not there: no pods, so nothing to wait for."""
ONE_POOL = {**TWO_POOLS, "tiers": {"edge": {"pools": {**TWO_POOLS["tiers"]["edge"]["pools"], "labs": None}}}}
"""The same without the pool `labs`."""


@pytest.fixture
def two_pools(site: Callable[..., Site]) -> Callable[..., Site]:
    """Give `two_pools(changes)`: a site with the pools `labs` and `wards`."""
    return lambda changes=None: site({**TWO_POOLS, **(changes or {})})


@pytest.fixture
def one_pool(topology: Callable[..., Topology]) -> Callable[[Site], Site]:
    """Give `one_pool(site)`: the site without its pool `labs`, three objects less."""
    return lambda made: made.changed(topology({"name": made.name, **ONE_POOL}))


@pytest.fixture
def without_queue(topology: Callable[..., Topology]) -> Callable[[Site], Site]:
    """Give `without_queue(site)`: the site without its only object of the kind Queue."""
    return lambda made: made.changed(topology({"name": made.name, **TWO_POOLS, "queues": None}))


@pytest.fixture
def site(
    plane: Plane, topology: Callable[..., Topology], wait_until: Callable[..., None]
) -> Iterator[Callable[..., Site]]:
    """Give `site(changes)`: the hospital under another name, which is taken away after the test."""
    made: list[Site] = []

    def make(changes: dict | None = None, name: str = "") -> Site:
        own = topology({"name": name or f"site-{next(_numbers)}", **(changes or {})})
        found = Site(plane, own, connect(own, "main", plane.kubeconfig))
        made.append(found)
        return found

    yield make
    named = {one.name for one in made if not plane.api.gone(f"/api/v1/namespaces/{one.name}")}
    for name in named:
        labelled = f"labelSelector=tiers.dev/topology={name}"
        plane.api.request("DELETE", f"/apis/batch.volcano.sh/v1alpha1/namespaces/{name}/jobs?{labelled}")
        for kind in ("daemonsets", "deployments"):
            plane.api.request("DELETE", f"/apis/apps/v1/namespaces/{name}/{kind}?{labelled}")
    for name in named:  # the next test wants the machines
        wait_until(
            lambda name=name: not plane.api.items(f"/api/v1/namespaces/{name}/pods"), f"{name} is empty"
        )
        plane.api.remove(f"/api/v1/namespaces/{name}")  # the test itself may have let it go
    for one in made:
        plane.forget(one.name)
