"""Name, namespace and owner labels of an object: the view of the partial `_metadata.yaml.j2`.

Every view of `render` holds one. The labels say whose an object is: `cluster` finds and prunes by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
TOPOLOGY_LABEL = "tiers.dev/topology"
NOUN_LABEL = "tiers.dev/part-of"
"""Which noun of tiers.yaml an object was made from: pool, job, queue, …"""
NAME_LABEL = "tiers.dev/name"
"""Name of that noun."""
MANAGER = "tiers"
KEEP_ANNOTATION = "tiers.dev/prune"
"""With the value "false" an object stays in the cluster when it is not rendered any more."""


@dataclass(frozen=True)
class Metadata:
    """metadata of an object."""

    name: str
    labels: Mapping[str, str]
    namespace: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)


def owner_labels(topology: str, noun: str, name: str) -> dict[str, str]:
    """Give the labels that every object of a topology carries.

    Args:
        topology: name of the topology.
        noun: what the object was made from, in the singular: `job`.
        name: name of that noun: `seg3d`.
    """
    return {
        MANAGED_BY_LABEL: MANAGER,
        "app.kubernetes.io/part-of": topology,
        "app.kubernetes.io/component": noun,
        TOPOLOGY_LABEL: topology,
        NOUN_LABEL: noun,
        NAME_LABEL: name,
    }
