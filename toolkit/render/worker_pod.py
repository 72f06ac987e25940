"""The pod of a program of ours that serves no model: the agents of routes, the broker, the depot, the driver.

Views between `sync_agents`, `broker`, `depot` and the templates kubernetes/{_pod,worker_deployment,cronjob}.yaml.j2.
All of them are locked down alike, have an account of their own that may do nothing, and start again when what they
read at their start has changed: a digest of it stands in an annotation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from toolkit.placement import Placement
from toolkit.render.metadata import NAME_LABEL, NOUN_LABEL, TOPOLOGY_LABEL, Metadata
from toolkit.render.rendered import RenderedObject
from toolkit.render.scheduling import affinity, tolerations
from toolkit.render.template import fill

WORKER_USER = 65532
"""User and group of these programs, the same as a gang's workers, so that they read each other's files."""
DIGEST_ANNOTATION = "tiers.dev/config"
"""Of a pod: a digest of the configuration that it was started with."""
SCRATCH = "1Gi"
"""Most that a pod may leave in /tmp."""
SECRET_MODE = 0o440
"""The group is fsGroup."""
_DIGEST_LENGTH = 16


@dataclass(frozen=True)
class Mount:
    """A volume and where the container sees it."""

    name: str
    path: str
    kind: str
    """Name of the volume's source in a pod spec: configMap, secret, hostPath, persistentVolumeClaim."""
    volume: Mapping[str, object]
    read_only: bool = True


@dataclass(frozen=True)
class Probe:
    """A question of the kubelet."""

    name: str
    """startupProbe, livenessProbe or readinessProbe."""
    question: Mapping[str, object]


@dataclass(frozen=True)
class PodView:
    """What kubernetes/_pod.yaml.j2 names."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    account: str
    priority_class: str
    node_selector: Mapping[str, str]
    affinity: Mapping[str, object]
    tolerations: list[dict[str, str]]
    user: int
    container: str
    image: str
    command: list[str]
    env: list[dict[str, str]]
    ports: list[dict[str, object]]
    probes: tuple[Probe, ...]
    requests: Mapping[str, str]
    limits: Mapping[str, str]
    mounts: tuple[Mount, ...]
    scratch: str = SCRATCH
    grace_seconds: int = 30
    restart_policy: str = ""
    """Empty is Always, which a Deployment needs."""


@dataclass(frozen=True)
class WorkerView:
    """What kubernetes/worker_deployment.yaml.j2 names beside the pod."""

    replicas: int
    selector: Mapping[str, str]
    alone: bool
    """Whether the old pod has to be gone before the new one starts."""


@dataclass(frozen=True)
class Program:
    """What a pod runs, with what it sees and what it asks for."""

    name: str
    """Name of the container."""
    image: str
    command: tuple[str, ...]
    requests: Mapping[str, str]
    limits: Mapping[str, str]
    mounts: tuple[Mount, ...] = ()
    """Volumes; two of one path are one."""
    config: str = ""
    """Text whose change starts the pod anew."""
    env: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    """Name -> TCP port."""
    probes: tuple[Probe, ...] = ()
    user: int = WORKER_USER


def pod(
    placement: Placement,
    labels: Mapping[str, str],
    program: Program,
    *,
    account: str,
    priority_class: str = "",
    restart_policy: str = "",
) -> PodView:
    """Give the view of a pod on the machines of a placement.

    Args:
        placement: of the pool.
        labels: of the pod.
        program: what it runs.
        account: name of its ServiceAccount.
        priority_class: name of the PriorityClass, empty for the cluster's default.
        restart_policy: see `PodView`.
    """
    digest = hashlib.sha256(program.config.encode()).hexdigest()[:_DIGEST_LENGTH]
    return PodView(
        labels=labels,
        annotations={DIGEST_ANNOTATION: digest} if program.config else {},
        account=account,
        priority_class=priority_class,
        node_selector=placement.node_selector,
        affinity=affinity(placement),
        tolerations=tolerations(placement),
        user=program.user,
        container=program.name,
        image=program.image,
        # Kubernetes would replace $(NAME) in a word.
        command=[word.replace("$(", "$$(") for word in program.command],
        env=[{"name": name, "value": value} for name, value in program.env.items()],
        ports=[{"name": name, "containerPort": port} for name, port in program.ports.items()],
        probes=program.probes,
        requests=program.requests,
        limits=program.limits,
        mounts=tuple({mount.path: mount for mount in program.mounts}.values()),
        restart_policy=restart_policy,
    )


def worker(labels: Mapping[str, str], *, replicas: int = 1, alone: bool = False) -> WorkerView:
    """Give the Deployment's own part. Its selector are the three labels that name one noun of one topology."""
    names = (TOPOLOGY_LABEL, NOUN_LABEL, NAME_LABEL)
    return WorkerView(replicas, {name: labels[name] for name in names}, alone)


def service_account(cluster: str, source: str, metadata: Metadata) -> RenderedObject:
    """Give an account that may do nothing, so that no right of the namespace's `default` ever reaches the pod."""
    return RenderedObject(cluster, source, fill("kubernetes/serviceaccount.yaml.j2", metadata))


def secret_mount(name: str, secret: str, path: str, *keys: str) -> Mount:
    """Mount keys of a Secret as files; all of them when none is named."""
    items = {"items": [{"key": key, "path": key} for key in keys]} if keys else {}
    return Mount(name, path, "secret", {"secretName": secret, "defaultMode": SECRET_MODE, **items})


def config_mount(config_map: str, path: str) -> Mount:
    """Mount a ConfigMap as files."""
    return Mount("config", path, "configMap", {"name": config_map, "defaultMode": SECRET_MODE})
