"""What Prometheus asks for its figures, and how the labels of `labels` get onto them: Topology → ScrapeJobs.

Before the two forms: `operator` makes a PodMonitor or ServiceMonitor of a job, `plain` a part of prometheus.yml.
Our pods carry the name of their pool or service as the label `tiers.dev/name`, so one job serves all pools.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from toolkit.placement import fitted_name
from toolkit.render import depot as depot_room
from toolkit.render.metadata import NAME_LABEL, NOUN_LABEL, TOPOLOGY_LABEL
from toolkit.render.monitoring.labels import (
    AGENT_JOB,
    CLUSTER,
    DEPOT_JOB,
    DRIVER_JOB,
    EDGE_JOB,
    GPU_JOB,
    NODE,
    POOL,
    SERVICE,
    SERVICE_JOB,
    TIER,
    TOPOLOGY,
)
from toolkit.render.service_secrets import CERTIFICATE_KEY, SCRAPE_KEY, server_names, serving_secret
from toolkit.render.sync_agents import METRICS_PORT_NAME, agent_name, always_runs
from toolkit.topology.monitoring import DeviceTargets, Monitoring
from toolkit.topology.names import TierName
from toolkit.topology.secret import SecretReference
from toolkit.topology.topology import PlacedPool, Topology

GPU_NOUN: Final = "monitoring"
"""Value of `tiers.dev/part-of` on the DCGM exporters; `pool` is taken by the daemons on devices."""
GPU_PORT: Final = 9400
GPU_PORT_NAME: Final = "metrics"
SERVICE_PORT_NAME: Final = "https"
_POD_LABEL: Final = "__meta_kubernetes_pod_label_" + NAME_LABEL.replace(".", "_").replace("/", "_")
_POD_NODE: Final = "__meta_kubernetes_pod_node_name"
_HOST_IP: Final = "__meta_kubernetes_pod_host_ip"


@dataclass(frozen=True)
class Relabel:
    """One step of relabelling; without sources it sets a fixed value."""

    target: str
    replacement: str = "$1"
    sources: tuple[str, ...] = ()
    regex: str = "(.*)"


@dataclass(frozen=True)
class Access:
    """How a target is spoken to."""

    scheme: Literal["http", "https"] = "http"
    ca: SecretReference | None = None
    token: SecretReference | None = None
    server_name: str = ""
    """Name that the certificate is for, when it is not the address."""


@dataclass(frozen=True)
class ScrapeJob:
    """Pods that are asked for /metrics, all in one way."""

    kind: Literal["pods", "service"]
    name: str
    """Of the object."""
    job: str
    """Value of the label `job`."""
    source: str
    """Key of tiers.yaml."""
    cluster: str
    namespace: str
    """Where the pods are."""
    selector: Mapping[str, str]
    """Labels of the pods, for kind `service` of the Service."""
    port: str
    """Name of the port; empty when the address says it."""
    relabels: tuple[Relabel, ...]
    metric_relabels: tuple[Relabel, ...] = ()
    honor_labels: bool = False
    access: Access = Access()
    beside: bool = False
    """Whether the monitor has to stand in the pods' namespace, because the operator reads its Secrets only there."""


def scrape_jobs(topology: Topology, monitoring: Monitoring, cluster: str) -> Iterator[ScrapeJob]:
    """Give what is asked in one cluster: the devices (when `monitoring.devices` is set), each service, the GPUs."""
    pools = list(topology.pools_in(cluster))
    if monitoring.devices is not None and any(placed.tier_name == "edge" for placed in pools):
        yield _devices(topology, monitoring.devices, cluster)
    for name in sorted(topology.services):
        if any(placed.name == topology.services[name].pool for placed in pools):
            yield _service(topology, cluster, name)
    for tier_name in watched_agents(topology, cluster):
        yield _agent(topology, cluster, tier_name)
    for noun, pool, secret in depot_room.watched_programs(topology, cluster):
        yield _program(topology, cluster, noun, pool, secret)
    if any(has_cards(placed) for placed in pools):
        yield _gpus(topology, monitoring, cluster)


