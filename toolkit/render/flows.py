"""Which connections the parts of a site make: who calls whom, on which TCP port. Topology → Flows.

Comes before `network_policies`, which closes everything else; a flow that is missing here does not work there. A part
is known by the labels of its pods. What stands outside the cluster is known by networks, because a policy cannot name
a host; where tiers.yaml names none, any address is meant, on that port alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from toolkit.placement import place_service
from toolkit.render import broker as broker_room
from toolkit.render import depot as depot_room
from toolkit.render import lifecycle as lifecycle_room
from toolkit.render import service as service_room
from toolkit.render import sync_agents as agent_room
from toolkit.render.gpu_sharing import NOUN as PLUGIN_NOUN
from toolkit.render.metadata import NAME_LABEL, NOUN_LABEL, TOPOLOGY_LABEL
from toolkit.render.monitoring.scrape import GPU_NOUN, GPU_PORT, has_cards
from toolkit.render.staging import tiers_of_data
from toolkit.routes import sync_tasks
from toolkit.topology.names import TierName
from toolkit.topology.network import Policies
from toolkit.topology.storage import Storage
from toolkit.topology.topology import Topology

JOB_NOUN, POOL_NOUN = "job", "pool"
_STORAGE_PORTS = {"s3": 443, "sftp": 22}
_API_SERVER_PORTS = (443, 6443)
_WEB_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Part:
    """Pods of ours in the namespace: those of one noun, or of all that have a kind of noun."""

    name: str
    labels: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Networks:
    """Whoever has an address in one of these networks; none means every address, inside and outside."""

    cidrs: tuple[str, ...]


@dataclass(frozen=True)
class Namespace:
    """All pods of another namespace."""

    name: str


@dataclass(frozen=True)
class Flow:
    """One end calls the other; without ports it may use any."""

    source: Part | Networks | Namespace
    target: Part | Networks
    ports: tuple[int, ...]


@dataclass(frozen=True)
class _Site:
    topology: Topology
    cluster: str
    policies: Policies

    def part(self, noun: str, name: str = "") -> Part:
        labels = [(TOPOLOGY_LABEL, self.topology.name), (NOUN_LABEL, noun)]
        said = "-".join(dict.fromkeys(filter(None, (noun, name))))
        return Part(said, (*labels, *([(NAME_LABEL, name)] if name else [])))

    def is_here(self, pool: str) -> bool:
        return self.topology.cluster_of(self.topology.pool(pool)) == self.cluster


def flows(topology: Topology, cluster: str, policies: Policies) -> tuple[Flow, ...]:
    """Give every flow that begins or ends in our namespace of a cluster, DNS apart.

    Raises:
        UsageError, IntegrityError: a route cannot be carried out, see `routes.sync_task`.
    """
    site = _Site(topology, cluster, policies)
    found = [
        *_to_broker(site),
        *_to_depot(site),
        *_to_services(site),
        *_to_metrics(site),
        *_to_storages(site),
        *_to_api_server(site),
        *_in_gangs(site),
    ]
    return tuple(dict.fromkeys(found))


def _to_broker(site: _Site) -> Iterator[Flow]:
    topology, port = site.topology, (broker_room.broker_port(site.topology),)
    deploy = topology.broker.deploy
    here = deploy is not None and site.is_here(deploy.pool)
    broker = site.part(broker_room.NOUN, broker_room.NOUN) if here else Networks(site.policies.outside)
    for talker in (*_services(site), *_programs(site), *_devices(site)):
        yield Flow(talker, broker, port)
    if deploy is not None and isinstance(broker, Part) and deploy.expose != "cluster":
        yield Flow(Networks(site.policies.devices), broker, port)


def _to_depot(site: _Site) -> Iterator[Flow]:
    """Devices that fetch over HTTP, and servers of services, which are devices to the fleet."""
    depot = site.topology.depot
    if depot is None or depot.http is None or not site.is_here(depot.pool):
        return
    if depot.http.clients is None:
        return
    part, port = site.part(depot_room.DEPOT_NOUN, depot_room.DEPOT_NOUN), (depot_room.HTTP_PORT,)
    if depot.http.expose != "cluster":
        yield Flow(Networks(site.policies.devices), part, port)
    for talker in (*_services(site), *_devices(site)):
        yield Flow(talker, part, port)


def _to_services(site: _Site) -> Iterator[Flow]:
    for name, service in site.topology.services.items():
        if site.is_here(service.pool):
            part = site.part(service_room.NOUN, name)
            yield Flow(Networks(site.policies.clients), part, (service.port,))


def _to_metrics(site: _Site) -> Iterator[Flow]:
    topology, prometheus = site.topology, Namespace(site.policies.monitoring)
    if topology.monitoring is None:
        return
    for name, service in topology.services.items():
        if site.is_here(service.pool):
            yield Flow(prometheus, site.part(service_room.NOUN, name), (service.port,))
    for tier_name, tier in topology.tiers.items():
        watched = tier.agent and tier.agent.certificate and site.is_here(tier.agent.pool)
        if watched and agent_room.always_runs(topology, tier_name):
            yield Flow(prometheus, site.part(agent_room.NOUN, tier_name), (agent_room.METRICS_PORT,))
    for noun, _, _ in depot_room.watched_programs(topology, site.cluster):
        yield Flow(prometheus, site.part(noun, noun), (depot_room.METRICS_PORT,))
    if topology.monitoring.asks_pods and any(has_cards(placed) for placed in topology.pools_in(site.cluster)):
        yield Flow(prometheus, site.part(GPU_NOUN), (GPU_PORT,))


def _to_storages(site: _Site) -> Iterator[Flow]:
    topology = site.topology
    for tier_name, tier in topology.tiers.items():
        if tier.agent is not None and site.is_here(tier.agent.pool):
            yield from _calls(site, site.part(agent_room.NOUN, tier_name), _of_routes(topology, tier_name))
    rules = topology.lifecycle
    if rules.pool is not None and site.is_here(rules.pool):
        every = [
            storage for name, tier in topology.tiers.items() if name != "edge" for storage in tier.storage
        ]
        yield from _calls(site, site.part(lifecycle_room.NOUN, lifecycle_room.NOUN), every)
    for device in _devices(site):
        yield from _calls(site, device, _of_routes(topology, "edge"))
    if topology.depot is not None and site.is_here(topology.depot.pool):
        part = site.part(depot_room.DEPOT_NOUN, depot_room.DEPOT_NOUN)
        yield from _calls(site, part, [topology.registry])
    for name, job in topology.jobs.items():
        if site.is_here(job.pool):
            tiers = tiers_of_data(topology, name)
            first = [storage for tier in tiers for storage in topology.tiers[tier].storage[:1]]
            yield from _calls(site, site.part(JOB_NOUN, name), first)


def _in_gangs(site: _Site) -> Iterator[Flow]:
    """Workers of one job: the rendezvous, and NCCL on ports that it chooses itself."""
    for name, job in site.topology.jobs.items():
        if site.is_here(job.pool):
            part = site.part(JOB_NOUN, name)
            yield Flow(part, part, ())


def _to_api_server(site: _Site) -> Iterator[Flow]:
    """Volcano's vGPU plugin writes annotations. Where the API server listens no policy can say but by its port."""
    for placed in site.topology.pools_in(site.cluster):
        if placed.pool.gpu is not None and placed.pool.gpu.share == "vgpu":
            yield Flow(site.part(PLUGIN_NOUN, placed.name), Networks(()), _API_SERVER_PORTS)


