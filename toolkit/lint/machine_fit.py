"""Which machines a pod may run on, and how many of its kind fit there. Used by the rules of `gang_fit`.

Selectors, required node affinity, taints and amounts count, as they do for the predicates of Volcano and of
kube-scheduler; affinity to other pods and host ports do not. What is not known of a machine never keeps a pod away.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from toolkit.lint.document import mapping, sequence, text
from toolkit.lint.pod_templates import PodTemplate
from toolkit.lint.surroundings import Machines, Taint

_KEEPS_AWAY = frozenset({"NoSchedule", "NoExecute"})


def allowed(machines: Machines, template: PodTemplate) -> bool:
    """Whether a pod may run on these machines, whatever they have free."""
    selector = mapping(template.spec.get("nodeSelector"))
    if not all(_carries(machines, key, [text(value)]) for key, value in selector.items()):
        return False
    affinity = mapping(mapping(template.spec.get("affinity")).get("nodeAffinity"))
    needed = mapping(affinity.get("requiredDuringSchedulingIgnoredDuringExecution"))
    terms = [mapping(term) for term in sequence(needed.get("nodeSelectorTerms"))]
    if terms and not any(_meets(machines, term) for term in terms):
        return False
    tolerations = [mapping(each) for each in sequence(template.spec.get("tolerations"))]
    return all(
        taint.effect not in _KEEPS_AWAY or any(_tolerates(each, taint) for each in tolerations)
        for taint in machines.taints
    )


def may_carry(machines: Machines, labels: Mapping[str, str]) -> bool:
    """Whether machines carry all of these labels, as far as is known."""
    return all(_carries(machines, key, [value]) for key, value in labels.items())


def fits_empty(machines: Machines, request: Mapping[str, Decimal]) -> int | None:
    """Count the pods of a kind that one empty machine takes; None when nothing known limits them."""
    limits = [
        int(there // amount)
        for resource, amount in {**request, "pods": Decimal(1)}.items()
        if amount > 0 and (there := machines.has(resource)) is not None
    ]
    return min(limits) if limits else None


def too_small(machines: Machines, request: Mapping[str, Decimal]) -> list[str]:
    """Name the resources of which one machine has less than one pod asks for."""
    return [
        resource
        for resource, amount in sorted(request.items())
        if (there := machines.has(resource)) is not None and there < amount
    ]


def _carries(machines: Machines, key: str, values: list[str]) -> bool:
    if key not in machines.labels:
        return not machines.complete
    return machines.labels[key] in values


def _meets(machines: Machines, term: Mapping[str, object]) -> bool:
    return all(_expression(machines, mapping(each)) for each in sequence(term.get("matchExpressions")))


def _expression(machines: Machines, expression: Mapping[str, object]) -> bool:
    key, operator = text(expression.get("key")), text(expression.get("operator"))
    values = [text(each) for each in sequence(expression.get("values"))]
    there = key in machines.labels
    if operator == "In":
        return not values or _carries(machines, key, values)
    if operator == "NotIn":
        return not there or machines.labels[key] not in values
    if operator == "Exists":
        return there or not machines.complete
    if operator == "DoesNotExist":
        return not there
    return True  # Gt and Lt compare numbers that nobody writes by hand


def _tolerates(toleration: Mapping[str, object], taint: Taint) -> bool:
    effect, key = text(toleration.get("effect")), text(toleration.get("key"))
    if effect not in {"", taint.effect}:
        return False
    if text(toleration.get("operator")) == "Exists":
        return key in {"", taint.key}
    return key == taint.key and text(toleration.get("value")) == taint.value
