"""A Kubernetes cluster and the tiers in it.

Stands under topology; cluster.connect refuses a context that no cluster names.
"""

from typing import Annotated

from pydantic import Field

from toolkit.topology.names import Name, TierName
from toolkit.topology.noun import Noun


class Cluster(Noun):
    """A Kubernetes cluster."""

    context: str
    """Name of its context in the kubeconfig."""
    tiers: Annotated[tuple[TierName, ...], Field(min_length=1)]
    """Tiers whose machines are nodes of it."""
    namespace: Name | None = None
    """Namespace of all objects; default: the name of the topology."""
