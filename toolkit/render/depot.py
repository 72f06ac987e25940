"""The depot and the driver of rollouts in the cluster: a Deployment each, with an account and a ConfigMap.

Between topology.depot and `worker_pod`; the pods run `tiers depot` and `tiers rollout run`. Both read a tiers.yaml, so
the ConfigMap has a small one: name, registry and broker, with the files of the pod where tiers.yaml names Secrets. The
operator's key is mounted in the driver alone, key by key, so that a depot that is broken into seals nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from toolkit.placement import cluster_wide_name, place_pool
from toolkit.render.broker import DEFAULT_REVOKED_KEY, SERVICE_TYPES, TcpServiceView, broker_port
from toolkit.render.broker import NAME as BROKER_NAME
from toolkit.render.device import BROKER_CA_FOLDER, DEFAULT_CA_KEY
from toolkit.render.edge_agent import ConfigMapView
from toolkit.render.lock import Lock
from toolkit.render.metadata import Metadata, owner_labels
from toolkit.render.quantities import memory_quantity
from toolkit.render.rendered import RenderedObject
from toolkit.render.storage import REGISTRY, storage_mounts
from toolkit.render.template import fill
from toolkit.render.vertical import fitted_worker
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
from toolkit.routes import place_of
from toolkit.topology.secret import SecretReference
from toolkit.topology.topology import Topology

DEPOT_NOUN, DRIVER_NOUN = "depot", "driver"
PRIORITY = "normal"
"""The entry of `priorities` that they get, when there is one."""
SITE_FOLDER, SITE_FILE = "/etc/tiers/site", "tiers.yaml"
IDENTITY_FOLDER, LOGIN_FOLDER = "/etc/tiers/identity", "/etc/tiers/login"
KEYRING_FOLDER, KEYRING_KEY = "/etc/tiers/keyring", "keyring.json"
KEY_FOLDER, OPERATOR_KEY = "/etc/tiers/key", "operator.pem"
TLS_KEYS = ("tls.crt", "tls.key")
LOGIN_KEY = "password"
ALIVE_FILE = "/tmp/alive"  # noqa: S108 -- an emptyDir of the pod
OLD_SECONDS = 30
"""Age of the sign of life from which a program counts as hanging; it is renewed every five seconds."""
_AGE = f"import os, sys, time; sys.exit(time.time() - os.stat({ALIVE_FILE!r}).st_mtime > {OLD_SECONDS})"
_REQUESTS = {"cpu": "250m", "memory": "256Mi"}
CERTIFICATE_FOLDER = "/etc/tiers/certificate"
METRICS_PORT, METRICS_PORT_NAME = 9109, "metrics"
HTTP_PORT, HTTP_PORT_NAME = 8443, "https"
CLIENTS_FOLDER, REVOKED_FOLDER = "/etc/tiers/clients", "/etc/tiers/revoked"
_EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 -- of a pod; it speaks TLS
_WATCHED = (
    *("--metrics", f"{_EVERY_ADDRESS}:{METRICS_PORT}"),
    *("--tls-certificate", f"{CERTIFICATE_FOLDER}/tls.crt", "--tls-key", f"{CERTIFICATE_FOLDER}/tls.key"),
)


@dataclass(frozen=True)
class _Member:
    """What the depot and the driver have in common."""

    noun: str
    pool: str
    replicas: int
    memory: int
    identity: SecretReference | None
    keyring: SecretReference
    words: tuple[str, ...]
    """Of the command, beside those that both have."""
    mounts: tuple[Mount, ...]
    certificate: SecretReference | None
    """With which it answers Prometheus; None is not asked."""
    vertical: bool = False


def depots(topology: Topology, lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give the depot and the driver of a topology, those whose pool is in the cluster.

    Raises:
        RenderError: a template and a noun do not fit.
    """
    for member in _members(topology):
        if topology.cluster_of(topology.pool(member.pool)) == cluster:
            yield from _objects(topology, lock, cluster, member)


def program_name(noun: str) -> str:
    """Name the Deployment of depot or driver; NAME.NAMESPACE is what its certificate for Prometheus is made for."""
    return f"tiers-{noun}"


def watched_programs(topology: Topology, cluster: str) -> Iterator[tuple[str, str, str]]:
    """Give noun, pool and Secret of depot and driver, those that are in a cluster and answer Prometheus there."""
    for member in _members(topology):
        here = topology.cluster_of(topology.pool(member.pool)) == cluster
        if here and member.certificate and member.certificate.name:
            yield member.noun, member.pool, member.certificate.name


