"""What the daemon starts with, on a pool's devices and in a service: Topology → wire.DeviceConfig, without versions.

Stands between Topology and `edge_agent` or `service`, which put the document into a ConfigMap; `tiers-edge run
--config` reads it. Neither a version of a model nor a secret stands in it.
Paths here are paths on the device and inside the pod alike, so that addresses like file:///… mean the same to both.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from toolkit.errors import RenderError
from toolkit.link.presets import OF_BROKER
from toolkit.topology import settings as topology_settings
from toolkit.topology.model import Cache, Model, Shadow
from toolkit.topology.service import Service
from toolkit.topology.settings import Settings
from toolkit.topology.topology import PlacedPool, Topology
from toolkit.wire.device_config import (
    WEEK,
    BrokerConfig,
    CacheConfig,
    DeviceConfig,
    InstallWindow,
    ModelConfig,
    OutboxConfig,
    ServingConfig,
    ShadowConfig,
)
from toolkit.wire.device_settings import SETTINGS_NAME
from toolkit.wire.download import DownloadConfig
from toolkit.wire.offload import OffloadConfig

STATE_FOLDER = "/var/lib/tiers/state"
"""Artifacts, SQLite, identity; on the device's own disk."""
SERVING_SOCKET = f"{STATE_FOLDER}/serving.sock"
IDENTITY_FOLDER = f"{STATE_FOLDER}/identity"
"""What `tiers device enroll` leaves: the device's key, its certificate, and whose seals it trusts."""
BROKER_CA_FOLDER = "/etc/tiers/broker-ca"
DEFAULT_CA_KEY = "ca.crt"
"""Key of the Secret when tiers.yaml names none; cert-manager's name."""
SERVING_FOLDER = "/etc/tiers/serving"
"""Certificate, key and tokens of a service; a Secret, so kubelet renews the files and the daemon reads them again."""
CLIENT_CA_FOLDER = "/etc/tiers/client-ca"
OFFLOAD_FOLDER = "/etc/tiers/offload"
"""A folder for each service that devices offload to: the authority of its certificate, and a token of it."""
_PORTS = {"mqtts": 8883, "mqtt": 1883}


def device_config(topology: Topology, placed: PlacedPool, settings: Settings | None = None) -> DeviceConfig:
    """Write the configuration that a pool's devices start with, or that of devices with other settings.

    Raises:
        RenderError: the broker's authority is kept where no device can read it.
    """
    wanted = settings or topology.settings_of(placed)
    models = topology.models_on(placed.name)
    return DeviceConfig(
        site=topology.name,
        state=STATE_FOLDER,
        keyring_file=f"{IDENTITY_FOLDER}/keyring.json",
        broker=_broker(topology),
        serving=_serving(topology, wanted.doors or topology_settings.Doors()),
        models=tuple(
            _model(name, models[name], placed, models, _offload(topology, name, models[name]))
            for name in sorted(models)
            if name != SETTINGS_NAME
        ),
        disk_budget_bytes=wanted.disk.count,
        outbox=OutboxConfig(max_bytes=wanted.outbox.count),
        memory_budget_bytes=wanted.memory.count if wanted.memory else 0,
        report_seconds=wanted.report.seconds,
        install_window=_window(wanted.install_window),
        trust_clock=wanted.trust_clock,
        hold=wanted.hold,
        log=wanted.log,
        download_bytes_per_second=wanted.download.bytes_per_second if wanted.download else 0,
        download=_download(topology),
    )


def service_config(topology: Topology, name: str) -> DeviceConfig:
    """Write the configuration that the servers of a service start with: to the fleet they are one device of its name.

    Raises:
        KeyError: there is no such service.
        RenderError: the broker's authority is kept where no pod can read it.
    """
    service = topology.services[name]
    placed = topology.pool(service.pool)
    return DeviceConfig(
        site=topology.name,
        device=name,
        state=STATE_FOLDER,
        keyring_file=f"{IDENTITY_FOLDER}/keyring.json",
        broker=_broker(topology),
        serving=ServingConfig(
            host=service.address,
            port=service.port,
            certificate_file=f"{SERVING_FOLDER}/tls.crt",
            key_file=f"{SERVING_FOLDER}/tls.key",
            token_file=f"{SERVING_FOLDER}/token",
            client_ca_file=_client_ca(service),
        ),
        models=tuple(
            _model(model, topology.models[model], placed, service.models) for model in sorted(service.models)
        ),
        download=_download(topology),
    )


def offload_service(topology: Topology, name: str, model: Model) -> str:
    """Name the service that answers for a model's devices: the first by name that serves it on its offload tier.

    Empty where it has no such tier; loading has ruled out a tier without such a service.
    """
    fitting = (
        each
        for each in sorted(topology.services)
        if name in topology.services[each].models
        and topology.pool(topology.services[each].pool).tier_name == model.offload
    )
    return next(fitting, "") if model.offload else ""


def offload_services(topology: Topology, placed: PlacedPool) -> tuple[str, ...]:
    """Name the services that a pool's devices offload to, in order."""
    models = topology.models_on(placed.name)
    return tuple(sorted({offload_service(topology, name, models[name]) for name in models} - {""}))


