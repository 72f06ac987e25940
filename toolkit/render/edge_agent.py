"""The daemon on the devices of a pool: one ConfigMap and one DaemonSet per pool × hardware × runtime image.

Devices with settings of their own have them in the same ConfigMap: a file for each configuration that differs, and a
list of who has which. So ten thousand devices are as many objects as their pools are, and no setting that changes
moves a device from one DaemonSet to another, which would end its pod.

Between `device` (the configuration) and the templates kubernetes/{configmap,daemonset}.yaml.j2. The pods hold to the
rules for a day without the cloud (kubeedge/kubeedge issues 3941, 4441, 4416): tolerations without end, no token, no
RuntimeClass, no pull at start, everything on the device's own disk. A model's version is never here, and the update
strategy is OnDelete: nothing that `apply` does restarts a device.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import msgspec

from toolkit.placement import GPU, Placement, fitted_name, place_pool
from toolkit.render.device import (
    BROKER_CA_FOLDER,
    OFFLOAD_FOLDER,
    STATE_FOLDER,
    broker_ca_secret,
    data_folders,
    device_config,
    offload_services,
)
from toolkit.render.lock import Lock
from toolkit.render.metadata import TOPOLOGY_LABEL, Metadata, owner_labels
from toolkit.render.quantities import quantities
from toolkit.render.rendered import RenderedObject
from toolkit.render.scheduling import affinity, tolerations
from toolkit.render.service_secrets import offload_secret
from toolkit.render.template import fill
from toolkit.routes import sync_tasks
from toolkit.topology.topology import PlacedPool, Topology
from toolkit.wire.device_config import OWN_FILES, DeviceConfig, OwnFiles
from toolkit.wire.document import encode_json

CONFIG_FOLDER = "/etc/tiers/config"
CONFIG_FILE = "config.json"
ROUTES_FILE = "routes.json"
"""The SyncTasks that begin on the devices, as a JSON list."""
DEVICE_USER = 65532
"""User and group of the daemon on every device; its folders there belong to it."""
VIDEO_GROUP = 44
"""Group of the GPU's device files on JetPack (Ubuntu's `video`)."""
PREPARE_ANNOTATION = "tiers.dev/prepare"
AGENT_LABEL = "tiers.dev/agent"
"""Name of the DaemonSet; the only label that its selector needs beside the topology's."""

_REQUESTED_CPUS, _REQUESTED_MEMORY = 1, 2**30
_MEMORY_LIMIT_QUARTERS = 3
_MIB = 2**20
_FILE_HASH = 12
"""Characters that tell apart the files of one pool's ConfigMap."""


@dataclass(frozen=True)
class ConfigMapView:
    """What kubernetes/configmap.yaml.j2 names."""

    data: Mapping[str, str]


@dataclass(frozen=True)
class HostFolder:
    """A folder of the device that the pod sees under the same path."""

    name: str
    path: str


@dataclass(frozen=True)
class OffloadMount:
    """What devices need to ask a service: a Secret that may be missing, then they go on alone."""

    name: str
    secret: str
    path: str


@dataclass(frozen=True)
class EdgeAgentView:
    """What kubernetes/daemonset.yaml.j2 names."""

    selector: Mapping[str, str]
    pod_labels: Mapping[str, str]
    image: str
    config: str
    """Name of the ConfigMap."""
    config_folder: str
    config_file: str
    node_selector: Mapping[str, str]
    affinity: Mapping[str, object]
    tolerations: list[dict[str, str]]
    user: int
    groups: list[int]
    host_network: bool
    health_port: int
    """Port of the liveness question on the device's loopback; 0 asks nothing."""
    requests: Mapping[str, str]
    limits: Mapping[str, str]
    folders: tuple[HostFolder, ...]
    ca_secret: str
    ca_folder: str
    offloads: tuple[OffloadMount, ...] = ()


