"""Volcano Queues whose amounts contradict each other. One rule a function; `check` runs them.

The order guarantee ≤ deserved ≤ capability is Volcano's own (v1.15.1, pkg/webhooks/admission/queues/validate).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from toolkit.errors import Severity
from toolkit.lint import known_from_objects
from toolkit.lint.document import Document, ValuePath, mapping
from toolkit.lint.known_from_objects import is_queue
from toolkit.lint.pod_templates import GPU
from toolkit.lint.rule import Finding, rule


def amounts(document: Document) -> tuple[Mapping[str, Decimal], Mapping[str, Decimal], Mapping[str, Decimal]]:
    """Give guarantee, deserved and capability by resource; quantities that cannot be read are left to the schema."""
    spec = document.spec
    listed = (mapping(spec.get("guarantee")).get("resource"), spec.get("deserved"), spec.get("capability"))
    guarantee, deserved, capability = (known_from_objects.amounts(each) for each in listed)
    return guarantee, deserved, capability


@rule(
    "L121",
    Severity.ERROR,
    why="Volcano's webhook refuses the queue",
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
    cure="write a weight of 1 to 65535",
)
def weight_range(document: Document) -> Iterator[Finding]:
    """The weight of a queue is 1 to 65535."""
    weight = document.spec.get("weight", 1)
    if is_queue(document) and not (isinstance(weight, int) and 1 <= weight <= 65535):  # noqa: PLR2004 -- the CRD's
        yield Finding(("spec", "weight"), f"weight {weight!r} is outside of 1 to 65535")


@rule(
    "L124",
    Severity.ERROR,
    why="Volcano's webhook refuses the queue",
    cure="choose another parent or name",
)
def own_parent(document: Document) -> Iterator[Finding]:
    """A queue is not below itself, and nothing of ours changes the root."""
    if not is_queue(document):
        return
    if document.spec.get("parent") == document.name:
        yield Finding(("spec", "parent"), "is its own parent")
    if document.name == "root" and "status" not in document.body:  # with one it is listed, not written
        yield Finding(("metadata", "name"), "the root queue is made and kept by Volcano")


RULES = (
    order_of_amounts,
    gpu_left_open,
    weight_range,
    own_parent,
)
"""What is wrong with queues, in order of code."""
