"""The agents of a tier: its routes as tasks in a ConfigMap, a Deployment for the frequent ones, CronJobs for the rest.

Between `routes` and `worker_pod`; the pods run `cloud_jobs.sync_agent`, which never reads tiers.yaml. Which form a
route takes: an agent keeps time itself, so one Deployment a tier runs all routes that come more often than once an
hour, one after the other, and a limit on the rate holds for what really moves. A route that comes once an hour or more
seldom would keep memory for a minute's work; it is a CronJob that starts the same agent with --once, when cron can say
its period. What waits for a demand is run by hand. Devices run their own routes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec

from toolkit.placement import Placement, cluster_wide_name, fitted_name, place_pool
from toolkit.render.edge_agent import ConfigMapView
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.quantities import memory_quantity
from toolkit.render.rendered import RenderedObject
from toolkit.render.storage import storage_mounts
from toolkit.render.template import fill
from toolkit.render.vertical import fitted_worker
from toolkit.render.worker_pod import (
    PodView,
    Program,
    config_mount,
    pod,
    secret_mount,
    service_account,
    worker,
)
from toolkit.routes import sync_tasks
from toolkit.sync.task import SyncTask
from toolkit.topology.names import TierName
from toolkit.topology.storage import Storage
from toolkit.topology.tier import Agent
from toolkit.topology.topology import Topology

NOUN = "agent"
CONTAINER = "agent"
PRIORITY = "batch"
"""The entry of `priorities` that agents get, when there is one."""
TASKS_FOLDER = "/etc/tiers/tasks"
TASKS_FILE = "tasks.json"
LONGEST_CRON_JOB_NAME = 52
"""What Kubernetes leaves for the name of a CronJob, because its Jobs append eleven characters."""
RARE_SECONDS = 3600
"""From this period on a route is a CronJob."""
_HOUR, _DAY, _WEEK = 3600, 86400, 604800
_LATE_SECONDS = 900
CERTIFICATE_FOLDER = "/etc/tiers/certificate"
METRICS_PORT, METRICS_PORT_NAME = 9108, "metrics"
_EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 -- of a pod; it speaks TLS
_COMMAND = ("python", "-m", "cloud_jobs.sync_agent")
_WATCHED = (
    *("--metrics", f"{_EVERY_ADDRESS}:{METRICS_PORT}"),
    *("--certificate", f"{CERTIFICATE_FOLDER}/tls.crt", "--key", f"{CERTIFICATE_FOLDER}/tls.key"),
)
_ONCE: dict[bool, tuple[str, ...]] = {True: ("--once",), False: ()}
_REQUESTS = {"cpu": "250m", "memory": "256Mi"}


@dataclass(frozen=True)
class TimerView:
    """What kubernetes/cronjob.yaml.j2 names beside the pod."""

    schedule: str
    late_seconds: int


def sync_agents(topology: Topology, lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give account, ConfigMap, Deployment and CronJobs of each tier with an agent whose pool is in the cluster.

    Raises:
        UsageError, IntegrityError: a route cannot be carried out, see `routes.sync_task`.
    """
    for name, tier in topology.tiers.items():
        if tier.agent is None:
            continue
        placement = place_pool(topology, topology.pool(tier.agent.pool))
        if placement.cluster == cluster:
            yield from _agents(topology, lock, name, tier.agent, placement)


def agent_name(tier: TierName) -> str:
    """Name the Deployment of a tier's agent; NAME.NAMESPACE is what its certificate for Prometheus is made for."""
    return fitted_name("tiers-sync", tier)


def always_runs(topology: Topology, tier: TierName) -> bool:
    """Tell whether a tier has routes that come too often for a CronJob, so that an agent stays.

    Raises:
        UsageError, IntegrityError: a route cannot be carried out, see `routes.sync_task`.
    """
    return any(not cron_schedule(task.route, task.every_seconds) for task in _by_the_clock(topology, tier))


def starts_cron_jobs(topology: Topology, tier: TierName) -> bool:
    """Tell whether a tier has routes that CronJobs run. Raises as `always_runs`."""
    return any(cron_schedule(task.route, task.every_seconds) for task in _by_the_clock(topology, tier))


def _by_the_clock(topology: Topology, tier: TierName) -> list[SyncTask]:
    return [task for task in sync_tasks(topology, tier) if task.trigger == "schedule"]


