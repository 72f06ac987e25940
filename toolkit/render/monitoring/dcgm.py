"""NVIDIA's DCGM exporter on the machines of each GPU pool, with exactly the metrics that rules and dashboards read.

Between `series` (the CSV is made of it, so that no rule waits for a metric that is switched off: ECC, violations and
more are off in the exporter's own file) and the templates kubernetes/configmap and monitoring/daemonset. A Jetson has
no DCGM; its daemon gives the same figures.
Profiling (DCGM_FI_PROF_*) needs SYS_ADMIN, so its one metric is read only where a service scales by its GPUs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from toolkit.placement import fitted_name, place_pool
from toolkit.render.edge_agent import ConfigMapView
from toolkit.render.lock import Lock
from toolkit.render.metadata import NAME_LABEL, NOUN_LABEL, TOPOLOGY_LABEL, Metadata, owner_labels
from toolkit.render.monitoring.scrape import GPU_NOUN, GPU_PORT, GPU_PORT_NAME, has_cards
from toolkit.render.monitoring.series import DCGM, SERIES
from toolkit.render.quantities import quantities
from toolkit.render.rendered import RenderedObject
from toolkit.render.scheduling import affinity, tolerations
from toolkit.render.template import fill
from toolkit.topology.topology import PlacedPool, Topology

CSV_FILE: Final = "metrics.csv"
CSV_FOLDER: Final = "/etc/tiers/dcgm"
PROFILING: Final = "DCGM_FI_PROF_"
_MEMORY: Final = 512 * 2**20


@dataclass(frozen=True)
class DcgmView:
    """What monitoring/daemonset.yaml.j2 names."""

    selector: Mapping[str, str]
    pod_labels: Mapping[str, str]
    image: str
    config: str
    """Name of the ConfigMap."""
    csv_folder: str
    csv_file: str
    node_selector: Mapping[str, str]
    affinity: Mapping[str, object]
    tolerations: list[dict[str, str]]
    port: int
    port_name: str
    listen: str
    requests: Mapping[str, str]
    limits: Mapping[str, str]
    capabilities: tuple[str, ...]


def metrics_csv(*, profiling: bool) -> str:
    """Write the exporter's list of metrics: `NAME, type, help` a line; commas would begin a new column."""
    rows = (
        f"{each.name}, {each.kind}, {each.explains.replace(',', '')}"
        for each in SERIES
        if each.source == DCGM and (profiling or not each.name.startswith(PROFILING))
    )
    return "\n".join(rows) + "\n"


def exporters(topology: Topology, lock: Lock, cluster: str) -> Iterator[RenderedObject]:
    """Give the ConfigMap with the CSV and one DaemonSet for each pool of GPU servers in a cluster."""
    pools = [placed for placed in topology.pools_in(cluster) if has_cards(placed)]
    if not pools or topology.monitoring is None:
        return
    image = lock.pinned(topology.monitoring.exporter)
    profiling = any(service.scale and service.scale.gpu for service in topology.services.values())
    name = fitted_name("tiers", "dcgm", "metrics")
    metadata = Metadata(
        name, owner_labels(topology.name, GPU_NOUN, "monitoring"), topology.namespace(cluster)
    )
    config_map = fill(
        "kubernetes/configmap.yaml.j2",
        metadata,
        config_map=ConfigMapView({CSV_FILE: metrics_csv(profiling=profiling)}),
    )
    yield RenderedObject(cluster, "monitoring", config_map)
    for placed in pools:
        yield _exporter(topology, placed, image, name, profiling=profiling)


def _exporter(
    topology: Topology, placed: PlacedPool, image: str, config: str, *, profiling: bool
) -> RenderedObject:
    placement = place_pool(topology, placed)
    labels = owner_labels(topology.name, GPU_NOUN, placed.name)
    view = DcgmView(
        selector={TOPOLOGY_LABEL: topology.name, NOUN_LABEL: GPU_NOUN, NAME_LABEL: placed.name},
        pod_labels=labels,
        image=image,
        config=config,
        csv_folder=CSV_FOLDER,
        csv_file=f"{CSV_FOLDER}/{CSV_FILE}",
        node_selector=placement.node_selector,
        affinity=affinity(placement),
        tolerations=tolerations(placement),
        port=GPU_PORT,
        port_name=GPU_PORT_NAME,
        listen=f":{GPU_PORT}",
        requests={"cpu": "100m", **quantities(memory=_MEMORY // 4)},
        limits=quantities(memory=_MEMORY),
        capabilities=("SYS_ADMIN",) if profiling else (),
    )
    metadata = Metadata(fitted_name("tiers-dcgm", placed.name), labels, placement.namespace)
    body = fill("monitoring/daemonset.yaml.j2", metadata, exporter=view)
    return RenderedObject(placement.cluster, f"tiers.{placed.tier_name}.pools.{placed.name}", body)
