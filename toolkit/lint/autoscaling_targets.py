"""Autoscalers and the workload they scale: who names whom, and who writes the number of replicas. One rule a function.

All but one take the other objects of the run (`neighbours`) and are silent about what is not in it.
Sources: k8s.io/kubernetes v1.35.3, pkg/controller/podautoscaler (missing request, ambiguous selector, failed to get
scale); kedacore/keda 2.20, the webhook for ScaledObjects.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.errors import Severity
from toolkit.lint.autoscaling_document import scaled_resources
from toolkit.lint.document import Document, mapping, sequence, text
from toolkit.lint.neighbours import Target, is_hpa, is_scaled_object, metadata, namespace_of, target_of
from toolkit.lint.pod_templates import pod_templates, resources
from toolkit.lint.rule import Finding, rule, rule_around
from toolkit.lint.surroundings import Surroundings

_REFERENCE = ("spec", "scaleTargetRef")


@rule_around(
    "L407",
    Severity.ERROR,
    why="utilisation is a share of the request: without one the HPA says `missing request` and never scales",
    cure="give every container of the workload a request for it",
)
def request_to_measure(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A workload that scales by utilisation of cpu or memory requests it in every container."""
    target = target_of(document)
    workload = around.neighbours.workloads.get(target) if target else None
    if workload is None:
        return
    for resource, only, path in scaled_resources(document):
        for template in pod_templates(workload):
            without = [
                text(container.get("name"))
                for _, container in template.containers(init=False)
                if only in ("", container.get("name"))
                and resource not in {**resources(container, "limits"), **resources(container, "requests")}
            ]
            whole_pod = mapping(mapping(template.spec.get("resources")).get("requests"))
            if without and resource not in whole_pod:
                yield Finding(path, f"container {without[0]} of {workload.title} requests no {resource}")


@rule_around(
    "L421",
    Severity.WARNING,
    why="every apply sets the replicas back, in the middle of the day to those of the night",
    cure="leave spec.replicas out",
)
def replicas_beside_a_scaler(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A workload that somebody scales does not say how many replicas it has."""
    if "replicas" not in document.spec or metadata(document).get("resourceVersion"):
        return  # what a cluster lists always has the field
    here = Target(document.group, document.kind, namespace_of(document), document.name)
    for scaler in around.neighbours.scalers.get(here, ()):
        if is_hpa(scaler) or is_scaled_object(scaler):
            message = f"says replicas: {document.spec.get('replicas')}, and {scaler.title} scales it"
            yield Finding(("spec", "replicas"), message)
            return


@rule_around(
    "L422",
    Severity.ERROR,
    why="two that write one number undo each other; KEDA's webhook refuses the second, an HPA says AmbiguousSelector",
    cure="keep one, with the metrics of both",
)
def one_scaler(document: Document, around: Surroundings) -> Iterator[Finding]:
    """One workload has one horizontal autoscaler; the HPA that KEDA makes itself is not a second one."""
    target = target_of(document)
    if target is None or not _horizontal(document):
        return
    for other in around.neighbours.scalers.get(target, ()):
        if other is document:
            return  # the first one may stay; those behind it are told
        if _horizontal(other):
            yield Finding(_REFERENCE, f"{other.title} scales {target.kind} {target.name} already")
            return


@rule_around(
    "L423",
    Severity.ERROR,
    why="the autoscaler says FailedGetScale and does nothing",
    cure="write kind and name of a workload of the same namespace",
)
def target_that_exists(document: Document, around: Surroundings) -> Iterator[Finding]:
    """An autoscaler names a workload that is there."""
    target = target_of(document)
    if target is None or target.group != "apps" or target in around.neighbours.workloads:
        return
    if around.neighbours.knows_all((target.kind,), document):
        key = "scaleTargetRef" if "scaleTargetRef" in document.spec else "targetRef"
        yield Finding(("spec", key, "name"), f"there is no {target.kind} {target.name} in its namespace")


@rule(
    "L424",
    Severity.ERROR,
    why="it has no scale subresource: FailedGetScale, or KEDA's webhook refuses it",
    cure="scale a Deployment or StatefulSet; a DaemonSet has one pod a node",
)
def kind_that_scales(document: Document) -> Iterator[Finding]:
    """A horizontal autoscaler names a kind that has a number of replicas."""
    target = target_of(document)
    if not (is_hpa(document) or is_scaled_object(document)) or target is None:
        return
    if (target.group, target.kind) in {
        ("apps", "DaemonSet"),
        ("", "Pod"),
        ("batch", "CronJob"),
        ("batch", "Job"),
    }:
        yield Finding((*_REFERENCE, "kind"), f"a {target.kind} has no replicas to scale")


def _horizontal(document: Document) -> bool:
    """Whether somebody wrote this horizontal autoscaler; KEDA's own HPA belongs to its ScaledObject."""
    owners = map(mapping, sequence(metadata(document).get("ownerReferences")))
    made = any(owner.get("kind") == "ScaledObject" for owner in owners)
    return (is_hpa(document) and not made) or is_scaled_object(document)


RULES = (request_to_measure, replicas_beside_a_scaler, one_scaler, target_that_exists, kind_that_scales)
"""What is wrong between autoscalers and workloads, in order of code."""
