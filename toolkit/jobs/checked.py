"""One job, rendered and linted with what it will meet: queues, classes, machines and services. For `submit`, `plan`.

Queues and classes are taken as they are rendered, because in a cluster their names begin with the topology's.
"""

from __future__ import annotations

from dataclasses import replace

from toolkit.errors import JobError, Problem, Severity, UsageError
from toolkit.jobs.known import require_job
from toolkit.lint.check import lint
from toolkit.lint.document import from_objects
from toolkit.lint.known_from_objects import known_from_objects
from toolkit.lint.known_from_topology import known_from_topology
from toolkit.render.cluster_objects import priority_classes, queues
from toolkit.render.gang import gang
from toolkit.render.lock import Lock
from toolkit.render.rendered import RenderedObject
from toolkit.topology.topology import Topology


def problems_of(topology: Topology, rendered: RenderedObject) -> tuple[Problem, ...]:
    """Find what Volcano would refuse of a job, and what would let it wait for ever."""
    cluster = rendered.cluster
    around = [each.body for each in (*queues(topology, cluster), *priority_classes(topology, cluster))]
    machines = replace(
        known_from_topology(topology),
        queues={},
        all_queues=False,
        priorities=frozenset(),
        all_priorities=False,
    )
    known = known_from_objects(tuple(from_objects(around)), machines)
    return lint(from_objects([rendered.body]), known)


def rendered_job(topology: Topology, lock: Lock, name: str, workers: int | None = None) -> RenderedObject:
    """Render one job, perhaps with another number of workers, and lint it.

    Raises:
        UsageError: there is no such job, or so few workers that its gang cannot start.
        RenderError: a secret of it is kept where no pod can read it.
        JobError: the cluster would refuse it, or it would never start; says each finding with its cure.
    """
    require_job(topology, name)
    if workers is not None:
        topology = with_workers(topology, name, workers)
    rendered = gang(topology, lock, name)
    found = [each for each in problems_of(topology, rendered) if each.severity is Severity.ERROR]
    if found:
        lines = [f"{each.code} {each.message}" + (f" ({each.cure})" if each.cure else "") for each in found]
        raise JobError(f"job {name} cannot be submitted:\n  " + "\n  ".join(lines), hint="tiers lint")
    return rendered


def with_workers(topology: Topology, name: str, workers: int) -> Topology:
    """Give the topology with another number of workers in one gang; a rigid gang stays rigid.

    Raises:
        UsageError: fewer than the gang needs at least.
    """
    job = topology.jobs[name]
    if job.gang.min is not None and workers < job.gang.min:
        raise UsageError(
            f"jobs.{name}.gang.min is {job.gang.min}, so {workers} workers cannot start",
            hint=f"tiers job submit {name} --workers {job.gang.min}",
        )
    changed = job.model_copy(update={"gang": job.gang.model_copy(update={"workers": workers})})
    return topology.model_copy(update={"jobs": {**topology.jobs, name: changed}})
