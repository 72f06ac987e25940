"""HorizontalPodAutoscalers that are refused, or that never act. One rule a function; `check` runs them.

Sources: k8s.io/kubernetes v1.35.3, pkg/apis/autoscaling/validation and pkg/controller/podautoscaler (a resource metric
comes from metrics.k8s.io, which has cpu and memory only; one metric without a value forbids scaling in).
Beside this file: `autoscaling_vpa`, `autoscaling_keda`, and `autoscaling_targets` for what needs the workload.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toolkit.errors import Severity
from toolkit.lint.autoscaling_document import MEASURED, metrics
from toolkit.lint.document import Document, ValuePath, mapping, sequence, text
from toolkit.lint.neighbours import is_hpa, is_scaled_object
from toolkit.lint.quantity import parse_quantity, whole
from toolkit.lint.rule import Finding, rule

_VALUES = {"Utilization": "averageUtilization", "Value": "value", "AverageValue": "averageValue"}
_ALLOWED = {
    "Resource": ("averageUtilization", "averageValue"),
    "ContainerResource": ("averageUtilization", "averageValue"),
    "Pods": ("averageValue",),
    "Object": ("value", "averageValue"),
    "External": ("value", "averageValue"),
}
"""Type of a metric → the values that its target may have; exactly one of them."""
_LONGEST_WINDOW = 3600
_LONGEST_PERIOD = 1800


@rule(
    "L401",
    Severity.ERROR,
    why="metrics-server measures cpu and memory only: ScalingActive becomes False (FailedGetResourceMetric), and a GPU"
    " request is an allocation, whose utilisation would always be 100 %",
    cure="scale on a Pods or External metric, such as the GPU utilisation that dcgm-exporter gives",
)
def measured_resource(document: Document) -> Iterator[Finding]:
    """A resource metric names cpu or memory: nobody measures the use of other resources."""
    listed = list(metrics(document))
    for metric in listed:
        name = text(metric.body.get("name"))
        if metric.type in {"Resource", "ContainerResource"} and name and name not in MEASURED:
            stuck = ", and while it has no value the other metrics only scale out" if len(listed) > 1 else ""
            yield Finding((*metric.path, "name"), f"{name} is no metric that metrics.k8s.io has{stuck}")


@rule(
    "L402",
    Severity.ERROR,
    why="the API server refuses the autoscaler",
    cure="write the one value that the message names, above 0",
)
def target_value(document: Document) -> Iterator[Finding]:
    """A target has exactly one value, of a form that its metric can have."""
    for metric in metrics(document):
        allowed = _ALLOWED[metric.type]
        given = [key for key in allowed if key in metric.target]
        if len(given) != 1:
            count = "more than one" if given else "no"
            yield Finding(
                (*metric.path, "target"), f"the target has {count} value of {' and '.join(allowed)}"
            )
        for key in given:
            amount = parse_quantity(metric.target[key])
            if amount is not None and amount <= 0:
                yield Finding((*metric.path, "target", key), f"{key} {metric.target[key]!r} is not above 0")


@rule(
    "L403",
    Severity.WARNING,
    why="the controller goes by the value, people and dashboards go by the type",
    cure="write type Utilization with averageUtilization, Value with value, AverageValue with averageValue",
)
def type_of_target(document: Document) -> Iterator[Finding]:
    """The type of a target says which value it has (dcgm-exporter issue 269 has them mixed)."""
    for metric in metrics(document):
        given = [key for key in _VALUES.values() if key in metric.target]
        wanted = _VALUES.get(text(metric.target.get("type")))
        if wanted and given and wanted not in given:
            message = f"type {metric.target['type']} stands beside {given[0]}"
            yield Finding((*metric.path, "target", "type"), message)


@rule(
    "L404",
    Severity.ERROR,
    why="the API server, or KEDA's webhook, refuses the autoscaler",
    cure="make the maximum at least 1 and not below the minimum",
)
def bounds(document: Document) -> Iterator[Finding]:
    """The most replicas are not fewer than the fewest."""
    if is_hpa(document):
        low, high, fewest = "minReplicas", "maxReplicas", 1
    elif is_scaled_object(document):
        low, high, fewest = "minReplicaCount", "maxReplicaCount", 0
    else:
        return
    if high not in document.spec:
        return  # the schema asks for it where it is needed
    least, most = whole(document.spec.get(low), fewest), whole(document.spec.get(high), 0)
    if most < max(least, 1):
        yield Finding(("spec", high), f"{high} {most} is below {max(least, 1)}")


@rule(
    "L405",
    Severity.ERROR,
    why="the API server refuses it: the feature gate HPAScaleToZero is alpha and off",
    cure="write minReplicas: 1, or let KEDA scale to 0 by minReplicaCount",
)
def never_zero(document: Document) -> Iterator[Finding]:
    """A HorizontalPodAutoscaler keeps at least one replica."""
    if is_hpa(document) and whole(document.spec.get("minReplicas"), 1) < 1:
        yield Finding(("spec", "minReplicas"), f"minReplicas {document.spec.get('minReplicas')!r} is below 1")


@rule(
    "L406",
    Severity.ERROR,
    why="the API server refuses it; from a ScaledObject it refuses the HPA that KEDA writes, and nothing scales",
    cure="write windows of 0 to 3600 s, periods of 1 to 1800 s, values above 0",
)
def behaviour(document: Document) -> Iterator[Finding]:
    """The windows and steps of scaling are in their ranges."""
    path, body = _behaviour(document)
    for direction in ("scaleUp", "scaleDown"):
        rules = mapping(body.get(direction))
        place: ValuePath = (*path, direction)
        window = rules.get("stabilizationWindowSeconds")
        if window is not None and not 0 <= whole(window, -1) <= _LONGEST_WINDOW:
            yield Finding(
                (*place, "stabilizationWindowSeconds"), f"{window!r} is outside of 0 to {_LONGEST_WINDOW}"
            )
        for index, policy in enumerate(map(mapping, sequence(rules.get("policies")))):
            period, value = policy.get("periodSeconds"), policy.get("value")
            here: ValuePath = (*place, "policies", index)
            if not 1 <= whole(period, 0) <= _LONGEST_PERIOD:
                yield Finding((*here, "periodSeconds"), f"{period!r} is outside of 1 to {_LONGEST_PERIOD}")
            if whole(value, 0) < 1:
                yield Finding((*here, "value"), f"{value!r} is not above 0")


def _behaviour(document: Document) -> tuple[ValuePath, Mapping[str, object]]:
    if is_hpa(document):
        return ("spec", "behavior"), mapping(document.spec.get("behavior"))
    if is_scaled_object(document):
        config = mapping(mapping(document.spec.get("advanced")).get("horizontalPodAutoscalerConfig"))
        path = ("spec", "advanced", "horizontalPodAutoscalerConfig", "behavior")
        return path, mapping(config.get("behavior"))
    return (), {}


RULES = (measured_resource, target_value, type_of_target, bounds, never_zero, behaviour)
"""What is refused in HorizontalPodAutoscalers or never acts, in order of code."""
