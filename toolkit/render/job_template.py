"""Jobs of tiers.yaml that flows name → Volcano JobTemplates: the gang, and with `data` what stages and unpins it.

Between `gang` and the templates volcano/{jobtemplate,stagetemplate}.yaml.j2; `job_flow` puts them in
order. A JobTemplate does nothing by itself: Volcano makes a Job of it when a flow comes to it, called FLOW-TEMPLATE.

A gang that waits for its data in its pods would hold its GPUs idle (docs/decisions/0012). So the part `stage` brings
the data to the job's tier without a GPU and pins it there, and the part `unpin` lets it go when the gang has
completed. Both run where the gang runs, because they write to the same storage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from toolkit.placement import Placement, fitted_name, place_job
from toolkit.render.edge_agent import ConfigMapView
from toolkit.render.gang import (
    JOB_USER,
    NAME_FIELD,
    NAME_VARIABLE,
    gang_spec,
)
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.quantities import quantities
from toolkit.render.rendered import RenderedObject
from toolkit.render.scheduling import affinity, tolerations
from toolkit.render.staging import TASKS_FILE, TASKS_FOLDER, Folder, stage_tasks
from toolkit.render.template import fill
from toolkit.sync.task import encode_tasks
from toolkit.topology.flow import STAGE, UNPIN, part_of
from toolkit.topology.topology import Topology

TRIES = 5
"""Of a part; a failed sync goes on where it stopped."""
_STAGE_CPUS, _STAGE_MEMORY = 1, 1024 * 2**20


@dataclass(frozen=True)
class JobTemplateView:
    """What volcano/jobtemplate.yaml.j2 names."""

    spec: object


@dataclass(frozen=True)
class Container:
    """One container of a part; `list` says whether it runs before the others."""

    list: str
    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class StageView:
    """What volcano/stage_jobtemplate.yaml.j2 names."""

    queue: str
    priority_class: str
    tries: int
    task: str
    pod_labels: Mapping[str, str]
    image: str
    parts: tuple[Container, ...]
    name_variable: str
    name_field: str
    node_selector: Mapping[str, str]
    affinity: Mapping[str, object]
    tolerations: list[dict[str, str]]
    user: int
    requests: Mapping[str, str]
    limits: Mapping[str, str]
    tasks: str
    """Name of the ConfigMap."""
    tasks_folder: str
    folders: tuple[Folder, ...]


def staged(topology: Topology, job: str) -> bool:
    """Tell whether a job's data has to come from another tier than the one that it runs in, before it runs."""
    data = topology.jobs[job].data
    return data is not None and data.bring == "whole" and data.source != place_job(topology, job).tier


def job_templates(topology: Topology, lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give the templates of every job that a flow names and that runs in the cluster.

    Raises:
        RenderError: as `gang.gang`, or the data has no place to come from or to go to.
    """
    for job in sorted({step for flow in topology.flows.values() for step in flow.steps}):
        placement = place_job(topology, job)
        if placement.cluster != cluster:
            continue
        labels = owner_labels(topology.name, "job", job)
        metadata = Metadata(job, labels, placement.namespace)
        view = JobTemplateView(gang_spec(topology, lock, job))
        body = fill("volcano/jobtemplate.yaml.j2", metadata, job=view)
        yield RenderedObject(cluster, f"jobs.{job}", body)
        if staged(topology, job):
            yield from _staging(topology, lock, job, placement)


def _staging(topology: Topology, lock: Lock, job: str, placement: Placement) -> Iterator[RenderedObject]:
    """Give the sync tasks of a job's data, and the templates that carry it out and unpin what it brought."""
    source = f"jobs.{job}.data"
    labels = owner_labels(topology.name, "job", job)
    found, folders = stage_tasks(topology, job)
    document = msgspec.json.format(encode_tasks(found), indent=2).decode() + "\n"
    tasks = fitted_name("tiers", part_of(job, STAGE))
    body = fill(
        "kubernetes/configmap.yaml.j2",
        Metadata(tasks, labels, placement.namespace),
        config_map=ConfigMapView({TASKS_FILE: document}),
    )
    yield RenderedObject(placement.cluster, source, body)
    file = f"{TASKS_FOLDER}/{TASKS_FILE}"
    pin = ("python", "-m", "cloud_jobs.pin", file, "--for", f"$({NAME_VARIABLE})")
    sync = ("python", "-m", "cloud_jobs.stage", file)
    for part, containers in (
        (STAGE, (Container("initContainers", "sync", sync), Container("containers", "pin", pin))),
        (UNPIN, (Container("containers", "unpin", (*pin, "--release")),)),
    ):
        view = StageView(
            queue=placement.queue,
            priority_class=placement.priority_class,
            tries=TRIES,
            task=part,
            pod_labels=labels,
            image=lock.pinned(topology.images.jobs),
            parts=containers,
            name_variable=NAME_VARIABLE,
            name_field=NAME_FIELD,
            node_selector=placement.node_selector,
            affinity=affinity(placement),
            tolerations=tolerations(placement),
            user=JOB_USER,
            requests=quantities(cpus=_STAGE_CPUS, memory=_STAGE_MEMORY),
            limits=quantities(memory=_STAGE_MEMORY),
            tasks=tasks,
            tasks_folder=TASKS_FOLDER,
            folders=folders,
        )
        metadata = Metadata(part_of(job, part), labels, placement.namespace)
        body = fill("volcano/stage_jobtemplate.yaml.j2", metadata, stage=view)
        yield RenderedObject(placement.cluster, source, body)
