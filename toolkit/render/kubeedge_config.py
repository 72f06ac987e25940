"""A topology → what its two KubeEdge programs read: cloudcore.yaml of a cluster, edgecore.yaml of a pool's devices.

`tiers render --cloud-config` and `--edge-config` print them. They are files, not objects that apply keeps: CloudCore
writes its whole configuration back into its ConfigMap at each start, and EdgeCore does so with its file. What they
would derive (from the number of nodes) stands here already, so that writing back changes no value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from toolkit.errors import UsageError
from toolkit.placement import EDGE_LABEL, POOL_LABEL, TIER_LABEL
from toolkit.render.edge_agent import ConfigMapView
from toolkit.render.edge_lookup import edge_pool, kubeedge_of
from toolkit.render.kubeedge_objects import all_for_kubeedge
from toolkit.render.kubeedge_switches import switches_for
from toolkit.render.metadata import Metadata
from toolkit.render.rendered import RenderedObject
from toolkit.render.stream import to_yaml
from toolkit.render.template import fill
from toolkit.topology.topology import PlacedPool, Topology

WEBSOCKET_PORT, HTTPS_PORT = 10000, 10002
CONTAINERD = "unix:///run/containerd/containerd.sock"
"""Where the container runtime of a device listens."""
DEFAULT_NODE_LIMIT = 500
"""CloudCore's own; it derives nothing at this number."""
_STEP, _ROOM = 100, 5
"""Limits are whole hundreds, with room for a fifth more devices than there are."""
_MQTT_MODES = {"internal": 0, "both": 1, "external": 2}
_UNNAMED = Metadata("", {})
CLOUDCORE_NAMESPACE, CLOUDCORE_NAME, CLOUDCORE_FILE = "kubeedge", "cloudcore", "cloudcore.yaml"
"""Where CloudCore's chart keeps its configuration."""
_AFTERWARDS = (
    "CloudCore reads it when it starts: kubectl -n kubeedge rollout restart deployment/cloudcore",
    "NodeGroups and jobs on devices also need the chart's controllerManager.enable=true",
)


@dataclass(frozen=True)
class CloudCoreView:
    """What kubeedge/cloudcore.yaml.j2 names."""

    addresses: tuple[str, ...]
    names: tuple[str, ...]
    node_limit: int
    qps: int
    burst: int
    load: Mapping[str, int]
    buffer: Mapping[str, int]
    websocket_port: int
    https_port: int
    tasks: bool
    """Whether jobs for devices (image pulls, upgrades) are rendered."""
    router: bool
    """Whether rules for messages are rendered."""
    dynamic: bool
    """Whether something is rendered that asks the metaServer of a device."""


@dataclass(frozen=True)
class EdgeCoreView:
    """What kubeedge/edgecore.yaml.j2 names."""

    labels: Mapping[str, str]
    node: str
    """Name of one device; empty for a file that all of a pool may take, which go by their host names."""
    cgroup_driver: str
    runtime: str
    """Where the container runtime listens."""
    taint: str
    https: str
    websocket: str
    mqtt_mode: int
    event_bus: bool
    """Whether something needs the device's broker; EdgeCore asks for one without end where it is not there."""
    tasks: bool
    service_bus: bool
    """Whether messages go to an HTTP service on the device."""


def cloud_config(topology: Topology, cluster: str) -> str:
    """Give cloudcore.yaml of a cluster, with comments that say where it goes.

    Raises:
        UsageError: there is no such cluster, or it has no `kubeedge`.
    """
    place = (
        "it goes into the ConfigMap that its chart made:",
        f"  tiers render --cloud-config {cluster} --as-config-map \\",
        "    | kubectl apply --server-side --force-conflicts -f -",
        *_AFTERWARDS,
    )
    return _commented(_title(topology, cluster), place, cloudcore(topology, cluster))


def cloud_config_map(topology: Topology, cluster: str) -> str:
    """Give the ConfigMap kubeedge/cloudcore with cloudcore.yaml in it, for `kubectl apply --server-side`.

    It is printed and never applied by us: CloudCore writes the whole defaulted text back into the one key, so the text
    would differ at each look, and the key is CloudCore's. It carries no labels of ours, so no prune meets it.

    Raises:
        UsageError: there is no such cluster, or it has no `kubeedge`.
    """
    text = to_yaml(RenderedObject("", "", cloudcore(topology, cluster)))
    metadata = Metadata(CLOUDCORE_NAME, {}, CLOUDCORE_NAMESPACE)
    body = fill("kubernetes/configmap.yaml.j2", metadata, config_map=ConfigMapView({CLOUDCORE_FILE: text}))
    return _commented(_title(topology, cluster), _AFTERWARDS, body)


