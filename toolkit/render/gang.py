"""A Job of tiers.yaml → a Volcano Job: all workers start together or none, and come back after an eviction.

Between `placement` and the template volcano/job.yaml.j2; `jobs.submit` renders one job through `gang`.

How workers find each other: one task `worker`, plugins env and svc. Volcano's pytorch plugin is left out on purpose: it
sets nothing unless a second task is called master, and then there are two tasks to scale and to watch. The same
variables come from here instead: MASTER_ADDR is the name that svc gives to worker 0, RANK is the pod's label
volcano.sh/task-index, which Volcano (1.8 and newer) writes before the pod exists. RANK and WORLD_SIZE count pods, as
the plugin's do; the PET_ variables say the same to torchrun, so that `run: torchrun -m …` needs no flags.

What Volcano makes of a JobTemplate or a CronJob has a name that is not known here (`gang_spec`): there MASTER_ADDR is
composed in the pod, from the label volcano.sh/job-name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from toolkit.errors import RenderError
from toolkit.placement import WorkerSize, grace_seconds, place_job, worker_size
from toolkit.render.ahead import INDEX_FIELD, READS_FOLDER, READS_SOCKET, Beside, beside, without
from toolkit.render.gpu_request import gpu_request
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.policies import Policy, max_retry, policies
from toolkit.render.quantities import memory_quantity
from toolkit.render.rendered import RenderedObject
from toolkit.render.scheduling import affinity, tolerations
from toolkit.render.storage import STORAGE_FOLDER, PodVolume, volume_of
from toolkit.render.template import fill
from toolkit.topology.job import Job
from toolkit.topology.names import TierName
from toolkit.topology.topology import Topology
from toolkit.wire.job import (
    CHECKPOINT_SECONDS_VARIABLE,
    CHECKPOINTS_VARIABLE,
    DATA_VARIABLE,
    OUTPUT_VARIABLE,
    READS_VARIABLE,
)

TASK = "worker"
MASTER_PORT = 23456
"""TCP port of rank 0; the default of Volcano's pytorch plugin."""
NAME_FIELD = "metadata.labels['volcano.sh/job-name']"
NAME_VARIABLE = "TIERS_JOB"
"""Holds the name of the pod's Job, where that is made by a controller."""
JOB_USER = 65532
"""User and group of every worker; shared folders of the job's tier must let it write."""


@dataclass(frozen=True)
class Variable:
    """One variable of a container: a text, a field of the pod, or a key of a Secret."""

    name: str
    value: str = ""
    field: str = ""
    secret: str = ""
    key: str = ""


@dataclass(frozen=True)
class GangView:
    """What volcano/job.yaml.j2 names."""

    queue: str
    priority_class: str
    workers: int
    minimum: int
    max_retry: int
    seconds_kept: int | None
    """None keeps it until its owner goes."""
    network_mode: str
    """Empty when it does not matter how near workers stand."""
    highest_tier: int
    policies: tuple[Policy, ...]
    task: str
    pod_labels: Mapping[str, str]
    image: str
    command: list[str]
    env: tuple[Variable, ...]
    port: int
    node_selector: Mapping[str, str]
    affinity: Mapping[str, object]
    tolerations: list[dict[str, str]]
    requests: Mapping[str, str]
    limits: Mapping[str, str]
    shared_memory: str
    grace_seconds: int
    user: int
    storage: PodVolume | None
    """The tier's storage when it is a folder or a claim."""
    storage_folder: str
    beside: Beside | None
    """What brings data ahead of need, in each pod."""


