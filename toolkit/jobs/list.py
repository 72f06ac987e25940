"""All jobs of a topology: those of tiers.yaml, and those that are in a cluster and no longer in tiers.yaml.

One LIST a cluster, by our owner label; states are those of Volcano's phases. `status` says why, job by job.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import list_all
from toolkit.cluster.request import Connection, Json
from toolkit.jobs.flow_submit import CREATED_BY
from toolkit.jobs.observe import JOB
from toolkit.jobs.reason import state_of
from toolkit.jobs.states import JobState
from toolkit.jobs.values import label, mappings, name_of, number, text
from toolkit.jobs.where import cluster_of_job
from toolkit.placement import place_job
from toolkit.render.metadata import TOPOLOGY_LABEL
from toolkit.topology.topology import Topology


@dataclass(frozen=True)
class ListedJob:
    """One job of a topology."""

    job: str
    cluster: str
    state: JobState
    workers: int
    running: int
    queue: str
    retries: int
    submitted: str
    """When (RFC 3339); empty for one that was not."""
    age_seconds: float | None
    """Since then, by the cluster's clock; None for one that was not submitted."""
    in_tiers_yaml: bool


def jobs(topology: Topology, connections: Iterable[Connection]) -> tuple[ListedJob, ...]:
    """List the jobs of a topology in these clusters, by cluster and name.

    Raises:
        ClusterError: Volcano is not installed there, or jobs may not be listed.
        UnreachableError: a server does not answer.
    """
    found: list[ListedJob] = []
    for connection in connections:
        kinds = Kinds(connection)
        selector = f"{TOPOLOGY_LABEL}={topology.name}"
        ours = [*list_all(kinds, kinds.resource(*JOB), selector, topology.namespace(connection.cluster))]
        ours += _of_flows(topology, kinds)
        live = {name_of(each): each for each in ours}
        planned = {name for name in topology.jobs if cluster_of_job(topology, name) == connection.cluster}
        found += [_listed(topology, connection, name, live.get(name)) for name in sorted(planned | set(live))]
    return tuple(found)


def _of_flows(topology: Topology, kinds: Kinds) -> list[Json]:
    """Give the jobs that Volcano has made of flows; they carry its labels, not ours."""
    namespace = topology.namespace(kinds.connection.cluster)
    if not topology.flows:
        return []
    flows = ",".join(f"{namespace}.{name}" for name in sorted(topology.flows))
    return list(list_all(kinds, kinds.resource(*JOB), f"{CREATED_BY} in ({flows})", namespace))


def _listed(topology: Topology, connection: Connection, name: str, live: Json | None) -> ListedJob:
    known = name in topology.jobs or bool(label(live or {}, CREATED_BY))
    if live is None:
        workers, queue = topology.jobs[name].gang.workers, place_job(topology, name).queue
        return ListedJob(
            name, connection.cluster, JobState.NOT_SUBMITTED, workers, 0, queue, 0, "", None, known
        )
    created = text(live, "metadata", "creationTimestamp")
    return ListedJob(
        job=name,
        cluster=connection.cluster,
        state=state_of(live),
        workers=sum(number(each, "replicas") for each in mappings(live, "spec", "tasks")),
        running=number(live, "status", "running"),
        queue=text(live, "spec", "queue"),
        retries=number(live, "status", "retryCount"),
        submitted=created,
        age_seconds=_age(connection, created),
        in_tiers_yaml=known,
    )


def _age(connection: Connection, created: str) -> float | None:
    try:
        born = datetime.fromisoformat(created.replace("Z", "+00:00"))
    except ValueError:
        return None
    return max((connection.clock.now() - born).total_seconds(), 0.0)
