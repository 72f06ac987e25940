"""Labels that scraping attaches to every series of a topology, and the names of its scrape jobs.

`scrape` attaches them (from the labels of pods, or from the list of devices); rules, autoscaling and dashboards
aggregate by them and by nothing that an exporter names otherwise from version to version (DCGM's `Hostname`).

    tiers_topology  name of the topology                                        medical-imaging
    tiers_cluster   cluster of tiers.yaml                                       main
    tiers_tier      edge, hot, warm or cold
    tiers_pool      pool of tiers.yaml                                          a100
    tiers_service   service of tiers.yaml; of a GPU's figures: the one whose pod uses the GPU; else absent
    node            machine: the Kubernetes node, which is also the device      ultrasound-007

Never on a histogram: `node` is dropped there, see `recordings`, because a fleet has thousands of them.
"""

from __future__ import annotations

from typing import Final

TOPOLOGY: Final = "tiers_topology"
CLUSTER: Final = "tiers_cluster"
TIER: Final = "tiers_tier"
POOL: Final = "tiers_pool"
SERVICE: Final = "tiers_service"
NODE: Final = "node"

PLACE: Final = (TOPOLOGY, CLUSTER, TIER, POOL, SERVICE)
"""What every aggregate keeps; `tiers_service` is empty for devices."""
BY_PLACE: Final = ", ".join(PLACE)
"""For `sum by (…)`."""

EDGE_JOB: Final = "tiers-edge"
"""Value of `job` for the daemons on devices."""
SERVICE_JOB: Final = "tiers-service"
"""Value of `job` for the servers of services."""
AGENT_JOB: Final = "tiers-agent"
"""Value of `job` for the agents that run routes in the cluster."""
DEPOT_JOB: Final = "tiers-depot"
"""Value of `job` for the depots."""
DRIVER_JOB: Final = "tiers-driver"
"""Value of `job` for the drivers of rollouts."""
GPU_JOB: Final = "tiers-gpu"
"""Value of `job` for the DCGM exporters."""


def ours(topology: str) -> str:
    """Give the matcher that keeps the rules of one topology to its own series: `tiers_topology="medical-imaging"`.

    Args:
        topology: name of the topology, which is a DNS label and so needs no escape.
    """
    return f'{TOPOLOGY}="{topology}"'
