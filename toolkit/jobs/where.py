"""In which cluster and namespace a job is: by its pool in tiers.yaml, else by looking. First step of job commands."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.cluster.kinds import Kinds
from toolkit.cluster.request import Connection
from toolkit.errors import UsageError
from toolkit.jobs.known import require_job
from toolkit.jobs.observe import JOB, read
from toolkit.placement import place_job
from toolkit.topology.topology import Topology


@dataclass(frozen=True)
class Where:
    """A job's place: the way to its cluster, its namespace there, and what tiers.yaml says about it."""

    kinds: Kinds
    namespace: str
    name: str
    pool: str
    """Its pool in tiers.yaml; empty when tiers.yaml does not have the job."""

    @property
    def connection(self) -> Connection:
        """The way to its cluster."""
        return self.kinds.connection


def cluster_of_job(topology: Topology, name: str) -> str | None:
    """Name the cluster of a job by its pool; None when tiers.yaml does not have the job."""
    return place_job(topology, name).cluster if name in topology.jobs else None


def locate(topology: Topology, name: str, connections: dict[str, Connection]) -> Where:
    """Find a job: where tiers.yaml places it, else in the first cluster that has one of its name.

    Args:
        topology: the site.
        name: the job.
        connections: the clusters to look in, by their name in tiers.yaml.

    Raises:
        UsageError: neither tiers.yaml nor a cluster has it.
        ClusterError: jobs may not be read there, or Volcano is not installed.
        UnreachableError: a server does not answer.
    """
    placed = cluster_of_job(topology, name)
    if placed in connections:
        pool = topology.jobs[name].pool
        return Where(Kinds(connections[placed]), topology.namespace(placed), name, pool)
    for cluster, connection in connections.items():
        kinds, namespace = Kinds(connection), topology.namespace(cluster)
        if read(kinds, JOB, namespace, name) is not None:
            return Where(kinds, namespace, name, "")
    require_job(topology, name)
    raise UsageError(f"job {name} belongs to the cluster '{placed}'", hint="leave --context away")
