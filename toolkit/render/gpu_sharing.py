"""`gpu` and `device_plugin` of a pool → what offers its GPUs to Kubernetes: whole, in time slices, by MPS or as vGPUs.

Between `placement` and the templates kubernetes/deviceplugin*.yaml.j2; `gpu_request` gives the names that pods ask for.

timeslice, mps, and whole GPUs: NVIDIA's k8s-device-plugin with its configuration in a ConfigMap; mps also needs its
control daemon on each machine (github.com/NVIDIA/k8s-device-plugin, README, sharing). vgpu: Volcano's plugin
(github.com/Project-HAMi/volcano-vgpu-device-plugin), which writes annotations of pods and nodes and so needs rights;
the scheduler needs the plugin deviceshare (`scheduler`). Two plugins on one machine would offer the same GPU twice.

On devices there is no token of a ServiceAccount, because a pod with one does not start again offline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.placement import GPU, Placement, cluster_wide_name, fitted_name, place_pool
from toolkit.render.edge_agent import ConfigMapView
from toolkit.render.lock import Lock
from toolkit.render.metadata import NAME_LABEL, NOUN_LABEL, TOPOLOGY_LABEL, Metadata, owner_labels
from toolkit.render.rendered import RenderedObject
from toolkit.render.scheduling import affinity, tolerations
from toolkit.render.stream import document_to_yaml
from toolkit.render.template import fill
from toolkit.topology.topology import PlacedPool, Topology

NVIDIA_PLUGIN = "nvcr.io/nvidia/k8s-device-plugin:v0.17.1"
"""Known to work on JetPack 6 (NVIDIA/gpu-operator#1453) and on servers; with MPS since 0.15."""
VGPU_PLUGIN = "docker.io/projecthami/volcano-vgpu-device-plugin:v1.9.0"
NOUN = "device-plugin"
CONFIG_FOLDER, CONFIG_FILE = "/config", "config.yaml"
MPS_ROOT = "/run/nvidia/mps"
"""Folder of the machine in which the control daemon, the plugin and its clients meet."""


@dataclass(frozen=True)
class DevicePluginView:
    """What kubernetes/deviceplugin_daemonset.yaml.j2, its mps form and its vgpu form name."""

    selector: Mapping[str, str]
    pod_labels: Mapping[str, str]
    image: str
    config: str
    """Name of the ConfigMap; empty without one."""
    config_folder: str
    config_file: str
    mps_root: str
    """Empty without MPS."""
    node_selector: Mapping[str, str]
    affinity: Mapping[str, object]
    tolerations: list[dict[str, str]]
    shares: int
    account: str
    """ServiceAccount of the vGPU plugin."""
    update: str
    """How its pods are replaced: on devices only when somebody says so."""


@dataclass(frozen=True)
class BindingView:
    """What kubernetes/deviceplugin_clusterrolebinding.yaml.j2 names."""

    role: str
    account: str
    namespace: str


def device_plugins(topology: Topology, lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give the device plugin of each pool that shares its GPUs or asks for one.

    Raises:
        RenderError: a template does not fit.
    """
    for placed in topology.pools_in(cluster):
        sharing, asked = placed.pool.gpu, placed.pool.device_plugin
        if asked is False or (sharing is None and not asked):
            continue
        placement = place_pool(topology, placed)
        if sharing is not None and sharing.share == "vgpu":
            yield from _vgpu(topology, lock, placed, placement)
        else:
            yield from _nvidia(topology, lock, placed, placement)


def sharing_config(placed: PlacedPool) -> dict[str, object]:
    """Give the configuration of NVIDIA's plugin for a pool."""
    sharing = placed.pool.gpu
    config: dict[str, object] = {"version": "v1", "flags": {"migStrategy": "none"}}
    if sharing is None:
        return config
    named: dict[str, object] = {
        "renameByDefault": True,
        "resources": [{"name": GPU, "replicas": sharing.replicas}],
    }
    if sharing.share == "timeslice":
        # Two shares may be of one GPU, so a second one gives nothing; MPS refuses it by itself.
        return config | {"sharing": {"timeSlicing": {"failRequestsGreaterThanOne": True, **named}}}
    return config | {"sharing": {"mps": named}}


def _nvidia(
    topology: Topology, lock: Lock, placed: PlacedPool, placement: Placement
) -> Iterator[RenderedObject]:
    key = "gpu" if placed.pool.gpu else "device_plugin"
    source = f"tiers.{placed.tier_name}.pools.{placed.name}.{key}"
    name = fitted_name("tiers-gpus", placed.name)
    mps = placed.pool.gpu is not None and placed.pool.gpu.share == "mps"
    metadata = Metadata(name, owner_labels(topology.name, NOUN, placed.name), placement.namespace)
    text = document_to_yaml(sharing_config(placed))
    config = fill("kubernetes/configmap.yaml.j2", metadata, config_map=ConfigMapView({CONFIG_FILE: text}))
    yield RenderedObject(placement.cluster, source, config)
    view = _view(topology, placed, placement, NOUN, lock.pinned(NVIDIA_PLUGIN), config=name, mps=mps)
    body = fill("kubernetes/deviceplugin_daemonset.yaml.j2", metadata, plugin=view)
    yield RenderedObject(placement.cluster, source, body)
    if mps:
        daemon = Metadata(
            fitted_name("tiers-mps", placed.name),
            owner_labels(topology.name, "mps", placed.name),
            placement.namespace,
        )
        view = _view(topology, placed, placement, "mps", lock.pinned(NVIDIA_PLUGIN), config=name, mps=True)
        yield RenderedObject(
            placement.cluster,
            source,
            fill("kubernetes/deviceplugin_mps_daemonset.yaml.j2", daemon, plugin=view),
        )


def _vgpu(
    topology: Topology, lock: Lock, placed: PlacedPool, placement: Placement
) -> Iterator[RenderedObject]:
    source = f"tiers.{placed.tier_name}.pools.{placed.name}.gpu"
    labels = owner_labels(topology.name, NOUN, placed.name)
    name = fitted_name("tiers-vgpus", placed.name)
    role = cluster_wide_name(topology, name)
    metadata, wide = Metadata(name, labels, placement.namespace), Metadata(role, labels)
    binding = BindingView(role, name, placement.namespace)
    view = _view(topology, placed, placement, NOUN, lock.pinned(VGPU_PLUGIN), account=name)
    for body in (
        fill("kubernetes/serviceaccount.yaml.j2", metadata),
        fill("kubernetes/deviceplugin_clusterrole.yaml.j2", wide),
        fill("kubernetes/deviceplugin_clusterrolebinding.yaml.j2", wide, binding=binding),
        fill("kubernetes/deviceplugin_vgpu_daemonset.yaml.j2", metadata, plugin=view),
    ):
        yield RenderedObject(placement.cluster, source, body)


def _view(
    topology: Topology,
    placed: PlacedPool,
    placement: Placement,
    noun: str,
    image: str,
    *,
    config: str = "",
    mps: bool = False,
    account: str = "",
) -> DevicePluginView:
    return DevicePluginView(
        selector={TOPOLOGY_LABEL: topology.name, NOUN_LABEL: noun, NAME_LABEL: placed.name},
        pod_labels=owner_labels(topology.name, noun, placed.name),
        image=image,
        config=config,
        config_folder=CONFIG_FOLDER,
        config_file=f"{CONFIG_FOLDER}/{CONFIG_FILE}",
        mps_root=MPS_ROOT if mps else "",
        node_selector=placement.node_selector,
        affinity=affinity(placement),
        tolerations=tolerations(placement),
        shares=placed.gpu_shares,
        account=account,
        update="OnDelete" if placed.tier_name == "edge" else "RollingUpdate",
    )
