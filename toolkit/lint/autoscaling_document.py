"""What an autoscaler says, read from the three kinds: HorizontalPodAutoscaler, VerticalPodAutoscaler, ScaledObject.

Between `document` and the rules of `autoscaling_hpa`, `autoscaling_vpa`, `autoscaling_keda` and `autoscaling_targets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.lint.document import Document, ValuePath, mapping, sequence, text
from toolkit.lint.neighbours import is_hpa, is_scaled_object
from toolkit.lint.quantity import whole

MEASURED = ("cpu", "memory")
"""The only resources that metrics-server measures and that a VerticalPodAutoscaler models."""
SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}
"""Type of an HPA metric → the key that describes it."""
_EVICTING = frozenset({"", "Auto", "Recreate", "InPlaceOrRecreate"})


@dataclass(frozen=True)
class Metric:
    """One metric of a HorizontalPodAutoscaler."""

    type: str
    path: ValuePath
    """To the key that describes it, such as spec.metrics[0].resource."""
    body: Mapping[str, object]

    @property
    def target(self) -> Mapping[str, object]:
        """Its target: type and one value."""
        return mapping(self.body.get("target"))


@dataclass(frozen=True)
class Trigger:
    """One trigger of a ScaledObject."""

    type: str
    path: ValuePath
    body: Mapping[str, object]

    @property
    def metadata(self) -> Mapping[str, object]:
        """What the scaler is told."""
        return mapping(self.body.get("metadata"))


def metrics(document: Document) -> Iterator[Metric]:
    """Give the metrics of a HorizontalPodAutoscaler (v2, and v2beta2 that has the same shape)."""
    if not is_hpa(document):
        return
    for index, each in enumerate(map(mapping, sequence(document.spec.get("metrics")))):
        key = SOURCES.get(text(each.get("type")))
        if key is not None:
            yield Metric(text(each.get("type")), ("spec", "metrics", index, key), mapping(each.get(key)))


def triggers(document: Document) -> Iterator[Trigger]:
    """Give the triggers of a ScaledObject."""
    if not is_scaled_object(document):
        return
    for index, each in enumerate(map(mapping, sequence(document.spec.get("triggers")))):
        yield Trigger(text(each.get("type")), ("spec", "triggers", index), each)


def scaled_resources(document: Document) -> Iterator[tuple[str, str, ValuePath]]:
    """Give resource, container (empty means all) and place of each utilisation that an autoscaler acts upon."""
    for metric in metrics(document):
        if metric.type in {"Resource", "ContainerResource"} and "averageUtilization" in metric.target:
            yield text(metric.body.get("name")), text(metric.body.get("container")), metric.path
    if is_hpa(document) and "targetCPUUtilizationPercentage" in document.spec:  # autoscaling/v1
        yield "cpu", "", ("spec", "targetCPUUtilizationPercentage")
    for trigger in triggers(document):
        kind = text(trigger.body.get("metricType")) or text(trigger.metadata.get("type"))
        if trigger.type in MEASURED and kind in {"", "Utilization"}:
            yield trigger.type, text(trigger.metadata.get("containerName")), trigger.path


def smallest(document: Document) -> int:
    """Give the fewest replicas that a horizontal autoscaler leaves; KEDA's default is 0, that of an HPA 1."""
    if is_scaled_object(document):
        return whole(document.spec.get("minReplicaCount"), 0)
    return whole(document.spec.get("minReplicas"), 1)


def controlled(document: Document) -> frozenset[str]:
    """Give the resources that a VerticalPodAutoscaler changes in any container; none when it only recommends."""
    if update_mode(document) == "Off":
        return frozenset()
    policy = mapping(document.spec.get("resourcePolicy"))
    listed = [mapping(each) for each in sequence(policy.get("containerPolicies"))]
    if not listed:
        return frozenset(MEASURED)
    return frozenset(
        text(resource)
        for each in listed
        if each.get("mode") != "Off"
        for resource in sequence(each.get("controlledResources", MEASURED))
    )


def update_mode(document: Document) -> str:
    """Give spec.updatePolicy.updateMode of a VerticalPodAutoscaler; empty where it is left to the default, Recreate."""
    return text(mapping(document.spec.get("updatePolicy")).get("updateMode"))


def evicts(document: Document) -> bool:
    """Whether a VerticalPodAutoscaler deletes pods to change them."""
    return update_mode(document) in _EVICTING
