"""A service: the edge daemon on servers, as a Deployment with account, ConfigMap and Service.

Between `placement`, `device` (the configuration) and the templates
kubernetes/{serviceaccount,configmap,deployment,service,poddisruptionbudget}.yaml.j2; `service_secrets` says which
Secrets have to be there.

Volcano places the servers too: two schedulers that each believe the same GPUs to be free give them away twice. Servers
stand beside each other, because one GPU taken on a machine keeps every gang away that wants all eight: six servers took
all of six empty machines, with either scheduler and with binpack, whose points those for spreading outweigh; with the
wish of `scheduling.beside` they took one or two (docs/cluster-tests.md). Nothing may take a server's place
(`volcano.sh/preemptable`): the queue `default` deserves nothing, so reclaim would end servers before anything else.

To the fleet all servers of a service are one device with the service's name and the identity in the Secret
NAME-identity: pods come and go, and a version for one of them alone would be no use. They follow the rollouts of their
models: when all devices have a version, the servers get it too.

A server listens on the pod's address, so it speaks TLS and wants a token, both from the Secret NAME-serving. The
annotation `tiers.dev/prepare` says how both are made; nothing of them is ever rendered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import msgspec

from toolkit.placement import Placement, fitted_name, place_service, server_size
from toolkit.render.device import (
    BROKER_CA_FOLDER,
    CLIENT_CA_FOLDER,
    IDENTITY_FOLDER,
    SERVING_FOLDER,
    STATE_FOLDER,
    broker_ca_secret,
    service_config,
)
from toolkit.render.edge_agent import (
    CONFIG_FILE,
    CONFIG_FOLDER,
    DEVICE_USER,
    PREPARE_ANNOTATION,
    ConfigMapView,
)
from toolkit.render.gpu_request import gpu_request, mps_limit
from toolkit.render.lock import Lock
from toolkit.render.metadata import NAME_LABEL, NOUN_LABEL, TOPOLOGY_LABEL, Metadata, owner_labels
from toolkit.render.quantities import memory_quantity, quantities
from toolkit.render.rendered import RenderedObject
from toolkit.render.scheduling import affinity, beside, tolerations
from toolkit.render.service_secrets import identity_secret, prepare, serving_secret
from toolkit.render.template import fill
from toolkit.render.worker_pod import DIGEST_ANNOTATION, service_account
from toolkit.topology.topology import Topology
from toolkit.wire.document import encode_json

NOUN = "service"
KEPT_ANNOTATION = "volcano.sh/preemptable"
"""Of a pod: `false` keeps Volcano's preempt and reclaim away from it."""
FEWEST_GUARDED = 2
"""Servers from which on a drain has to wait for one to be ready again. With one alone a budget would either let it go
and so do nothing, or keep every drain of its machine waiting for ever."""
START_TRIES = 60
"""Questions of ten seconds each that a server may leave open while it starts."""


@dataclass(frozen=True)
class ServiceView:
    """What kubernetes/deployment.yaml.j2 and kubernetes/service.yaml.j2 name."""

    replicas: int | None
    """None: an autoscaler decides, and applying must not take back what it has decided."""
    selector: Mapping[str, str]
    pod_labels: Mapping[str, str]
    pod_annotations: Mapping[str, str]
    priority_class: str
    image: str
    account: str
    config: str
    """Name of the ConfigMap."""
    config_folder: str
    config_file: str
    node_selector: Mapping[str, str]
    affinity: Mapping[str, object]
    tolerations: list[dict[str, str]]
    user: int
    port: int
    start_tries: int
    requests: Mapping[str, str]
    limits: Mapping[str, str]
    mps_limit: str
    """What a client of MPS may use of a GPU's memory; empty without a limit of its own."""
    shared_memory: str
    state_folder: str
    identity_secret: str
    identity_folder: str
    serving_secret: str
    serving_folder: str
    client_ca_secret: str
    client_ca_folder: str
    ca_secret: str
    ca_folder: str