def cloudcore(topology: Topology, cluster: str) -> dict[str, object]:
    """Give cloudcore.yaml of a cluster as a mapping; `tiers doctor` compares the live one with it.

    Raises:
        UsageError: there is no such cluster, or it has no `kubeedge`.
    """
    kubeedge = kubeedge_of(topology, cluster)
    on = switches_for(all_for_kubeedge(topology, cluster)).cloud
    devices = _devices(topology, cluster)
    limit = max(DEFAULT_NODE_LIMIT, -(-(devices + devices // _ROOM) // _STEP) * _STEP)
    view = CloudCoreView(
        addresses=kubeedge.addresses,
        names=kubeedge.names,
        node_limit=limit,
        qps=5 * limit,
        burst=10 * limit,
        load={
            "queryNodeWorkers": limit,
            "createLeaseWorkers": limit,
            "patchNodeWorkers": 100 + limit // 50,
        },
        buffer={"queryNode": 1024 + limit, "createLease": 1024 + limit, "patchNode": 1024 + limit // 2},
        websocket_port=WEBSOCKET_PORT,
        https_port=HTTPS_PORT,
        tasks="taskManager" in on,
        router="router" in on,
        dynamic="dynamicController" in on,
    )
    return fill("kubeedge/cloudcore.yaml.j2", _UNNAMED, cloud=view)


def _title(topology: Topology, cluster: str) -> str:
    version = kubeedge_of(topology, cluster).version
    return (
        f"cloudcore.yaml of cluster {cluster} for {_devices(topology, cluster)} devices, KubeEdge {version}"
    )


def _devices(topology: Topology, cluster: str) -> int:
    return sum(each.pool.nodes.total for each in topology.pools_in(cluster) if each.tier_name == "edge")


def edge_config(topology: Topology, pool: str, device: str = "") -> str:
    """Give edgecore.yaml of a pool's devices, or of one of them, with comments that say how a device joins.

    Raises:
        UsageError: there is no such pool on the edge or no such device, or its cluster has no `kubeedge`.
    """
    placed = edge_pool(topology, pool)
    if device and device not in placed.node_names:
        raise UsageError(
            f"the pool {pool} has no device '{device}'", hint=f"tiers explain tiers.edge.pools.{pool}"
        )
    cluster = topology.cluster_of(placed)
    kubeedge = kubeedge_of(topology, cluster)
    host = dialled(kubeedge.addresses[0])
    on = switches_for(all_for_kubeedge(topology, cluster)).edge
    view = EdgeCoreView(
        labels=node_labels(placed, device),
        node=device,
        cgroup_driver=kubeedge.cgroup_driver,
        runtime=CONTAINERD,
        taint=EDGE_LABEL,
        https=f"https://{host}:{HTTPS_PORT}",
        websocket=f"{host}:{WEBSOCKET_PORT}",
        mqtt_mode=_MQTT_MODES[kubeedge.mqtt],
        event_bus="eventBus" in on or "mqtt" in kubeedge.model_fields_set,
        tasks="taskManager" in on,
        service_bus="serviceBus" in on,
    )
    body = fill("kubeedge/edgecore.yaml.j2", _UNNAMED, edge=view)
    whose = f"{pool}/{device}" if device else pool
    return _commented(
        f"edgecore.yaml of {device or f'the devices of {pool}'}, KubeEdge {kubeedge.version}",
        (
            "it is /etc/kubeedge/config/edgecore.yaml of a device that has joined; then: systemctl restart edgecore",
            f"the script that joins a device and puts this file there: tiers render --join {whose}",
        ),
        body,
    )


def node_labels(placed: PlacedPool, device: str) -> dict[str, str]:
    """Give the labels that a device registers with; without a name those that all of its pool have."""
    return {TIER_LABEL: "edge", POOL_LABEL: placed.name, **placed.labels_of(device)}


def dialled(address: str) -> str:
    """Write an address as it stands before a port: with brackets around one of IPv6."""
    return f"[{address}]" if ":" in address else address


def _commented(title: str, lines: tuple[str, ...], body: Mapping[str, object]) -> str:
    return "".join(f"# {line}\n" for line in (title, *lines)) + to_yaml(RenderedObject("", "", body))
