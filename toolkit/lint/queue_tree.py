"""Queues below queues that Volcano's webhook refuses: parents, depth, shares that do not add up. One rule a function.

Source: volcano-sh/volcano v1.15.1, pkg/webhooks/admission/queues/validate (validateHierarchicalQueue and below). The
other queues are known from the run and from tiers.yaml (`surroundings`); `queues` looks at one queue alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from toolkit.errors import Severity
from toolkit.lint.document import Document
from toolkit.lint.known_from_objects import hierarchy, is_queue
from toolkit.lint.name_forms import is_subdomain
from toolkit.lint.queues import REFUSED
from toolkit.lint.rule import Finding, rule_around
from toolkit.lint.surroundings import QueueFacts, Surroundings

MAX_DEPTH = 5
"""Queues on top of each other, the root left out; the webhook's --max-queue-depth."""
_PARENT = ("spec", "parent")
_ALWAYS_THERE = frozenset({"cpu", "memory"})


@rule_around(
    "L127",
    Severity.ERROR,
    why=REFUSED,
    cure=f"name a parent that is there and runs no pods itself, at most {MAX_DEPTH} queues on top of each other",
)
def parent_is_there(document: Document, around: Surroundings) -> Iterator[Finding]:
    """The parent of a queue is there, is not too deep, and runs no pods of its own."""
    queue = _own(document, around)
    if queue is None or queue.parent in {"", "root", queue.name}:
        return
    above = _ancestors(queue, around)
    missing = above[-1].parent if above else queue.parent
    if is_subdomain(missing) and missing != "root" and missing not in around.queues and around.all_queues:
        yield Finding(_PARENT, f"there is no queue {missing!r}")
    if len(above) + 1 > MAX_DEPTH:
        yield Finding(_PARENT, f"stands {len(above) + 1} deep; {MAX_DEPTH} are allowed")
    if above and above[0].pods > 0 and around.children(queue.parent) == [queue.name]:
        yield Finding(
            _PARENT, f"queue {queue.parent!r} runs {above[0].pods:f} pods, so it can have no queue below"
        )


@rule_around(
    "L128",
    Severity.ERROR,
    why=REFUSED,
    cure="make its capability at most that of the queues above",
)
def capability_below_ancestors(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A queue may not use more than the nearest queue above that has a limit."""
    queue = _own(document, around)
    for resource, most in sorted(queue.capability.items()) if queue else ():
        limits = (
            [each for each in _ancestors(queue, around) if each.capability.get(resource, 0) > 0]
            if queue
            else []
        )
        if limits and most > limits[0].capability[resource]:
            yield Finding(
                ("spec", "capability", resource),
                f"{resource} {most:f} is above the {limits[0].capability[resource]:f} of queue {limits[0].name!r}",
            )


@rule_around(
    "L129",
    Severity.ERROR,
    why=REFUSED,
    cure="let what the queues below a queue are guaranteed and deserve add up to at most its own",
)
def shares_add_up(document: Document, around: Surroundings) -> Iterator[Finding]:
    """What the queues below one queue are guaranteed, and what they deserve, is at most what it has itself."""
    queue = _own(document, around)
    if queue is None or queue.parent in {"", "root", queue.name} or queue.parent not in around.queues:
        return
    parent = around.queues[queue.parent]
    family = [each for each in around.queues.values() if each.parent == parent.name]
    for field in ("guarantee", "deserved"):
        has = getattr(parent, field)
        for resource in sorted({name for each in family for name in getattr(each, field)}):
            asked = sum((getattr(each, field).get(resource, Decimal(0)) for each in family), Decimal(0))
            unnamed = resource not in has and resource not in _ALWAYS_THERE
            if asked > has.get(resource, Decimal(0)) or unnamed:
                yield Finding(
                    ("spec", field),
                    f"the queues below {parent.name!r} have {asked:f} {resource} {field} together,"
                    f" it has {has.get(resource, Decimal(0)):f}",
                )


@rule_around(
    "L130",
    Severity.ERROR,
    why=REFUSED,
    cure="write as many weights above 0 as there are names, such as root/research and 1/2, and end at a leaf",
)
def hierarchy_annotations(document: Document, around: Surroundings) -> Iterator[Finding]:
    """The annotations of place and weights have the same length, and no other queue stands below."""
    if not is_queue(document):
        return
    place, weights = hierarchy(document)
    path = ("metadata", "annotations")
    if not place and not weights:
        return
    if len(place.split("/")) != len(weights.split("/")):
        yield Finding(path, f"{place!r} and {weights!r} are not of the same length")
        return
    for weight in weights.split("/"):
        if not _is_positive(weight):
            yield Finding(path, f"weight {weight!r} is no number above 0")
    for other in around.queues.values():
        if other.name != document.name and place and other.hierarchy.startswith(f"{place}/"):
            yield Finding(path, f"queue {other.name!r} stands below it, at {other.hierarchy}")


def _own(document: Document, around: Surroundings) -> QueueFacts | None:
    return around.queues.get(document.name) if is_queue(document) else None


def _ancestors(queue: QueueFacts, around: Surroundings) -> list[QueueFacts]:
    """Give the queues above a queue, from its parent on, as far as they are known; the root left out."""
    found: list[QueueFacts] = []
    parent = queue.parent
    while (
        parent not in {"", "root", queue.name}
        and parent in around.queues
        and len(found) <= len(around.queues)
    ):
        found.append(around.queues[parent])
        parent = found[-1].parent
    return found


def _is_positive(weight: str) -> bool:
    try:
        return float(weight) > 0
    except ValueError:
        return False


RULES = (
    parent_is_there,
    capability_below_ancestors,
    shares_add_up,
    hierarchy_annotations,
)
"""What is wrong with queues below queues, in order of code."""