def services(topology: Topology, lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give account, ConfigMap, Service, Deployment and budget of each service whose pool is in the cluster.

    Raises:
        RenderError: as `device.service_config`, or a template does not fit.
    """
    for name in topology.services:
        placement = place_service(topology, name)
        if placement.cluster == cluster:
            yield from _service(topology, lock, name, placement)


def _service(topology: Topology, lock: Lock, name: str, placement: Placement) -> Iterator[RenderedObject]:
    source = f"services.{name}"
    config = msgspec.json.format(encode_json(service_config(topology, name)), indent=2).decode() + "\n"
    view = _view(topology, lock, name, placement, hashlib.sha256(config.encode()).hexdigest())
    metadata = Metadata(name, owner_labels(topology.name, NOUN, name), placement.namespace)
    yield service_account(placement.cluster, source, replace(metadata, name=view.account))
    config_map = fill(
        "kubernetes/configmap.yaml.j2",
        replace(metadata, name=view.config),
        config_map=ConfigMapView({CONFIG_FILE: config}),
    )
    yield RenderedObject(placement.cluster, source, config_map)
    yield RenderedObject(
        placement.cluster, source, fill("kubernetes/service.yaml.j2", metadata, service=view)
    )
    prepared = replace(metadata, annotations={PREPARE_ANNOTATION: prepare(placement.namespace, name)})
    deployment = fill("kubernetes/deployment.yaml.j2", prepared, service=view)
    yield RenderedObject(placement.cluster, source, deployment)
    if topology.services[name].replicas.min >= FEWEST_GUARDED:
        budget = fill("kubernetes/poddisruptionbudget.yaml.j2", metadata, service=view)
        yield RenderedObject(placement.cluster, source, budget)


def _view(topology: Topology, lock: Lock, name: str, placement: Placement, digest: str) -> ServiceView:
    service, size = topology.services[name], server_size(topology, name)
    selector = {TOPOLOGY_LABEL: topology.name, NOUN_LABEL: NOUN, NAME_LABEL: name}
    tls = topology.broker.url.startswith("mqtts:")
    placed = topology.pool(service.pool)
    gpus = gpu_request(placed, size.gpus)
    return ServiceView(
        replicas=None if service.scale else service.replicas.min,
        selector=selector,
        pod_labels=owner_labels(topology.name, NOUN, name),
        # The daemon reads its configuration once, so another one is another pod; models and secrets need none.
        pod_annotations={KEPT_ANNOTATION: "false", DIGEST_ANNOTATION: digest},
        priority_class=placement.priority_class,
        image=lock.pinned(topology.edge_image(topology.pool(service.pool))),
        account=fitted_name("tiers-service", name),
        config=fitted_name("tiers-service", name),
        config_folder=CONFIG_FOLDER,
        config_file=f"{CONFIG_FOLDER}/{CONFIG_FILE}",
        node_selector=placement.node_selector,
        affinity=affinity(placement) | beside({TOPOLOGY_LABEL: topology.name, NOUN_LABEL: NOUN}),
        tolerations=tolerations(placement),
        user=DEVICE_USER,
        port=service.port,
        start_tries=START_TRIES,
        requests=quantities(cpus=size.cpus, memory=size.memory) | gpus,
        limits=quantities(memory=size.memory) | gpus,
        mps_limit=mps_limit(placed) if size.gpus else "",
        shared_memory=memory_quantity(size.shared_memory),
        state_folder=STATE_FOLDER,
        identity_secret=identity_secret(name),
        identity_folder=IDENTITY_FOLDER,
        serving_secret=serving_secret(name),
        serving_folder=SERVING_FOLDER,
        client_ca_secret=(service.client_ca.name or "") if service.client_ca else "",
        client_ca_folder=CLIENT_CA_FOLDER,
        ca_secret=broker_ca_secret(topology) if tls else "",
        ca_folder=BROKER_CA_FOLDER,
    )