def has_cards(placed: PlacedPool) -> bool:
    """Tell whether the machines of a pool have GPUs that DCGM knows: a Jetson's it does not."""
    return bool(placed.gpus_per_node) and placed.tier_name != "edge" and not placed.hardware.is_jetson


def watched_agents(topology: Topology, cluster: str) -> tuple[TierName, ...]:
    """Name the tiers whose agent in a cluster stays and answers Prometheus."""
    there = {placed.name for placed in topology.pools_in(cluster)}
    return tuple(
        name
        for name, tier in topology.tiers.items()
        if tier.agent and tier.agent.certificate and tier.agent.pool in there and always_runs(topology, name)
    )


def device_address(targets: DeviceTargets, name: str) -> str:
    """Write the address of a device's daemon, or of a pattern for it: `endo-01.edge.example:8500`."""
    return f"{name}.{targets.domain}:{targets.port}" if targets.domain else f"{name}:{targets.port}"


def _devices(topology: Topology, targets: DeviceTargets, cluster: str) -> ScrapeJob:
    # A certificate is for a name; without a domain the node's name means nothing to Prometheus, its address does.
    address = _POD_NODE if targets.domain else _HOST_IP
    return ScrapeJob(
        kind="pods",
        name=fitted_name(topology.name, "devices"),
        job=EDGE_JOB,
        source="monitoring.devices",
        cluster=cluster,
        namespace=topology.namespace(cluster),
        selector={TOPOLOGY_LABEL: topology.name, NOUN_LABEL: "pool"},
        port="",
        relabels=(
            *_fixed(topology, cluster, EDGE_JOB),
            Relabel(TIER, "edge"),
            Relabel(POOL, sources=(_POD_LABEL,)),
            Relabel(NODE, sources=(_POD_NODE,)),
            Relabel("__address__", device_address(targets, "$1"), sources=(address,)),
        ),
        access=Access(targets.scheme, targets.ca, targets.token),
    )


def _service(topology: Topology, cluster: str, name: str) -> ScrapeJob:
    placed = topology.pool(topology.services[name].pool)
    return ScrapeJob(
        kind="service",
        name=fitted_name(topology.name, name),
        job=SERVICE_JOB,
        source=f"services.{name}",
        cluster=cluster,
        namespace=topology.namespace(cluster),
        selector={TOPOLOGY_LABEL: topology.name, NOUN_LABEL: "service", NAME_LABEL: name},
        port=SERVICE_PORT_NAME,
        relabels=(
            *_fixed(topology, cluster, SERVICE_JOB),
            Relabel(TIER, placed.tier_name),
            Relabel(POOL, placed.name),
            Relabel(SERVICE, name),
            Relabel(NODE, sources=(_POD_NODE,)),
        ),
        access=_service_access(name, topology.namespace(cluster)),
        beside=True,
    )


def _service_access(name: str, namespace: str) -> Access:
    """Say how a server is asked: by its own certificate, with the token that its Secret holds for Prometheus."""
    secret = serving_secret(name)
    return Access(
        scheme="https",
        ca=SecretReference(secret=f"{secret}/{CERTIFICATE_KEY}"),
        token=SecretReference(secret=f"{secret}/{SCRAPE_KEY}"),
        server_name=server_names(namespace, name)[-2],
    )


def _agent(topology: Topology, cluster: str, tier_name: TierName) -> ScrapeJob:
    agent = topology.tiers[tier_name].agent
    if agent is None or agent.certificate is None:
        raise KeyError(tier_name)
    namespace, name = topology.namespace(cluster), agent_name(tier_name)
    return ScrapeJob(
        kind="pods",
        name=fitted_name(topology.name, "agent", tier_name),
        job=AGENT_JOB,
        source=f"tiers.{tier_name}.agent",
        cluster=cluster,
        namespace=namespace,
        selector={TOPOLOGY_LABEL: topology.name, NOUN_LABEL: "agent", NAME_LABEL: tier_name},
        port=METRICS_PORT_NAME,
        relabels=(
            *_fixed(topology, cluster, AGENT_JOB),
            Relabel(TIER, tier_name),
            Relabel(POOL, agent.pool),
            Relabel(NODE, sources=(_POD_NODE,)),
        ),
        access=Access(
            "https", SecretReference(secret=f"{agent.certificate.name}/tls.crt"), None, f"{name}.{namespace}"
        ),
        beside=True,
    )