def small_site(topology: Topology, cluster: str, identity: SecretReference | None) -> dict[str, object]:
    """Give the tiers.yaml of a pod: what reaches registry and broker, with files for secrets.

    Args:
        topology: all of tiers.yaml.
        cluster: where the pod runs; a broker of ours in the same cluster is reached by the name of its Service.
        identity: Secret with the certificate for the broker, None when it knows logins.
    """
    broker: dict[str, object] = {"url": _broker_url(topology, cluster), "preset": topology.broker.preset}
    if topology.broker.ca:
        broker["ca"] = {"file": f"{BROKER_CA_FOLDER}/{topology.broker.ca.key or DEFAULT_CA_KEY}"}
    if identity:
        certificate, key = TLS_KEYS
        broker |= {
            "certificate": {"file": f"{IDENTITY_FOLDER}/{certificate}"},
            "key": {"file": f"{IDENTITY_FOLDER}/{key}"},
        }
    elif topology.broker.credentials:
        broker["credentials"] = {"file": f"{LOGIN_FOLDER}/{topology.broker.credentials.key or LOGIN_KEY}"}
    return {
        "version": 1,
        "name": topology.name,
        "registry": _registry(topology),
        "broker": broker,
        "clusters": {"here": {"context": "here", "tiers": ["warm"]}},
        "images": {"edge": topology.images.edge, "jobs": topology.images.jobs},
        "tiers": {"warm": {}},
    }


def _registry(topology: Topology) -> str | dict[str, object]:
    """Give the registry as the tiers.yaml of a pod has it: what is in Secrets is in files there."""
    place = place_of(REGISTRY, topology.registry)
    said: dict[str, object] = {
        "endpoint": place.endpoint,
        "region": place.region,
        "class": place.object_class,
    }
    files = {
        "credentials": place.credentials_file,
        "known_hosts": place.known_hosts_file,
        "ca": place.ca_file,
    }
    said |= {name: {"file": file} for name, file in files.items() if file}
    more = {name: value for name, value in said.items() if value}
    return {"url": place.url, **more} if more else place.url


def _members(topology: Topology) -> Iterator[_Member]:
    depot, driver = topology.depot, topology.driver
    if depot is not None:
        rates = (
            ("--rate", depot.rate),
            ("--device-rate", depot.device_rate),
            ("--broadcast", depot.broadcast),
        )
        options = tuple(word for name, rate in rates if rate for word in (name, str(rate)))
        kept = tuple(storage_mounts([(REGISTRY, topology.registry)], read_only=True))
        clients = depot.http.clients if depot.http else None
        if clients and clients.name:
            key = clients.key or DEFAULT_CA_KEY
            kept = (*kept, secret_mount("clients", clients.name, CLIENTS_FOLDER, key))
            options += ("--http", f"{_EVERY_ADDRESS}:{HTTP_PORT}", "--client-ca", f"{CLIENTS_FOLDER}/{key}")
            revoked = depot.http.revoked if depot.http else None
            if revoked and revoked.name:
                listed = revoked.key or DEFAULT_REVOKED_KEY
                kept = (*kept, secret_mount("revoked", revoked.name, REVOKED_FOLDER, listed))
                options += ("--client-crl", f"{REVOKED_FOLDER}/{listed}")
        memory, words = depot.memory.count, ("depot", *options)
        yield _Member(
            DEPOT_NOUN,
            depot.pool,
            depot.replicas,
            memory,
            depot.identity,
            depot.keyring,
            words,
            kept,
            depot.certificate,
            depot.vertical,
        )
    if driver is not None:
        key = driver.key.key or OPERATOR_KEY
        words = ("rollout", "run", "--key", f"{KEY_FOLDER}/{key}")
        kept = (secret_mount("key", driver.key.name or "", KEY_FOLDER, key),)
        memory = driver.memory.count
        yield _Member(
            DRIVER_NOUN,
            driver.pool,
            driver.replicas,
            memory,
            driver.identity,
            driver.keyring,
            words,
            kept,
            driver.certificate,
        )


