"""A flow of tiers.yaml → a Volcano JobFlow: which JobTemplate comes after which.

After `job_template`, before `jobs.flow_submit`: a JobFlow runs when somebody submits it, `tiers apply` leaves it alone.

What Volcano v1.15.1 does (pkg/controllers/jobflow, seen in tests/toolkit/jobs/test_flow.py): a step
begins when every step before it has the phase Completed; the Job of a step is called FLOW-STEP and carries the labels
volcano.sh/createdByJobFlow and createdByJobTemplate, ours only in its pods; a step whose Job is gone is made anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from toolkit.placement import place_job
from toolkit.render.job_template import staged
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.rendered import RenderedObject
from toolkit.render.template import fill
from toolkit.topology.flow import STAGE, UNPIN, part_of
from toolkit.topology.topology import Topology


@dataclass(frozen=True)
class StepView:
    """A step, and the steps that have to complete before it."""

    name: str
    after: tuple[str, ...]


@dataclass(frozen=True)
class JobFlowView:
    """What volcano/jobflow.yaml.j2 names."""

    steps: tuple[StepView, ...]


def job_flows(topology: Topology, _lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give a JobFlow for each flow whose jobs are in the cluster. Raises RenderError when the template does not fit."""
    for name in topology.flows:
        if cluster_of_flow(topology, name) == cluster:
            yield job_flow(topology, name)


def cluster_of_flow(topology: Topology, name: str) -> str:
    """Name the cluster of a flow: that of its jobs. Raises KeyError when there is no such flow."""
    return place_job(topology, next(iter(topology.flows[name].steps))).cluster


def job_flow(topology: Topology, name: str) -> RenderedObject:
    """Give the JobFlow of one flow.

    Raises:
        KeyError: there is no such flow.
        RenderError: the template does not fit.
    """
    cluster = cluster_of_flow(topology, name)
    metadata = Metadata(name, owner_labels(topology.name, "flow", name), topology.namespace(cluster))
    body = fill("volcano/jobflow.yaml.j2", metadata, flow=JobFlowView(tuple(_steps(topology, name))))
    return RenderedObject(cluster, f"flows.{name}", body)


def _steps(topology: Topology, name: str) -> Iterator[StepView]:
    """Give the steps in the order of the file; around a job with data its staging and its unpinning."""
    for job, step in topology.flows[name].steps.items():
        if not staged(topology, job):
            yield StepView(job, step.after)
            continue
        yield StepView(part_of(job, STAGE), step.after)
        yield StepView(job, (part_of(job, STAGE),))
        yield StepView(part_of(job, UNPIN), (job,))
