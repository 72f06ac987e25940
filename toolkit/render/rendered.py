"""What rendering gives: an object, the cluster it belongs to, and the order in which objects are applied.

Made by `objects`; read by `write`, by lint, and by the rooms that apply.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

APPLY_ORDER = (
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "StorageClass",
    "ResourceQuota",
    "LimitRange",
    "NetworkPolicy",
    "ServiceAccount",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "NodeGroup",
    "HyperNode",
    "Queue",
    "PersistentVolumeClaim",
    "Secret",
    "ConfigMap",
    "DeviceModel",
    "Device",
    "RuleEndpoint",
    "Rule",
    "JobTemplate",
    "Service",
    "ImagePrePullJob",
    "DaemonSet",
    "Deployment",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "TriggerAuthentication",
    "ScaledObject",
    "VerticalPodAutoscaler",
    "ServiceMonitor",
    "PodMonitor",
    "PrometheusRule",
    "CronJob",
    "JobFlow",
    "NodeUpgradeJob",
    "Job",
)
"""Kinds in the order of applying; deleting goes backwards. What others refer to comes before them."""

SUBMITTED = frozenset(
    {
        ("batch.volcano.sh", "Job"),
        ("flow.volcano.sh", "JobFlow"),
        ("operations.kubeedge.io", "NodeUpgradeJob"),
    }
)
"""Group and kind of what runs once: an apply that made it anew would run it again."""

_RANK = {kind: (number + 1) * 10 for number, kind in enumerate(APPLY_ORDER)}
LAST_RANK = 990
"""Rank of every kind that APPLY_ORDER does not name."""


def rank_of(kind: str) -> int:
    """Give the place of a kind in the order of applying; lower comes first."""
    return _RANK.get(kind, LAST_RANK)


@dataclass(frozen=True)
class RenderedObject:
    """One object as it shall be in a cluster."""

    cluster: str
    """Name of the cluster in tiers.yaml."""
    source: str
    """What of tiers.yaml it was made from, such as `jobs.seg3d`."""
    body: Mapping[str, object]
    below: int = 0
    """How many objects of its own kind have to be there before it, such as the queues above a queue; at most 9."""

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.body["kind"])

    @property
    def api_version(self) -> str:
        """The object's apiVersion."""
        return str(self.body["apiVersion"])

    @property
    def name(self) -> str:
        """metadata.name."""
        return str(self._metadata["name"])

    @property
    def namespace(self) -> str:
        """metadata.namespace; empty for what belongs to the whole cluster."""
        return str(self._metadata.get("namespace", ""))

    @property
    def submitted(self) -> bool:
        """Whether it runs once when somebody submits it, such as a job, not when tiers.yaml is applied."""
        return (self.api_version.partition("/")[0], self.kind) in SUBMITTED

    @property
    def rank(self) -> int:
        """Place in the order of applying; lower comes first."""
        return rank_of(self.kind) + self.below

    @property
    def file_name(self) -> str:
        """Name of its file; in alphabetical order files are in apply order."""
        return f"{self.rank:03d}-{self.kind.lower()}-{self.name}.yaml"

    @property
    def order(self) -> tuple[str, int, str, str, str]:
        """Key by which rendered objects are sorted: cluster, rank, kind, namespace, name."""
        return (self.cluster, self.rank, self.kind, self.namespace, self.name)

    @property
    def _metadata(self) -> Mapping[str, object]:
        metadata = self.body["metadata"]
        return metadata if isinstance(metadata, Mapping) else {}
