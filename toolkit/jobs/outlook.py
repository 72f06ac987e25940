"""What submitting a job would mean, without asking a cluster: where it would run, what it would ask for, and why.

placement and render.gang say it, this collects it for `tiers job plan`. Beside `submit`, which asks the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from toolkit.errors import Problem
from toolkit.jobs.checked import problems_of
from toolkit.jobs.known import require_job
from toolkit.jobs.values import mapping, mappings, text
from toolkit.placement import place_job, worker_size
from toolkit.render.gang import gang
from toolkit.render.lock import Lock
from toolkit.topology.job import JobData
from toolkit.topology.topology import Topology


@dataclass(frozen=True)
class Outlook:
    """A job as it would be submitted. Memory in bytes, times in seconds."""

    job: str
    cluster: str
    namespace: str
    tier: str
    pool: str
    machines: int
    """How many the pool has."""
    needs_machines: int
    """How many the gang takes at least when they are empty."""
    workers: int
    minimum: int
    gpus_per_worker: int
    cpus_per_worker: int
    memory_per_worker: int
    gpus: int
    """Of the whole gang."""
    queue: str
    queue_limit: Mapping[str, str]
    """The queue's capability; empty when it has no end."""
    priority_class: str
    image: str
    command: tuple[str, ...]
    retries: int
    restarts: tuple[str, ...]
    """What Volcano does after what, in its words; the first that fits wins."""
    grace_seconds: float
    kept_seconds: float
    data: str
    checkpoints: str
    why: tuple[str, ...]
    """Why there and why so much, one sentence a line."""
    problems: tuple[Problem, ...]
    """What lint finds."""


def outlook(topology: Topology, lock: Lock, name: str) -> Outlook:
    """Say what submitting a job would mean.

    Raises:
        UsageError: there is no such job.
        RenderError: a secret of it is kept where no pod can read it.
    """
    require_job(topology, name)
    job, placement, size = topology.jobs[name], place_job(topology, name), worker_size(topology, name)
    placed = topology.pool(job.pool)
    rendered = gang(topology, lock, name)
    spec = mapping(rendered.body, "spec")
    container = mappings(mappings(spec, "tasks")[0], "template", "spec", "containers")[0]
    per_machine = placed.gpus_per_node // size.gpus if size.gpus else 0
    command = container.get("command")
    return Outlook(
        job=name,
        cluster=placement.cluster,
        namespace=placement.namespace,
        tier=placement.tier,
        pool=placement.pool,
        machines=placed.pool.nodes.total,
        needs_machines=-(-job.gang.minimum // per_machine) if per_machine else 1,
        workers=job.gang.workers,
        minimum=job.gang.minimum,
        gpus_per_worker=size.gpus,
        cpus_per_worker=size.cpus,
        memory_per_worker=size.memory,
        gpus=size.gpus * job.gang.workers,
        queue=placement.queue,
        queue_limit=_queue_limit(topology, job.queue),
        priority_class=placement.priority_class,
        image=text(container, "image"),
        command=tuple(str(word) for word in command) if isinstance(command, list) else (),
        retries=job.retry.attempts,
        restarts=tuple(_policy(each) for each in mappings(spec, "policies")),
        grace_seconds=job.grace.seconds,
        kept_seconds=job.keep.seconds,
        data=_data(job.data) if job.data else "",
        checkpoints=f"{job.checkpoints.target}: {job.checkpoints.path}" if job.checkpoints else "",
        why=(*placement.reasons, *size.reasons),
        problems=problems_of(topology, rendered),
    )


def _data(data: JobData) -> str:
    """Say where data come from, and how when it is not all of them before the job."""
    place = f"{data.source}: {data.path}"
    return f"{place}, ahead of need, {data.budget} at most" if data.bring == "ahead" else place


def _queue_limit(topology: Topology, queue: str | None) -> dict[str, str]:
    if queue is None:
        return {}
    end = topology.queues[queue].capability
    listed = {"gpus": end.gpus, "cpus": end.cpus, "memory": end.memory}
    return {name: str(amount) for name, amount in listed.items() if amount is not None}


def _policy(policy: Mapping[str, object]) -> str:
    after = text(policy, "event") or f"exit code {text(policy, 'exitCode')}"
    timeout = text(policy, "timeout")
    return f"{after}{f' for {timeout}' if timeout else ''} → {text(policy, 'action')}"
