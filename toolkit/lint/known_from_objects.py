"""What the objects of a run say about each other's surroundings: Queues, PriorityClasses, ResourceQuotas, Nodes.

Between `document` and the rules that take Surroundings. Objects written by hand are rarely all that a cluster has, so
a queue or a class that is not among them proves nothing. A listing of a live cluster does: it holds what Volcano or
the API server made itself (the queue `root`, the class `system-cluster-critical`), and Nodes are never written by hand:

    kubectl get queues,priorityclasses,nodes,resourcequotas -A -o yaml > cluster.yaml; tiers lint job.yaml cluster.yaml
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from toolkit.lint.document import Document, mapping, sequence, text
from toolkit.lint.neighbours import neighbours
from toolkit.lint.pod_templates import pod_templates
from toolkit.lint.quantity import parse_quantity, whole
from toolkit.lint.requests import request_of
from toolkit.lint.scheduler_document import Configuration, configurations
from toolkit.lint.surroundings import (
    BUILT_IN_PRIORITIES,
    Amounts,
    Machines,
    QueueFacts,
    Quota,
    SchedulerFacts,
    Standing,
    Surroundings,
    Taint,
)

_STANDING_KINDS = frozenset({"Deployment", "StatefulSet", "ReplicaSet"})
_PASSES = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
"""Taints of a machine that is not ready, under pressure or in maintenance: tomorrow it may be free again."""
HIERARCHY = "volcano.sh/hierarchy"
"""The annotation of a queue's place; with -weights behind it, that of its weights."""
TOPOLOGY_LABEL = "tiers.dev/topology"


def known_from_objects(documents: Iterable[Document], beside: Surroundings) -> Surroundings:
    """Read what the objects of a run say, and take it together with what was known `beside` them.

    Objects that were rendered from the topology whose facts are in `beside` are not counted a second time.
    """
    listed = tuple(documents)
    queues = {each.name: _queue(each) for each in listed if is_queue(each)}
    priorities = frozenset(each.name for each in listed if each.kind == "PriorityClass")
    own = Surroundings(
        queues=queues,
        all_queues="root" in queues,
        priorities=priorities,
        all_priorities=bool(priorities & BUILT_IN_PRIORITIES),
        machines=tuple(_machine(each) for each in listed if each.kind == "Node" and not each.group),
        standing=tuple(
            standing
            for each in listed
            if each.kind in _STANDING_KINDS and not (beside.topology and _topology(each) == beside.topology)
            for standing in _standing(each)
        ),
        quotas=tuple(_quota(each) for each in listed if _is_quota(each)),
        neighbours=neighbours(listed),
        scheduler=next((_scheduler(found) for each in listed for found in configurations(each)), None),
    )
    return beside.beside(own)


def is_queue(document: Document) -> bool:
    """Whether an object is a Volcano Queue."""
    return document.kind == "Queue" and document.group == "scheduling.volcano.sh"


def hierarchy(document: Document) -> tuple[str, str]:
    """Give place and weights of a queue by annotation; Volcano's mutating webhook puts the root in front."""
    annotations = mapping(mapping(document.body.get("metadata")).get("annotations"))
    place, weights = (text(annotations.get(f"{HIERARCHY}{each}")) for each in ("", "-weights"))
    if place and weights and not place.startswith("root"):
        return f"root/{place}", f"1/{weights}"
    return place, weights


def amounts(listed: object) -> dict[str, Decimal]:
    """Read a list of resources; quantities that cannot be read are left to the rules about them."""
    parsed = {name: parse_quantity(value) for name, value in mapping(listed).items()}
    return {name: value for name, value in parsed.items() if value is not None}


def _queue(document: Document) -> QueueFacts:
    spec, status = document.spec, mapping(document.body.get("status"))
    return QueueFacts(
        name=document.name,
        parent=text(spec.get("parent")),
        state=text(status.get("state")),
        guarantee=amounts(mapping(spec.get("guarantee")).get("resource")),
        deserved=amounts(spec.get("deserved")),
        capability=amounts(spec.get("capability")),
        pods=amounts(status.get("allocated")).get("pods", Decimal(0)),
        hierarchy=hierarchy(document)[0],
    )


def _is_quota(document: Document) -> bool:
    """Scopes make a quota count some pods only; such a quota proves nothing about a gang."""
    scoped = document.spec.get("scopes") or document.spec.get("scopeSelector")
    return document.kind == "ResourceQuota" and not scoped


def _quota(document: Document) -> Quota:
    namespace = text(mapping(document.body.get("metadata")).get("namespace"))
    return Quota(document.name, namespace, amounts(document.spec.get("hard")))


def _machine(document: Document) -> Machines:
    labels = mapping(mapping(document.body.get("metadata")).get("labels"))
    taints = [mapping(each) for each in sequence(document.spec.get("taints"))]
    return Machines(
        name=document.name,
        count=1,
        labels={key: text(value) for key, value in labels.items()},
        taints=tuple(
            Taint(text(each.get("key")), text(each.get("value")), text(each.get("effect")))
            for each in taints
            if not text(each.get("key")).startswith(_PASSES)
        ),
        allocatable=amounts(mapping(document.body.get("status")).get("allocatable")),
        complete=True,
    )


def _standing(document: Document) -> Iterable[Standing]:
    for template in pod_templates(document):
        request: Amounts = request_of(template)
        selector = mapping(template.spec.get("nodeSelector"))
        yield Standing(
            name=document.title,
            replicas=whole(document.spec.get("replicas"), 1),
            request=request,
            pool={key: text(value) for key, value in selector.items()},
        )


def _topology(document: Document) -> str:
    labels: Mapping[str, object] = mapping(mapping(document.body.get("metadata")).get("labels"))
    return text(labels.get(TOPOLOGY_LABEL))


def _scheduler(found: Configuration) -> SchedulerFacts:
    capacity = found.named("capacity")
    return SchedulerFacts(
        actions=frozenset(found.actions),
        plugins=frozenset(plugin.name for plugin in found.plugins),
        hierarchy=capacity is not None and capacity.body.get("enableHierarchy") is True,
    )
