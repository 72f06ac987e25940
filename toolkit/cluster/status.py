"""What a cluster has of a topology: objects and whether they run, nodes by pool and since when they are silent.

Read-only; beside `diff`, which says what is different, this says what works. `tiers status` prints it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import key_of, list_all, live_objects
from toolkit.cluster.machines import Machine, machine_of
from toolkit.cluster.readiness import Readiness, State, judge
from toolkit.cluster.request import Connection
from toolkit.placement import POOL_LABEL, TIER_LABEL
from toolkit.render.rendered import RenderedObject
from toolkit.topology.topology import PlacedPool, Topology

_ABSENT = Readiness(State.PROGRESSING, "it is not in the cluster")


@dataclass(frozen=True)
class ObjectStatus:
    """One object and whether it runs."""

    kind: str
    namespace: str
    name: str
    state: State
    reason: str


@dataclass(frozen=True)
class PoolStatus:
    """The machines of one pool."""

    tier: str
    pool: str
    wanted: int
    """How many tiers.yaml says."""
    ready: int
    silent: Mapping[str, str]
    """Node → since when it is not ready (the cluster's clock, RFC 3339)."""

    @property
    def silence(self) -> str:
        """Name the machines that do not report, for people."""
        return ", ".join(f"{name} since {since}" for name, since in sorted(self.silent.items()))


@dataclass(frozen=True)
class ClusterStatus:
    """Everything of a topology in one cluster."""

    cluster: str
    context: str
    objects: tuple[ObjectStatus, ...]
    pools: tuple[PoolStatus, ...]


def status(connection: Connection, topology: Topology, objects: Sequence[RenderedObject]) -> ClusterStatus:
    """Look at every object and node of a topology in one cluster.

    Args:
        connection: the way to the cluster.
        topology: says which pools are there.
        objects: what was rendered; only this cluster's count.

    Raises:
        ClusterError: a kind does not exist in the cluster, or may not be listed.
        UnreachableError: the server does not answer.
    """
    kinds = Kinds(connection)
    ours = [each for each in objects if each.cluster == connection.cluster]
    live = live_objects(
        kinds, topology.name, [(each.api_version, each.kind, each.namespace) for each in ours]
    )
    machines = [machine_of(each) for each in list_all(kinds, kinds.resource("v1", "Node"), "")]
    seen = []
    for each in ours:
        body = live.get(key_of(each.body))
        found = judge(body, lambda: machines) if body else _ABSENT
        seen.append(ObjectStatus(each.kind, each.namespace, each.name, found.state, found.reason))
    pools = tuple(_pool(each, machines) for each in topology.pools_in(connection.cluster))
    return ClusterStatus(connection.cluster, connection.context, tuple(seen), pools)


def _pool(placed: PlacedPool, machines: Sequence[Machine]) -> PoolStatus:
    """Count the nodes of a pool: those that tiers.yaml names, else those with the pool's labels."""
    ready, silent = 0, {}
    for machine in machines:
        if placed.pool.nodes.count is None:
            belongs = machine.name in placed.node_names
        else:
            labelled = (machine.labels.get(TIER_LABEL), machine.labels.get(POOL_LABEL))
            belongs = labelled == (placed.tier_name, placed.name)
        if not belongs:
            continue
        if machine.silent_since is None:
            ready += 1
        else:
            silent[machine.name] = machine.silent_since
    return PoolStatus(placed.tier_name, placed.name, placed.pool.nodes.total, ready, silent)
