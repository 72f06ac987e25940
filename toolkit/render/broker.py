"""The broker in the cluster: a Mosquitto with its configuration, its volume, and a Service that devices reach.

Between topology.broker, `broker_topics` and the templates edge/{mosquitto.conf,topics.acl,health.acl} and kubernetes/*;
without Kubernetes edge/mosquitto.service.conf too.
One replica, because Mosquitto knows no cluster; Recreate, because two of them over one volume would spoil it. While it
is away nothing is lost that counts: devices go on serving, and they ask again for what did not arrive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from toolkit.errors import RenderError
from toolkit.link.buffers import BROKER_ENVIRONMENT
from toolkit.link.presets import PRESETS
from toolkit.placement import Placement, cluster_wide_name, place_pool
from toolkit.render.broker_topics import (
    Role,
    device_reads,
    device_writes,
    inference_reads,
    inference_writes,
    roles,
)
from toolkit.render.device import DEFAULT_CA_KEY
from toolkit.render.edge_agent import ConfigMapView
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.quantities import memory_quantity
from toolkit.render.rendered import RenderedObject
from toolkit.render.storage import claim_object
from toolkit.render.template import fill, fill_lines
from toolkit.render.worker_pod import (
    Mount,
    Probe,
    Program,
    config_mount,
    pod,
    secret_mount,
    service_account,
    worker,
)
from toolkit.topology.broker import Deploy
from toolkit.topology.topology import Topology
from toolkit.wire.topics import Topics

NOUN = "broker"
NAME = "tiers-broker"
PRIORITY = "normal"
"""The entry of `priorities` that it gets, when there is one."""
MOSQUITTO_USER = 1883
"""User and group in Mosquitto's own image."""
PORT_NAME = "mqtts"
HEALTH_PORT = 1883
HEALTH_TOPIC = "$SYS/broker/uptime"
CONFIG_FOLDER, DATA_FOLDER = "/mosquitto/config", "/mosquitto/data"
CERTIFICATE_FOLDER, CLIENTS_FOLDER = "/mosquitto/certificate", "/mosquitto/clients"
REVOKED_FOLDER, DEFAULT_REVOKED_KEY = "/mosquitto/revoked", "ca.crl"
CONFIG_FILE, ACL_FILE = "mosquitto.conf", "topics.acl"
SERVICE_FILE = "mosquitto.service.conf"
STANDALONE_DATA = "data"
PACKET_BYTES = 2 * PRESETS["default"].max_payload_bytes
"""Largest packet; room for a frame, its topic and what comes later."""
QUEUE_BYTES = 16 * 2**20
"""What waits for one client at most: twice the largest window of a device."""
_DEFAULT_PORT = 8883
SERVICE_TYPES = {"load-balancer": "LoadBalancer", "node-port": "NodePort", "cluster": "ClusterIP"}
_MEMORY_QUARTERS = 3


@dataclass(frozen=True)
class Places:
    """Where Mosquitto finds its files."""

    config_folder: str
    data_folder: str
    clients_file: str
    """Authority of who may come in."""
    certificate_file: str
    key_file: str
    revoked_file: str = ""
    """Whose certificates hold no longer; empty looks at none."""


@dataclass(frozen=True)
class MosquittoView:
    """What edge/mosquitto.conf.j2 and the two .acl.j2 name."""

    site: str
    port: int
    places: Places
    frame_bytes: int
    packet_bytes: int
    queue_bytes: int
    memory_bytes: int
    health_port: int
    """0 where no kubelet asks."""
    health_topic: str
    device_reads: tuple[str, ...]
    device_writes: tuple[str, ...]
    roles: tuple[Role, ...]
    hidden: tuple[str, ...]
    """What no role gets, even one that may read all that lies above: questions and answers are patients' data."""


@dataclass(frozen=True)
class MallocView:
    """What edge/mosquitto.service.conf.j2 names."""

    settings: tuple[str, ...]
    """NAME=VALUE."""


