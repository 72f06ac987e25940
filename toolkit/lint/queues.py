"""Volcano Queues whose amounts contradict each other. One rule a function; `check` runs them.

The order guarantee ≤ deserved ≤ capability is Volcano's own (v1.15.1, pkg/webhooks/admission/queues/validate).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from toolkit.errors import Severity
from toolkit.lint import known_from_objects
from toolkit.lint.document import Document, ValuePath, mapping, text
from toolkit.lint.known_from_objects import is_queue
from toolkit.lint.name_forms import SUBDOMAIN_FORM, is_subdomain
from toolkit.lint.pod_templates import GPU
from toolkit.lint.quantity import parse_quantity, whole
from toolkit.lint.rule import Finding, rule

REFUSED = "Volcano's webhook refuses the queue"
_ROOTS_OWN = ("capability", "deserved", "guarantee", "parent")
"""What the webhook keeps as it is (EnableRootQueueProtection); weight and affinity may be written."""
_HEAVIEST = 65535
_LARGEST = 2**31 - 1


def amounts(document: Document) -> tuple[Mapping[str, Decimal], Mapping[str, Decimal], Mapping[str, Decimal]]:
    """Give guarantee, deserved and capability by resource; quantities that cannot be read are left to the schema."""
    spec = document.spec
    listed = (mapping(spec.get("guarantee")).get("resource"), spec.get("deserved"), spec.get("capability"))
    guarantee, deserved, capability = (known_from_objects.amounts(each) for each in listed)
    return guarantee, deserved, capability


@rule(
    "L121",
    Severity.ERROR,
    why=REFUSED,
    cure="make guarantee ≤ deserved ≤ capability for each resource",
)
def order_of_amounts(document: Document) -> Iterator[Finding]:
    """Guarantee ≤ deserved ≤ capability, for each resource; what is guaranteed must be deserved."""
    if not is_queue(document):
        return
    guarantee, deserved, capability = amounts(document)
    path: ValuePath
    for resource in sorted(guarantee):
        path = ("spec", "guarantee", "resource", resource)
        if resource not in deserved:
            yield Finding(path, f"{resource} is guaranteed but not deserved")
        elif guarantee[resource] > deserved[resource]:
            yield Finding(
                path,
                f"more {resource} guaranteed ({guarantee[resource]}) than deserved ({deserved[resource]})",
            )
    for name, listed in (("guarantee", guarantee), ("deserved", deserved)):
        for resource in sorted(set(listed) & set(capability)):
            if listed[resource] > capability[resource]:
                path = (
                    ("spec", name, "resource", resource) if name == "guarantee" else ("spec", name, resource)
                )
                message = (
                    f"{name} {resource} ({listed[resource]}) is above the capability ({capability[resource]})"
                )
                yield Finding(path, message)


@rule(
    "L122",
    Severity.WARNING,
    why="an unnamed resource is unlimited",
    cure=f"add {GPU} to capability",
)
def gpu_left_open(document: Document) -> Iterator[Finding]:
    """A resource that capability does not name has no limit."""
    if not is_queue(document):
        return
    guarantee, deserved, capability = amounts(document)
    if capability and GPU not in capability and (GPU in deserved or GPU in guarantee):
        yield Finding(
            ("spec", "capability"), "capability does not name GPUs, so the queue may take all of them"
        )


@rule(
    "L123",
    Severity.ERROR,
    why="the API server refuses the queue",
    cure="write a weight of 1 to 65535, a priority from 0, and dequeueStrategy traverse or fifo",
)
def settings(document: Document) -> Iterator[Finding]:
    """Weight, priority and the other settings of a queue are in their range."""
    if not is_queue(document):
        return
    spec = document.spec
    weight, priority = spec.get("weight", 1), spec.get("priority", 0)
    if not 0 <= whole(weight, -1) <= _HEAVIEST:  # Volcano makes 1 of 0
        yield Finding(("spec", "weight"), f"weight {weight!r} is outside of 1 to {_HEAVIEST}")
    if not 0 <= whole(priority, -1) <= _LARGEST:
        yield Finding(("spec", "priority"), f"priority {priority!r} is no whole number from 0")
    if spec.get("dequeueStrategy", "traverse") not in {"traverse", "fifo"}:
        yield Finding(
            ("spec", "dequeueStrategy"), f"{spec.get('dequeueStrategy')!r} is neither traverse nor fifo"
        )
    if not isinstance(spec.get("reclaimable", True), bool):
        yield Finding(("spec", "reclaimable"), f"{spec.get('reclaimable')!r} is neither true nor false")
    if not is_subdomain(document.name):
        yield Finding(("metadata", "name"), f"{document.name!r} is not {SUBDOMAIN_FORM}")
    if spec.get("parent") is not None and not is_subdomain(text(spec.get("parent"))):
        yield Finding(("spec", "parent"), f"{spec.get('parent')!r} is not {SUBDOMAIN_FORM}")


@rule(
    "L126",
    Severity.ERROR,
    why=REFUSED,
    cure="write amounts from 0, such as 500m, 2 or 8Gi, and devices in whole pieces",
)
def readable_amounts(document: Document) -> Iterator[Finding]:
    """What a queue may use is written in amounts that are not below 0; devices come whole."""
    if not is_queue(document):
        return
    for path in (("capability",), ("deserved",), ("guarantee", "resource")):
        listed: object = document.spec
        for part in path:
            listed = mapping(listed).get(part)
        for name, value in mapping(listed).items():
            amount = parse_quantity(value)
            place: ValuePath = ("spec", *path, name)
            if amount is None:
                yield Finding(place, f"{value!r} is no amount")
            elif amount < 0:
                yield Finding(place, f"{value!r} is below 0")
            elif ("/" in name or name == "pods") and "kubernetes.io/" not in name and amount % 1:
                yield Finding(place, f"{name} comes in whole pieces, not {value!r}")


@rule(
    "L124",
    Severity.ERROR,
    why=REFUSED,
    cure="choose another parent or name",
)
def own_parent(document: Document) -> Iterator[Finding]:
    """A queue is not below itself, and nobody says how much the root has."""
    if not is_queue(document):
        return
    if document.spec.get("parent") == document.name:
        yield Finding(("spec", "parent"), "is its own parent")
    if document.name == "root" and "status" not in document.body:  # with one it is listed, not written
        held = [key for key in _ROOTS_OWN if document.spec.get(key)]
        if held:
            yield Finding(("spec", held[0]), f"the {held[0]} of the root queue is Volcano's own")


RULES = (
    order_of_amounts,
    gpu_left_open,
    settings,
    own_parent,
    readable_amounts,
)
"""What is wrong with queues, in order of code."""