def _objects(topology: Topology, lock: Lock, cluster: str, member: _Member) -> Iterator[RenderedObject]:
    placement = place_pool(topology, topology.pool(member.pool))
    labels = owner_labels(topology.name, member.noun, member.noun)
    metadata = Metadata(program_name(member.noun), labels, placement.namespace)
    site = msgspec.json.encode(small_site(topology, cluster, member.identity), order="sorted")
    text = msgspec.json.format(site, indent=2).decode() + "\n"
    yield service_account(cluster, member.noun, metadata)
    body = fill("kubernetes/configmap.yaml.j2", metadata, config_map=ConfigMapView({SITE_FILE: text}))
    yield RenderedObject(cluster, member.noun, body)
    keyring = member.keyring.key or KEYRING_KEY
    known = ("--keyring", f"{KEYRING_FOLDER}/{keyring}", "--alive", ALIVE_FILE)
    watched = member.certificate.name if member.certificate else None
    shown = [secret_mount("certificate", watched, CERTIFICATE_FOLDER, *TLS_KEYS)] if watched else []
    program = Program(
        name=member.noun,
        image=lock.pinned(topology.images.jobs),
        command=(
            *("tiers", *member.words, *known, *(_WATCHED if watched else ())),
            *("-f", f"{SITE_FOLDER}/{SITE_FILE}"),
        ),
        requests=_REQUESTS,
        limits={"memory": memory_quantity(member.memory)},
        mounts=(
            config_mount(metadata.name, SITE_FOLDER),
            secret_mount("keyring", member.keyring.name or "", KEYRING_FOLDER, keyring),
            *_broker_mounts(topology, member),
            *member.mounts,
            *shown,
        ),
        config=text,
        env={"HOME": "/tmp"},  # noqa: S108 -- an emptyDir of the pod; the user has no home
        ports={**({METRICS_PORT_NAME: METRICS_PORT} if watched else {}), **_http_ports(topology, member)},
        probes=_probes(),
    )
    priority = cluster_wide_name(topology, PRIORITY) if PRIORITY in topology.priorities else ""
    view = pod(placement, labels, program, account=metadata.name, priority_class=priority)
    set_of = worker(labels, replicas=member.replicas)
    http = topology.depot.http if topology.depot else None
    if http is not None and _http_ports(topology, member):
        tcp = TcpServiceView(
            type=SERVICE_TYPES[http.expose],
            selector=set_of.selector,
            name=HTTP_PORT_NAME,
            port=HTTP_PORT,
            node_port=http.node_port or 0,
            keep_address=http.expose == "load-balancer",
        )
        yield RenderedObject(cluster, member.noun, fill("kubernetes/tcp_service.yaml.j2", metadata, tcp=tcp))
    body = fill("kubernetes/worker_deployment.yaml.j2", metadata, worker=set_of, pod=view)
    yield RenderedObject(cluster, member.noun, body)
    if member.vertical:
        yield fitted_worker(cluster, member.noun, metadata, member.noun, _REQUESTS, member.memory)


def _http_ports(topology: Topology, member: _Member) -> dict[str, int]:
    """Give the port at which the depot answers devices over HTTP, when it does."""
    http = topology.depot.http if topology.depot else None
    opened = member.noun == DEPOT_NOUN and http is not None and http.clients is not None
    return {HTTP_PORT_NAME: HTTP_PORT} if opened else {}


def _broker_mounts(topology: Topology, member: _Member) -> Iterator[Mount]:
    broker = topology.broker
    if broker.ca and broker.ca.name:
        key = broker.ca.key or DEFAULT_CA_KEY
        yield secret_mount("broker-ca", broker.ca.name, BROKER_CA_FOLDER, key)
    if member.identity and member.identity.name:
        yield secret_mount("identity", member.identity.name, IDENTITY_FOLDER, *TLS_KEYS)
    elif broker.credentials and broker.credentials.name:
        key = broker.credentials.key or LOGIN_KEY
        yield secret_mount("login", broker.credentials.name, LOGIN_FOLDER, key)


def _broker_url(topology: Topology, cluster: str) -> str:
    """Give the broker's address; a broker of ours is reached inside its cluster without going outside."""
    deploy = topology.broker.deploy
    if deploy is None or topology.cluster_of(topology.pool(deploy.pool)) != cluster:
        return topology.broker.url
    scheme = urlsplit(topology.broker.url).scheme
    return f"{scheme}://{BROKER_NAME}.{topology.namespace(cluster)}.svc:{broker_port(topology)}"


def _probes() -> tuple[Probe, ...]:
    """Ask how old the sign of life is. It is not there before the broker has answered."""
    question = {"exec": {"command": ["python", "-c", _AGE]}, "periodSeconds": 20, "timeoutSeconds": 5}
    return (
        Probe("startupProbe", {**question, "periodSeconds": 5, "failureThreshold": 24}),
        Probe("readinessProbe", {**question, "failureThreshold": 1}),
        Probe("livenessProbe", {**question, "failureThreshold": 3}),
    )