def _program(topology: Topology, cluster: str, noun: str, pool: str, secret: str) -> ScrapeJob:
    namespace = topology.namespace(cluster)
    job = {depot_room.DEPOT_NOUN: DEPOT_JOB, depot_room.DRIVER_NOUN: DRIVER_JOB}[noun]
    name = f"{depot_room.program_name(noun)}.{namespace}"
    return ScrapeJob(
        kind="pods",
        name=fitted_name(topology.name, noun),
        job=job,
        source=noun,
        cluster=cluster,
        namespace=namespace,
        selector={TOPOLOGY_LABEL: topology.name, NOUN_LABEL: noun, NAME_LABEL: noun},
        port=depot_room.METRICS_PORT_NAME,
        relabels=(
            *_fixed(topology, cluster, job),
            Relabel(TIER, topology.pool(pool).tier_name),
            Relabel(POOL, pool),
            Relabel(NODE, sources=(_POD_NODE,)),
        ),
        access=Access("https", SecretReference(secret=f"{secret}/tls.crt"), None, name),
        beside=True,
    )


def _gpus(topology: Topology, monitoring: Monitoring, cluster: str) -> ScrapeJob:
    pools = [placed for placed in topology.pools_in(cluster) if has_cards(placed)]
    tiers = {
        tier: "|".join(sorted(placed.name for placed in pools if placed.tier_name == tier))
        for tier in sorted({placed.tier_name for placed in pools})
    }
    return ScrapeJob(
        kind="pods",
        name=fitted_name(topology.name, "gpus"),
        job=GPU_JOB,
        source="monitoring",
        cluster=cluster,
        namespace=topology.namespace(cluster),
        selector={TOPOLOGY_LABEL: topology.name, NOUN_LABEL: GPU_NOUN},
        port=GPU_PORT_NAME,
        relabels=(
            *_fixed(topology, cluster, GPU_JOB),
            Relabel(POOL, sources=(_POD_LABEL,)),
            *(Relabel(TIER, tier, sources=(_POD_LABEL,), regex=names) for tier, names in tiers.items()),
            Relabel(NODE, sources=(_POD_NODE,)),
        ),
        metric_relabels=tuple(_users(topology, cluster, honor=monitoring.honor_labels)),
        honor_labels=monitoring.honor_labels,
    )


def _users(topology: Topology, cluster: str, *, honor: bool) -> Iterator[Relabel]:
    """Say which service uses a GPU: DCGM names the pod, a Deployment's pods are NAME-HASH-RANDOM.

    The name of a pod has 63 characters at most; of a longer one NAME-HASH- is cut to 58, so the second dash may go.
    The pod and namespace of the exporter itself push DCGM's own labels aside, unless these are honoured.
    """
    pools = {placed.name for placed in topology.pools_in(cluster)}
    names = sorted(name for name, service in topology.services.items() if service.pool in pools)
    if names:
        prefix = "" if honor else "exported_"
        regex = f"{topology.namespace(cluster)};({'|'.join(names)})-[a-z0-9]+-?[a-z0-9]{{5}}"
        yield Relabel(SERVICE, sources=(f"{prefix}namespace", f"{prefix}pod"), regex=regex)


def _fixed(topology: Topology, cluster: str, job: str) -> tuple[Relabel, ...]:
    return (Relabel("job", job), Relabel(TOPOLOGY, topology.name), Relabel(CLUSTER, cluster))
