"""A job whose data come ahead of need → the container that brings them, in each worker's pod, and its tasks.

Between `staging` and the template volcano/job.yaml.j2, which `gang` fills. The container runs `cloud_jobs.prefetch` and
answers the worker on a socket in a folder that only the two of them see; the worker asks through `cloud_jobs.reads`.

Why it is an init container that goes on running (restartPolicy Always; Kubernetes 1.29, stable since 1.33): kubelet
ends it when the worker has ended, and the pod is Succeeded or Failed by the worker alone. A second plain container
would keep the pod, and with it the gang, from completing; and of a failed pod Volcano reads the exit code of the first
container, by name (volcano-sh/volcano v1.15.1, pkg/controllers/job, updatePod), so `retry.after: ["exit:143"]` would
look at the wrong one. Volcano's scheduler counts what such a container asks for (pkg/scheduler/api/pod_info.go).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from toolkit.errors import RenderError
from toolkit.placement import WorkerSize, fitted_name, place_job
from toolkit.render.edge_agent import ConfigMapView
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.quantities import memory_quantity
from toolkit.render.rendered import RenderedObject
from toolkit.render.staging import TASKS_FILE, TASKS_FOLDER, Folder, ahead_task
from toolkit.render.template import fill
from toolkit.sync.task import encode_tasks
from toolkit.topology.flow import part_of
from toolkit.topology.topology import Topology

READS_FOLDER, READS_SOCKET = "/run/tiers", "reads.sock"
"""Where a worker asks; an emptyDir of the pod."""
INDEX_FIELD = "metadata.labels['volcano.sh/task-index']"
FILES_AHEAD = 4
"""So many files are looked ahead where tiers.yaml says nothing."""
_MEMORY = 2**30
_MEMORY_PART = 4
"""At most one part in so many of a worker's memory is the container's."""
_CORE, _FEW_CORES = 1000, 4
"""Thousandths of a core; a quarter of them where a worker has fewer cores than that."""


@dataclass(frozen=True)
class Beside:
    """What volcano/job.yaml.j2 names of the container beside a worker."""

    image: str
    command: tuple[str, ...]
    rank_field: str
    requests: Mapping[str, str]
    limits: Mapping[str, str]
    tasks: str
    """Name of the ConfigMap."""
    tasks_folder: str
    reads_folder: str
    mounts: tuple[Folder, ...]
    """What it sees."""
    volumes: tuple[Folder, ...]
    """Those of them that are its own; the storage of the tier is the worker's too."""
    millicores: int
    memory: int
    """Bytes."""


def comes_ahead(topology: Topology, job: str) -> bool:
    """Tell whether a job's data come from another tier while it reads."""
    data = topology.jobs[job].data
    return data is not None and data.bring == "ahead"


def ahead_tasks(topology: Topology, _lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give the ConfigMap with the task of each job whose data come ahead of need.

    Raises:
        RenderError: the data has no place to come from or to go to.
    """
    for job in topology.jobs:
        placement = place_job(topology, job)
        if placement.cluster != cluster or not comes_ahead(topology, job):
            continue
        task, _ = ahead_task(topology, job)
        document = msgspec.json.format(encode_tasks([task]), indent=2).decode() + "\n"
        labels = owner_labels(topology.name, "job", job)
        body = fill(
            "kubernetes/configmap.yaml.j2",
            Metadata(_config_map(job), labels, placement.namespace),
            config_map=ConfigMapView({TASKS_FILE: document}),
        )
        yield RenderedObject(cluster, f"jobs.{job}.data", body)


def beside(topology: Topology, lock: Lock, job: str, size: WorkerSize) -> Beside | None:
    """Give what runs beside each worker of a job; None when its data do not come ahead of need.

    Args:
        topology: a checked topology.
        lock: digests of images.
        job: its name.
        size: what one worker asks for, of which the container gets a part.

    Raises:
        RenderError: the data has no place to come from or to go to, or no budget.
    """
    if not comes_ahead(topology, job):
        return None
    data, gang = topology.jobs[job].data, topology.jobs[job].gang
    if data is None or data.budget is None:
        raise RenderError(f"jobs.{job}.data has no budget", hint="tiers validate")
    _, mounts = ahead_task(topology, job)
    memory = min(_MEMORY, size.memory // _MEMORY_PART // 2**20 * 2**20)
    millicores = _CORE if size.cpus >= _FEW_CORES else _CORE // _FEW_CORES
    budget = data.budget.count // gang.workers
    return Beside(
        image=lock.pinned(topology.images.jobs),
        command=(
            *("python", "-m", "cloud_jobs.prefetch", f"{TASKS_FOLDER}/{TASKS_FILE}"),
            *("--ahead", str(data.ahead or FILES_AHEAD), "--budget", str(budget)),
            *("--socket", f"{READS_FOLDER}/{READS_SOCKET}", "--reader", "$(RANK)"),
        ),
        rank_field=INDEX_FIELD,
        requests={"cpu": _cores(millicores), "memory": memory_quantity(memory)},
        limits={"memory": memory_quantity(memory)},
        tasks=_config_map(job),
        tasks_folder=TASKS_FOLDER,
        reads_folder=READS_FOLDER,
        mounts=mounts,
        volumes=tuple(each for each in mounts if each.name != "storage"),
        millicores=millicores,
        memory=memory,
    )


def without(size: WorkerSize, helper: Beside | None) -> dict[str, str]:
    """Give what is left of a worker's cores and memory when the container beside it has its part.

    So a pod asks for what the plan of the job, its queue and its quota count with.
    """
    millicores, memory = (helper.millicores, helper.memory) if helper else (0, 0)
    return {"cpu": _cores(size.cpus * 1000 - millicores), "memory": memory_quantity(size.memory - memory)}


def _cores(millicores: int) -> str:
    return f"{millicores}m" if millicores % 1000 else str(millicores // 1000)


def _config_map(job: str) -> str:
    return fitted_name("tiers", part_of(job, "ahead"))