def cron_schedule(route: str, seconds: float) -> str:
    """Write a period as a line of cron; empty when cron cannot say it. Routes are spread over the hour by name.

    Args:
        route: name of the route.
        seconds: its period.
    """
    spread = int(hashlib.sha256(route.encode()).hexdigest(), 16)
    minute, hour, weekday = spread % 60, spread // 60 % 24, spread // 1440 % 7
    if seconds == _WEEK:
        return f"{minute} {hour} * * {weekday}"
    if seconds == _DAY:
        return f"{minute} {hour} * * *"
    if seconds >= RARE_SECONDS and seconds % _HOUR == 0 and _DAY % seconds == 0:
        return f"{minute} * * * *" if seconds == _HOUR else f"{minute} */{int(seconds) // _HOUR} * * *"
    return ""


def _agents(
    topology: Topology, lock: Lock, tier: TierName, agent: Agent, placement: Placement
) -> Iterator[RenderedObject]:
    tasks = _by_the_clock(topology, tier)
    if not tasks:
        return
    rare = {task.route: cron_schedule(task.route, task.every_seconds) for task in tasks}
    frequent = [task for task in tasks if not rare[task.route]]
    source, labels = f"tiers.{tier}.agent", owner_labels(topology.name, NOUN, tier)
    metadata = Metadata(agent_name(tier), labels, placement.namespace)
    yield service_account(placement.cluster, source, metadata)
    files = {TASKS_FILE: _readable(frequent)} if frequent else {}
    files |= {_file_of(task): _readable([task]) for task in tasks if rare[task.route]}
    body = fill("kubernetes/configmap.yaml.j2", metadata, config_map=ConfigMapView(files))
    yield RenderedObject(placement.cluster, source, body)

    def view(file: str, *, tasks: list[SyncTask], once: bool) -> PodView:
        mounts = [config_mount(metadata.name, TASKS_FOLDER)]
        watched = agent.certificate.name if agent.certificate and not once else None
        if watched:
            mounts.append(secret_mount("certificate", watched, CERTIFICATE_FOLDER, "tls.crt", "tls.key"))
        storages = storage_mounts(_storages(topology, tasks))
        program = Program(
            name=CONTAINER,
            image=lock.pinned(topology.images.jobs),
            command=(*_COMMAND, *_ONCE[once], *(_WATCHED if watched else ()), f"{TASKS_FOLDER}/{file}"),
            requests=_REQUESTS,
            limits={"memory": memory_quantity(agent.memory.count)},
            mounts=(*mounts, *storages),
            config=files[file],
            ports={METRICS_PORT_NAME: METRICS_PORT} if watched else {},
            env={"HOME": "/tmp"},  # noqa: S108 -- an emptyDir of the pod; the user has no home
        )
        return pod(
            placement,
            labels,
            program,
            account=metadata.name,
            priority_class=cluster_wide_name(topology, PRIORITY) if PRIORITY in topology.priorities else "",
            restart_policy="Never" if once else "",
        )

    if frequent:
        always = view(TASKS_FILE, tasks=frequent, once=False)
        body = fill(
            "kubernetes/worker_deployment.yaml.j2", metadata, worker=worker(labels, alone=True), pod=always
        )
        yield RenderedObject(placement.cluster, source, body)
        if agent.vertical:
            memory = agent.memory.count
            yield fitted_worker(placement.cluster, source, metadata, CONTAINER, _REQUESTS, memory)
    for task in tasks:
        if rare[task.route]:
            name = fitted_name(metadata.name, task.route, longest=LONGEST_CRON_JOB_NAME)
            timer = TimerView(rare[task.route], _LATE_SECONDS)
            once = view(_file_of(task), tasks=[task], once=True)
            body = fill("kubernetes/cronjob.yaml.j2", replace(metadata, name=name), timer=timer, pod=once)
            yield RenderedObject(placement.cluster, source, body)


def _storages(topology: Topology, tasks: list[SyncTask]) -> Iterator[tuple[str, Storage]]:
    """Give what tiers.yaml says of the places of tasks, each with its tier."""
    wanted = {(place.tier, place.url) for task in tasks for place in (task.source, *task.targets)}
    for name, tier in topology.tiers.items():
        yield from ((name, storage) for storage in tier.storage if (name, storage.url) in wanted)


def _file_of(task: SyncTask) -> str:
    return f"route-{task.route}.json"


def _readable(tasks: list[SyncTask]) -> str:
    """Write tasks over several lines, so that `diff` shows which value changed."""
    return msgspec.json.format(msgspec.json.encode(tasks, order="sorted"), indent=2).decode() + "\n"
