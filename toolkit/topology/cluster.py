"""A Kubernetes cluster and the machines in it: whole tiers, or single pools.

Stands under topology; cluster.connect refuses a context that no cluster names.
"""

from toolkit.topology.kubeedge import KubeEdge
from toolkit.topology.names import Name, TierName
from toolkit.topology.noun import Noun


class Cluster(Noun):
    """A Kubernetes cluster."""

    context: str
    """Name of its context in the kubeconfig."""
    tiers: tuple[TierName, ...] = ()
    """Tiers whose machines are nodes of it."""
    pools: tuple[Name, ...] = ()
    """Single pools that are nodes of it, wherever the rest of their tier is: for instance those of one site."""
    kubeedge: KubeEdge | None = None
    """The KubeEdge whose devices are nodes of it; needed for `tiers render --edge-config`."""
    namespace: Name | None = None
    """Namespace of all objects; default: the name of the topology."""