@dataclass(frozen=True)
class TcpServiceView:
    """What kubernetes/tcp_service.yaml.j2 names."""

    type: str
    selector: Mapping[str, str]
    name: str
    port: int
    node_port: int
    keep_address: bool


def brokers(topology: Topology, lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give the broker of a topology, when it is ours and its pool is in the cluster.

    Raises:
        RenderError: a template and a noun do not fit.
    """
    deploy = topology.broker.deploy
    if deploy is None:
        return
    placement = place_pool(topology, topology.pool(deploy.pool))
    if placement.cluster == cluster:
        yield from _broker(topology, lock, deploy, placement)


def broker_port(topology: Topology) -> int:
    """Give the TCP port that clients of the broker use."""
    url = urlsplit(topology.broker.url)
    return url.port or (_DEFAULT_PORT if url.scheme == "mqtts" else HEALTH_PORT)


def configuration(topology: Topology, deploy: Deploy) -> dict[str, str]:
    """Give the files that Mosquitto reads, by name."""
    revoked = deploy.revoked
    places = Places(
        config_folder=CONFIG_FOLDER,
        data_folder=DATA_FOLDER,
        clients_file=f"{CLIENTS_FOLDER}/{deploy.clients.key or DEFAULT_CA_KEY}",
        certificate_file=f"{CERTIFICATE_FOLDER}/tls.crt",
        key_file=f"{CERTIFICATE_FOLDER}/tls.key",
        revoked_file=f"{REVOKED_FOLDER}/{revoked.key or DEFAULT_REVOKED_KEY}" if revoked else "",
    )
    view = _view(topology, places, deploy.memory.count, HEALTH_PORT)
    return {
        name: fill_lines(f"edge/{name}.j2", broker=view) for name in (CONFIG_FILE, ACL_FILE, "health.acl")
    }


def standalone_configuration(topology: Topology, folder: Path) -> dict[str, str]:
    """Give the files of a Mosquitto that runs without Kubernetes, by name; its certificates lie in `folder` too.

    Args:
        topology: of the site.
        folder: where the files are on the machine of the broker; absolute.

    Raises:
        RenderError: the broker of tiers.yaml is no Mosquitto, or has no encryption.
    """
    broker = topology.broker
    if broker.preset != "mosquitto" or not broker.url.startswith("mqtts:"):
        hint = "broker: {url: mqtts://HOST:8883, preset: mosquitto}"
        raise RenderError(f"{broker.url} ({broker.preset}) is no Mosquitto with encryption", hint=hint)
    places = Places(
        config_folder=str(folder),
        data_folder=str(folder / STANDALONE_DATA),
        clients_file=str(folder / "ca.crt"),
        certificate_file=str(folder / "broker.crt"),
        key_file=str(folder / "broker.key"),
        revoked_file=str(folder / DEFAULT_REVOKED_KEY),
    )
    memory = broker.deploy.memory if broker.deploy else Deploy.model_fields["memory"].default
    view = _view(topology, places, memory.count, 0)
    return {
        CONFIG_FILE: fill_lines(f"edge/{CONFIG_FILE}.j2", broker=view),
        ACL_FILE: fill_lines(f"edge/{ACL_FILE}.j2", broker=view),
        SERVICE_FILE: service_settings(),
    }


def service_settings() -> str:
    """Give a drop-in for a Mosquitto that is a service of systemd: its C library keeps the memory of large messages."""
    settings = tuple(f"{name}={value}" for name, value in BROKER_ENVIRONMENT.items())
    return fill_lines(f"edge/{SERVICE_FILE}.j2", malloc=MallocView(settings))


def _view(topology: Topology, places: Places, memory: int, health_port: int) -> MosquittoView:
    topics, asks = Topics(topology.name), topology.broker.inference
    return MosquittoView(
        site=topology.name,
        port=broker_port(topology),
        places=places,
        frame_bytes=PRESETS["default"].max_payload_bytes,
        packet_bytes=PACKET_BYTES,
        queue_bytes=QUEUE_BYTES,
        memory_bytes=memory * _MEMORY_QUARTERS // 4,
        health_port=health_port,
        health_topic=HEALTH_TOPIC,
        device_reads=device_reads(topics) + (inference_reads(topics) if asks else ()),
        device_writes=device_writes(topics) + (inference_writes(topics) if asks else ()),
        roles=roles(topology.name),
        hidden=(f"{topics.root}/i/#", f"{topics.root}/o/#"),
    )


def _broker(topology: Topology, lock: Lock, deploy: Deploy, placement: Placement) -> Iterator[RenderedObject]:
    source, labels = "broker.deploy", owner_labels(topology.name, NOUN, NOUN)
    cluster, metadata = placement.cluster, Metadata(NAME, labels, placement.namespace)
    files = configuration(topology, deploy)
    yield service_account(cluster, source, metadata)
    yield claim_object(topology, cluster, source, metadata, deploy.storage, "ReadWriteOnce")
    body = fill("kubernetes/configmap.yaml.j2", metadata, config_map=ConfigMapView(files))
    yield RenderedObject(cluster, source, body)
    set_of = worker(labels, alone=True)
    tcp = TcpServiceView(
        type=SERVICE_TYPES[deploy.expose],
        selector=set_of.selector,
        name=PORT_NAME,
        port=broker_port(topology),
        node_port=deploy.node_port or 0,
        keep_address=deploy.expose == "load-balancer",
    )
    yield RenderedObject(cluster, source, fill("kubernetes/tcp_service.yaml.j2", metadata, tcp=tcp))
    view = pod(
        placement,
        labels,
        _program(topology, lock, deploy, "".join(files.values())),
        account=NAME,
        priority_class=cluster_wide_name(topology, PRIORITY) if PRIORITY in topology.priorities else "",
    )
    body = fill("kubernetes/worker_deployment.yaml.j2", metadata, worker=set_of, pod=view)
    yield RenderedObject(cluster, source, body)


def _program(topology: Topology, lock: Lock, deploy: Deploy, config: str) -> Program:
    # A retained topic that comes at once; the broker answers it from its only loop.
    asked = [
        "mosquitto_sub",
        "-h",
        "127.0.0.1",
        "-p",
        str(HEALTH_PORT),
        "-t",
        HEALTH_TOPIC,
        "-C",
        "1",
        "-W",
        "5",
    ]
    question = {"exec": {"command": asked}, "periodSeconds": 15, "timeoutSeconds": 8}
    memory = memory_quantity(deploy.memory.count)
    return Program(
        name="mosquitto",
        image=lock.pinned(deploy.image),
        command=("mosquitto", "-c", f"{CONFIG_FOLDER}/mosquitto.conf"),
        requests={"cpu": "250m", "memory": memory},
        limits={"memory": memory},
        mounts=(
            config_mount(NAME, CONFIG_FOLDER),
            secret_mount("certificate", deploy.certificate.name or "", CERTIFICATE_FOLDER),
            secret_mount("clients", deploy.clients.name or "", CLIENTS_FOLDER),
            *(
                (secret_mount("revoked", deploy.revoked.name or "", REVOKED_FOLDER),)
                if deploy.revoked
                else ()
            ),
            Mount("data", DATA_FOLDER, "persistentVolumeClaim", {"claimName": NAME}, read_only=False),
        ),
        config=config,
        ports={PORT_NAME: broker_port(topology)},
        probes=(
            Probe("startupProbe", {**question, "periodSeconds": 5, "failureThreshold": 60}),
            Probe("readinessProbe", {**question, "failureThreshold": 2}),
            Probe("livenessProbe", {**question, "failureThreshold": 4}),
        ),
        user=MOSQUITTO_USER,
    )