def gangs(topology: Topology, lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give a Volcano Job for each job whose pool is in the cluster. Raises RenderError as `gang`."""
    for name in topology.jobs:
        if topology.cluster_of(topology.pool(topology.jobs[name].pool)) == cluster:
            yield gang(topology, lock, name)


def gang(topology: Topology, lock: Lock, name: str) -> RenderedObject:
    """Give the Volcano Job of one job.

    Raises:
        KeyError: there is no such job.
        RenderError: a secret is kept where no pod can read it, or the template does not fit.
    """
    metadata = Metadata(name, owner_labels(topology.name, "job", name), place_job(topology, name).namespace)
    body = fill("volcano/job.yaml.j2", metadata, gang=_view(topology, lock, name, host=name))
    return RenderedObject(place_job(topology, name).cluster, f"jobs.{name}", body)


def gang_spec(topology: Topology, lock: Lock, name: str) -> object:
    """Give the spec of a job for a controller that names and keeps its Jobs itself: JobFlow and CronJob.

    It has no ttlSecondsAfterFinished: a flow makes a step anew whose Job is gone (volcano-sh/volcano v1.15.1,
    pkg/controllers/jobflow, deployJob), and a CronJob counts what it keeps.

    Raises:
        KeyError, RenderError: as `gang`.
    """
    view = _view(topology, lock, name, host=f"$({NAME_VARIABLE})")
    return fill("volcano/job.yaml.j2", Metadata(name, {}), gang=dataclasses.replace(view, seconds_kept=None))[
        "spec"
    ]


def _view(topology: Topology, lock: Lock, name: str, *, host: str) -> GangView:
    """Collect what the template names; `host` is what the job is called in its pods."""
    job, placement, size = topology.jobs[name], place_job(topology, name), worker_size(topology, name)
    labels = owner_labels(topology.name, "job", name)
    storage = first_storage(topology, placement.tier)
    gpus = gpu_request(topology.pool(job.pool), size.gpus)
    helper = beside(topology, lock, name, size)
    own = without(size, helper)
    return GangView(
        queue=placement.queue,
        priority_class=placement.priority_class,
        workers=job.gang.workers,
        minimum=job.gang.minimum,
        max_retry=max_retry(job),
        seconds_kept=int(job.keep.seconds),
        network_mode=job.gang.network.mode if job.gang.network else "",
        highest_tier=job.gang.network.highest_tier if job.gang.network else 0,
        policies=policies(
            job, topology.scheduler.profile, rented=topology.pool(job.pool).pool.spot is not None
        ),
        task=TASK,
        pod_labels=labels,
        image=lock.pinned(job.image or topology.images.jobs),
        command=[_literal(word) for word in job.run],
        env=tuple({each.name: each for each in _environment(name, host, job, size, _root(storage))}.values()),
        port=MASTER_PORT,
        node_selector=placement.node_selector,
        affinity=affinity(placement),
        tolerations=tolerations(placement),
        requests={**own, **gpus},
        limits={"memory": own["memory"], **gpus},
        shared_memory=memory_quantity(size.shared_memory),
        grace_seconds=grace_seconds(topology, name),
        user=JOB_USER,
        storage=first_volume(topology, placement.tier),
        storage_folder=STORAGE_FOLDER,
        beside=helper,
    )


def _environment(name: str, host: str, job: Job, size: WorkerSize, root: str) -> Iterator[Variable]:
    """Give the variables: where the others are, where data lies, and last what tiers.yaml says, which wins."""
    workers = str(job.gang.workers)
    if host != name:
        yield Variable(NAME_VARIABLE, field=NAME_FIELD)  # the first: Kubernetes puts in what stands before
    yield Variable("MASTER_ADDR", f"{host}-{TASK}-0.{host}")
    yield Variable("MASTER_PORT", str(MASTER_PORT))
    yield Variable("WORLD_SIZE", workers)
    yield Variable("RANK", field=INDEX_FIELD)
    elastic = job.gang.minimum < job.gang.workers
    yield Variable("PET_NNODES", f"{job.gang.minimum}:{workers}" if elastic else workers)
    yield Variable("PET_NPROC_PER_NODE", str(max(size.gpus, 1)))
    if elastic:
        yield Variable("PET_RDZV_BACKEND", "c10d")
        yield Variable("PET_RDZV_ENDPOINT", f"{host}-{TASK}-0.{host}:{MASTER_PORT}")
    else:
        yield Variable("PET_NODE_RANK", field=INDEX_FIELD)
        yield Variable("PET_MASTER_ADDR", f"{host}-{TASK}-0.{host}")
        yield Variable("PET_MASTER_PORT", str(MASTER_PORT))
    # The root file system is read-only and the user has no home: caches of frameworks go to the pod's own /tmp.
    yield Variable("HOME", "/tmp")  # noqa: S108 -- an emptyDir of the pod
    yield Variable("USER", "tiers")
    if root:
        yield Variable(OUTPUT_VARIABLE, f"{root}/artifacts/{name}")
        if job.data:
            yield Variable(DATA_VARIABLE, f"{root}/{job.data.path}")
            if job.data.bring == "ahead":
                yield Variable(READS_VARIABLE, f"{READS_FOLDER}/{READS_SOCKET}")
        if job.checkpoints:
            yield Variable(CHECKPOINTS_VARIABLE, f"{root}/{job.checkpoints.path}")
    if job.checkpoints:
        yield Variable(CHECKPOINT_SECONDS_VARIABLE, f"{job.checkpoints.every.seconds:g}")
    for key in sorted(job.env):
        yield _own_variable(name, job, key)


def _own_variable(name: str, job: Job, key: str) -> Variable:
    value = job.env[key]
    if isinstance(value, str):
        return Variable(key, _literal(value))
    if value.name:
        return Variable(key, secret=value.name, key=value.key or key)
    kept = f"the file {value.file}" if value.file else f"the environment variable {value.env}"
    message = f"jobs.{name}.env.{key}: no pod can read {kept}"
    raise RenderError(
        message, hint=f"write {{secret: NAME/{value.env or key}}}, or run it here: tiers job submit --local"
    )


def _literal(text: str) -> str:
    """Keep Kubernetes from replacing `$(NAME)` in a text, which would change what tiers.yaml says."""
    return text.replace("$(", "$$(")


def first_storage(topology: Topology, tier: TierName) -> str:
    """Give the address of a tier's first storage; empty when it has none."""
    storages = topology.tiers[tier].storage
    return storages[0].url if storages else ""


def first_volume(topology: Topology, tier: TierName) -> PodVolume | None:
    """Give the volume of a tier's first storage; None when it has none or it is no folder."""
    storages = topology.tiers[tier].storage
    return volume_of(tier, storages[0]) if storages else None


def _root(storage: str) -> str:
    """Give what a worker calls the storage of its tier: the mounted folder, or the address."""
    return STORAGE_FOLDER if urlsplit(storage).scheme == "file" else storage.rstrip("/")
