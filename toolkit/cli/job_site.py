"""What the job commands share: the way from a job's name to its cluster, and how its state is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.present import describe, say
from toolkit.cli.site import variables_of

if TYPE_CHECKING:
    from toolkit.cluster.request import Connection
    from toolkit.jobs.states import Reason
    from toolkit.jobs.where import Where
    from toolkit.render.lock import Lock
    from toolkit.topology.topology import Topology

JobArgument = Annotated[
    str, typer.Argument(help="A job of tiers.yaml, one that tiers submitted, or a job of a flow.")
]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", help="How long to wait for it.", min=1)
]


@dataclass(frozen=True)
class JobSite:
    """A loaded tiers.yaml with its locked images, without its objects: one job is rendered when it is needed."""

    topology: Topology
    lock: Lock


def load_jobs(files: Sequence[Path], assignments: Sequence[str]) -> JobSite:
    """Load and warn."""
    from toolkit.render.lock import LOCK_FILE, read_lock
    from toolkit.topology.load import load

    loaded = load(files, variables_of(assignments))
    for problem in loaded.warnings:
        say(describe(problem))
    return JobSite(loaded.topology, read_lock(files[0].parent / LOCK_FILE))


def job_connections(
    topology: Topology, context: str | None, kubeconfig: Path | None, job: str = ""
) -> dict[str, Connection]:
    """Open the way to the cluster of a job, of a context, or to all; say which."""
    from toolkit.cluster.connect import cluster_of_context, connect
    from toolkit.jobs.where import cluster_of_job

    placed = cluster_of_context(topology, context) if context else cluster_of_job(topology, job)
    named = [placed] if placed else list(topology.clusters)
    found = {cluster: connect(topology, cluster, kubeconfig) for cluster in named}
    for each in found.values():
        say(f"cluster {each.cluster}, context {each.context}, {each.host}")
    return found


def find_job(
    name: str,
    files: Sequence[Path],
    assignments: Sequence[str],
    context: str | None,
    kubeconfig: Path | None,
    site: JobSite | None = None,
) -> Where:
    """Load tiers.yaml, unless it is loaded already, and find a job's cluster."""
    from toolkit.jobs.where import locate

    topology = (site or load_jobs(files, assignments)).topology
    return locate(topology, name, job_connections(topology, context, kubeconfig, name))


def tell(name: str, reason: Reason) -> None:
    """Say on stderr what a job does and what would change that."""
    say(f"{name}: {reason.state.value}: {reason.why}")
    if reason.cure:
        say(f"  next: {reason.cure}")