def _serving(topology: Topology, doors: topology_settings.Doors) -> ServingConfig:
    return ServingConfig(
        unix_socket=SERVING_SOCKET if doors.unix_socket else "",
        client_requests=doors.client_requests or 0,
        client_rate=doors.client_rate or 0.0,
        access_log=doors.access_log,
        mqtt=topology.broker.inference,
    )


def data_folders(placed: PlacedPool) -> tuple[str, ...]:
    """Give the device's folders that its tier's storages lie in, in order of name."""
    return local_folders(*(storage.url for storage in placed.tier.storage))


def local_folders(*urls: str) -> tuple[str, ...]:
    """Give the folders among addresses of storages: /mnt/scratch for file:///mnt/scratch, none for s3 and sftp."""
    parts = [urlsplit(url) for url in urls]
    return tuple(sorted({str(PurePosixPath(part.path)) for part in parts if part.scheme == "file"}))


def broker_ca_secret(topology: Topology) -> str:
    """Name the Kubernetes Secret that holds the broker's authority; empty when it is kept elsewhere or not needed."""
    reference = topology.broker.ca
    return (reference.name or "") if reference else ""


def _broker(topology: Topology) -> BrokerConfig:
    url = urlsplit(topology.broker.url)
    tls = url.scheme == "mqtts"
    # A device proves itself with its certificate; broker.credentials are the login of the cloud's side.
    return BrokerConfig(
        host=url.hostname or "",
        port=url.port or _PORTS[url.scheme],
        tls=tls,
        ca_file=_broker_ca(topology) if tls else "",
        certificate_file=f"{IDENTITY_FOLDER}/device.crt" if tls else "",
        key_file=f"{IDENTITY_FOLDER}/device.key" if tls else "",
        preset=OF_BROKER[topology.broker.preset],
    )


def _download(topology: Topology) -> DownloadConfig:
    """Say how chunks come besides pulling over MQTT; a server of the site shows a certificate of broker.ca."""
    depot = topology.depot
    if depot is None:
        return DownloadConfig()
    url, prefer = (depot.http.url, depot.http.prefer) if depot.http else ("", "auto")
    return DownloadConfig(url=url, prefer=prefer, broadcast=depot.broadcast is not None)


def _broker_ca(topology: Topology) -> str:
    reference = topology.broker.ca
    if reference is None:
        return ""
    if reference.secret:
        return f"{BROKER_CA_FOLDER}/{reference.key or DEFAULT_CA_KEY}"
    if reference.file:
        message = f"broker.ca: devices cannot read {reference.file}, a file of this machine"
    else:
        message = f"broker.ca: devices have no environment variable {reference.env}"
    cure = "kubectl create secret generic broker-ca --from-file=ca.crt=FILE, then broker.ca: {secret: broker-ca/ca.crt}"
    raise RenderError(message, hint=cure)


def _client_ca(service: Service) -> str:
    if service.client_ca is None:
        return ""
    return f"{CLIENT_CA_FOLDER}/{service.client_ca.key or DEFAULT_CA_KEY}"


def _window(window: topology_settings.InstallWindow | None) -> InstallWindow | None:
    if window is None:
        return None
    days = tuple(WEEK[day] for day in window.days.days)
    return InstallWindow(
        opens=str(window.opens), closes=str(window.closes), days=days, timezone=window.timezone
    )


def _offload(topology: Topology, name: str, model: Model) -> OffloadConfig | None:
    found = offload_service(topology, name, model)
    if not found:
        return None
    service = topology.services[found]
    namespace = topology.namespace(topology.cluster_of(topology.pool(service.pool)))
    folder = f"{OFFLOAD_FOLDER}/{found}"
    return OffloadConfig(
        url=service.url or f"https://{found}.{namespace}.svc:{service.port}",
        ca_file=f"{folder}/{DEFAULT_CA_KEY}",
        token_file=f"{folder}/token",
    )


def _model(
    name: str,
    model: Model,
    placed: PlacedPool,
    beside: Collection[str],
    offload: OffloadConfig | None = None,
) -> ModelConfig:
    return ModelConfig(
        name=name,
        engine="onnxruntime" if placed.hardware.runtime == "onnxruntime" else "auto",
        max_batch=model.serving.max_batch,
        queue=model.serving.queue,
        delay_seconds=model.serving.delay.seconds,
        timeout_seconds=model.serving.timeout.seconds,
        load=model.serving.load,
        fallback=model.fallback if model.fallback and model.fallback in beside else "",
        offload=offload,
        cache=_cache(model.serving.cache),
        probation_seconds=model.serving.trial.time.seconds if model.serving.trial else 0.0,
        trial_share=model.serving.trial.share.fraction if model.serving.trial else 1.0,
        shadow=_shadow(model.serving.shadow),
    )


def _shadow(shadow: Shadow | None) -> ShadowConfig | None:
    if shadow is None:
        return None
    return ShadowConfig(
        requests=shadow.requests,
        seconds=shadow.time.seconds,
        max_difference=shadow.max_difference,
        max_latency_ratio=shadow.max_latency_ratio,
    )


def _cache(cache: Cache | None) -> CacheConfig | None:
    if cache is None:
        return None
    return CacheConfig(
        kind=cache.key,
        ttl_seconds=cache.ttl.seconds if cache.ttl else 0.0,
        follow=cache.follow,
        memory_bytes=cache.memory.count,
        disk_bytes=cache.disk.count,
        prefetch=cache.prefetch,
    )
