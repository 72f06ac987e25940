"""VerticalPodAutoscalers that do nothing, or that fight with what else is there. One rule a function.

Source: kubernetes/autoscaler, vertical-pod-autoscaler 1.7: the recommender models cpu and memory; the updater leaves
workloads below --min-replicas (2) alone unless the object says otherwise; `Auto` is deprecated and means Recreate.
Beside this file: `autoscaling_hpa` and `autoscaling_keda`; `check` runs them.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.errors import Severity
from toolkit.lint.autoscaling_document import MEASURED, controlled, evicts, scaled_resources, update_mode
from toolkit.lint.document import Document, ValuePath, mapping, sequence, text
from toolkit.lint.neighbours import is_hpa, is_scaled_object, is_vpa, target_of
from toolkit.lint.pod_templates import pod_templates
from toolkit.lint.quantity import whole
from toolkit.lint.rule import Finding, rule, rule_around
from toolkit.lint.surroundings import Surroundings

_POLICY: ValuePath = ("spec", "updatePolicy")


@rule(
    "L408",
    Severity.ERROR,
    why="the recommender models cpu and memory only, so nothing ever happens; GPUs cannot be changed in place either",
    cure="leave it out, and scale the number of pods by GPU metrics instead",
)
def modelled_resource(document: Document) -> Iterator[Finding]:
    """A VerticalPodAutoscaler is asked for cpu and memory; the CRD takes other names and nobody acts on them."""
    if not is_vpa(document):
        return
    policies = sequence(mapping(document.spec.get("resourcePolicy")).get("containerPolicies"))
    for index, policy in enumerate(map(mapping, policies)):
        path: ValuePath = ("spec", "resourcePolicy", "containerPolicies", index)
        for number, name in enumerate(sequence(policy.get("controlledResources"))):
            if name not in MEASURED:
                yield Finding((*path, "controlledResources", number), f"{name} is not modelled")
        for key in ("minAllowed", "maxAllowed"):
            for name in mapping(policy.get(key)):
                if name not in MEASURED:
                    yield Finding((*path, key, name), f"{name} is not modelled")


@rule(
    "L409",
    Severity.WARNING,
    why="it is deprecated, and means Recreate today and something else tomorrow",
    cure="write Recreate, or InPlaceOrRecreate (Kubernetes 1.33 and newer)",
)
def update_mode_auto(document: Document) -> Iterator[Finding]:
    """The update mode is said by its own name."""
    if is_vpa(document) and update_mode(document) == "Auto":
        yield Finding((*_POLICY, "updateMode"), "updateMode is Auto")


@rule_around(
    "L410",
    Severity.ERROR,
    why="one changes the requests, the other takes utilisation in per cent of them: they chase each other",
    cure="scale the pods on another metric, or leave this resource out of controlledResources",
)
def two_on_one_resource(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A VerticalPodAutoscaler and a horizontal one do not act on the cpu or memory of the same workload."""
    target = target_of(document)
    if not is_vpa(document) or target is None:
        return
    changed = controlled(document)
    for other in around.neighbours.scalers.get(target, ()):
        if not (is_hpa(other) or is_scaled_object(other)):
            continue
        shared = sorted({resource for resource, _, _ in scaled_resources(other)} & changed)
        if shared:
            yield Finding(
                ("spec", "targetRef"), f"{other.title} scales {target.name} on {' and '.join(shared)} too"
            )


@rule_around(
    "L411",
    Severity.WARNING,
    why="the updater leaves workloads with fewer than two replicas alone, so nothing is ever changed",
    cure="write updatePolicy: {minReplicas: 1}, if a restart of the only pod is acceptable",
)
def one_replica(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A workload of one pod is updated only where the VerticalPodAutoscaler says that it may be."""
    target = target_of(document)
    if not is_vpa(document) or target is None or not evicts(document):
        return
    workload = around.neighbours.workloads.get(target)
    others = [each for each in around.neighbours.scalers.get(target, ()) if not is_vpa(each)]
    if workload is None or workload.kind == "DaemonSet" or others:
        return
    asked = whole(mapping(document.spec.get("updatePolicy")).get("minReplicas"), 2)
    if whole(workload.spec.get("replicas"), 1) == 1 and asked > 1:
        yield Finding(_POLICY, f"{workload.title} has one replica, and the minimum for an update is {asked}")


@rule_around(
    "L412",
    Severity.WARNING,
    why="it deletes the pod of each device, one a device, in the middle of its work; offline it comes back late",
    cure="write updateMode Off and take the recommendation over by hand, or Initial",
)
def not_on_devices(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A VerticalPodAutoscaler does not restart the only pod of an edge device."""
    target = target_of(document)
    if not is_vpa(document) or target is None or target.kind != "DaemonSet" or not evicts(document):
        return
    workload = around.neighbours.workloads.get(target)
    if workload is not None and any(template.on_edge for template in pod_templates(workload)):
        mode = update_mode(document) or "Recreate"
        yield Finding(("spec", "targetRef"), f"updateMode {mode} evicts pods of {workload.title} on the edge")


@rule_around(
    "L425",
    Severity.WARNING,
    why="only the requests of containers are changed; those of the pod stay and hold the pod where it was",
    cure="give each container its requests, or take the VerticalPodAutoscaler away",
)
def pod_level_resources(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A VerticalPodAutoscaler does not know the resources of a pod as a whole (spec.resources)."""
    target = target_of(document)
    workload = around.neighbours.workloads.get(target) if is_vpa(document) and target else None
    if workload is None or update_mode(document) == "Off":
        return
    if any(mapping(template.spec.get("resources")) for template in pod_templates(workload)):
        yield Finding(
            ("spec", "targetRef"), f"the pods of {text(target and target.name)} have spec.resources"
        )


@rule(
    "L427",
    Severity.WARNING,
    why="it is alpha in 1.7: without its feature gate the admission webhook refuses the object",
    cure="write InPlaceOrRecreate, which is stable",
)
def update_mode_in_place(document: Document) -> Iterator[Finding]:
    """An update mode works without a feature gate."""
    if is_vpa(document) and update_mode(document) == "InPlace":
        yield Finding((*_POLICY, "updateMode"), "updateMode is InPlace")


RULES = (
    modelled_resource,
    update_mode_auto,
    two_on_one_resource,
    one_replica,
    not_on_devices,
    pod_level_resources,
    update_mode_in_place,
)
"""What does nothing or fights in VerticalPodAutoscalers, in order of code."""