def edge_agents(topology: Topology, lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give ConfigMap and DaemonSet of every edge pool in a cluster.

    Raises:
        RenderError: as `device.device_config`, or a template does not fit.
        UsageError, IntegrityError: a route that begins on the devices cannot be carried out.
    """
    for placed in topology.pools_in(cluster):
        if placed.tier_name == "edge":
            yield from _pool_agents(topology, lock, placed)


def _pool_agents(topology: Topology, lock: Lock, placed: PlacedPool) -> Iterator[RenderedObject]:
    placement = place_pool(topology, placed)
    name = fitted_name("tiers-edge", placed.name, placed.pool.hardware)
    source = f"tiers.edge.pools.{placed.name}"
    labels = owner_labels(topology.name, "pool", placed.name)
    config = device_config(topology, placed)
    data = {
        CONFIG_FILE: _readable(encode_json(config)),
        ROUTES_FILE: _readable(msgspec.json.encode(sync_tasks(topology, "edge"), order="sorted")),
        **_own_files(topology, placed, config),
    }
    metadata = Metadata(name, labels, placement.namespace)
    config_map = fill("kubernetes/configmap.yaml.j2", metadata, config_map=ConfigMapView(data))
    yield RenderedObject(placement.cluster, source, config_map)
    view = _view(topology, lock, placed, placement, config, name)
    prepared = replace(metadata, annotations={PREPARE_ANNOTATION: _prepare(view.folders)})
    yield RenderedObject(
        placement.cluster, source, fill("kubernetes/daemonset.yaml.j2", prepared, agent=view)
    )


def _own_files(topology: Topology, placed: PlacedPool, pools: DeviceConfig) -> dict[str, str]:
    """Give a file for each configuration that differs from the pool's, and the list of who has which."""
    data: dict[str, str] = {}
    files: dict[str, str] = {}
    for alike in topology.settings_of_all(placed):
        config = device_config(topology, placed, alike.settings)
        if config == pools:
            continue
        text = _readable(encode_json(config))
        file = f"config-{hashlib.sha256(text.encode()).hexdigest()[:_FILE_HASH]}.json"
        data[file] = text
        files |= dict.fromkeys(alike.devices, file)
    if files:
        data[OWN_FILES] = _readable(encode_json(OwnFiles(files=dict(sorted(files.items())))))
    return data


def _view(
    topology: Topology,
    lock: Lock,
    placed: PlacedPool,
    placement: Placement,
    config: DeviceConfig,
    name: str,
) -> EdgeAgentView:
    folders = tuple(
        HostFolder(f"host-{number}", path)
        for number, path in enumerate((STATE_FOLDER, *data_folders(placed)))
    )
    selector = {TOPOLOGY_LABEL: topology.name, AGENT_LABEL: name}
    # Clients on the device reach the daemon's loopback only when the pod shares the device's network.
    serves = bool(config.models)
    uses_gpu = bool(placed.gpus_per_node) and placed.hardware.runtime == "tensorrt"
    memory = placed.pool.memory or placed.hardware.memory
    limits = quantities(
        memory=memory.count * _MEMORY_LIMIT_QUARTERS // 4 // _MIB * _MIB if memory else None,
        gpus=1 if uses_gpu else None,
    )
    requests = quantities(cpus=_REQUESTED_CPUS, memory=_REQUESTED_MEMORY)
    return EdgeAgentView(
        selector=selector,
        pod_labels={**owner_labels(topology.name, "pool", placed.name), **selector},
        image=lock.pinned(topology.edge_image(placed)),
        config=name,
        config_folder=CONFIG_FOLDER,
        config_file=f"{CONFIG_FOLDER}/{CONFIG_FILE}",
        node_selector=placement.node_selector,
        affinity=affinity(placement),
        tolerations=tolerations(placement),
        user=DEVICE_USER,
        groups=[VIDEO_GROUP] if uses_gpu and placed.hardware.is_jetson else [],
        host_network=serves,
        health_port=config.serving.port if serves else 0,
        requests={**requests, **({GPU: limits[GPU]} if uses_gpu else {})},
        limits=limits,
        folders=folders,
        ca_secret=broker_ca_secret(topology) if config.broker.ca_file else "",
        ca_folder=BROKER_CA_FOLDER,
        offloads=tuple(
            OffloadMount(f"offload-{number}", offload_secret(service), f"{OFFLOAD_FOLDER}/{service}")
            for number, service in enumerate(offload_services(topology, placed))
        ),
    )


def _prepare(folders: tuple[HostFolder, ...]) -> str:
    """Write the command of a device's set-up that the DaemonSet relies on: its folders, owned by the daemon's user."""
    paths = " ".join(shlex.quote(folder.path) for folder in folders)
    return f"install -d -o {DEVICE_USER} -g {DEVICE_USER} -m 0700 {paths}"


def _readable(document: bytes) -> str:
    """Write a document over several lines, so that `diff` shows which value changed."""
    return msgspec.json.format(document, indent=2).decode() + "\n"