def _calls(site: _Site, part: Part, storages: Iterable[Storage]) -> Iterator[Flow]:
    ports = {port for storage in storages if (port := storage_port(storage))}
    for port in sorted(ports):
        yield Flow(part, Networks(site.policies.outside), (port,))


def storage_port(storage: Storage) -> int:
    """Give the TCP port of a storage; 0 for a folder, which no connection of a pod reaches."""
    url = urlsplit(storage.url)
    if url.scheme == "s3" and storage.endpoint:
        endpoint = urlsplit(storage.endpoint)
        return endpoint.port or _WEB_PORTS[endpoint.scheme]
    if url.scheme == "sftp" and url.port:
        return url.port
    return _STORAGE_PORTS.get(url.scheme, 0)


def _of_routes(topology: Topology, tier: TierName) -> list[Storage]:
    tasks = sync_tasks(topology, tier)
    wanted = {(place.tier, place.url) for task in tasks for place in (task.source, *task.targets)}
    return [
        storage
        for name, each in topology.tiers.items()
        for storage in each.storage
        if (name, storage.url) in wanted
    ]


def _services(site: _Site) -> Iterator[Part]:
    for name in site.topology.services:
        if place_service(site.topology, name).cluster == site.cluster:
            yield site.part(service_room.NOUN, name)


def _programs(site: _Site) -> Iterator[Part]:
    for noun, program in (
        (depot_room.DEPOT_NOUN, site.topology.depot),
        (depot_room.DRIVER_NOUN, site.topology.driver),
    ):
        if program is not None and site.is_here(program.pool):
            yield site.part(noun, noun)


def _devices(site: _Site) -> Iterator[Part]:
    """Give the daemons of edge pools that have a network of their own: those that serve models share the device's."""
    for placed in site.topology.pools_in(site.cluster):
        if placed.tier_name == "edge" and not site.topology.models_on(placed.name):
            yield site.part(POOL_NOUN, placed.name)
