"""Gangs that would stay Pending because a queue, a quota or other queues' guarantees leave too little.

Codes of the range L151 to L169, as in `gang_fit`. The queues and quotas come from the objects of the run and from
tiers.yaml (`surroundings`); of what is not known the rules say nothing. Sources: volcano-sh/volcano v1.15.1,
pkg/scheduler/plugins/capacity (a resource that capability does not name, and no cpu or memory, is unlimited there);
kubernetes v1.35.3, pkg/quota/v1/evaluator/core/pods.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from toolkit.errors import Severity
from toolkit.lint.document import Document, mapping, text
from toolkit.lint.gang_demand import Demand, demand
from toolkit.lint.gang_document import is_gang
from toolkit.lint.job_queue import queue_of
from toolkit.lint.pod_templates import resources
from toolkit.lint.requests import container_request
from toolkit.lint.rule import Finding, rule_around
from toolkit.lint.surroundings import QueueFacts, Quota, Surroundings

_QUEUE = ("spec", "queue")
_ZERO_IS_UNLIMITED = frozenset({"cpu", "memory"})
_PODS = frozenset({"pods", "count/pods"})
_ASKED_OF_ALL = frozenset({"cpu", "memory"})


@rule_around(
    "L153",
    Severity.ERROR,
    why="the job would stay Pending: the queue never lets it through",
    cure="raise the queue's capability, or ask for less",
)
def gang_larger_than_queue(document: Document, around: Surroundings) -> Iterator[Finding]:
    """The pods that must start together ask for more than their queue may ever use."""
    queue = around.queues.get(queue_of(document))
    if not is_gang(document) or queue is None:
        return
    gang = demand(document)
    for resource, most in sorted(queue.capability.items()):
        if resource in _ZERO_IS_UNLIMITED and most <= 0:
            continue
        asked = gang.at_least(resource)
        if asked > most:
            yield Finding(
                _QUEUE,
                f"would stay Pending: {gang.pods} pods ask for {asked:f} {resource},"
                f" queue {queue.name!r} may use {most:f}",
            )


@rule_around(
    "L160",
    Severity.ERROR,
    why="the job would stay Pending: what other queues are guaranteed is kept free for them",
    cure="ask for less, lower the other queues' guarantees, or give this queue a guarantee",
)
def guarantees_of_others(document: Document, around: Surroundings) -> Iterator[Finding]:
    """All machines together, less what other queues are guaranteed, are smaller than the gang."""
    own = around.queues.get(queue_of(document), QueueFacts(queue_of(document)))
    if not is_gang(document) or not around.machines or own.parent not in {"", "root"}:
        return
    gang = demand(document)
    others = [
        each
        for each in around.queues.values()
        if each.name not in {own.name, "root"} and each.parent in {"", "root"}
    ]
    for resource in gang.resources():
        there = [machines.has(resource) for machines in around.machines]
        kept = sum((each.guarantee.get(resource, Decimal(0)) for each in others), Decimal(0))
        if None in there or not kept:
            continue
        total = sum(
            (each.count * (amount or 0) for each, amount in zip(around.machines, there, strict=True)),
            Decimal(0),
        )
        asked = gang.at_least(resource)
        if total >= asked > max(Decimal(0), total - kept):
            yield Finding(
                _QUEUE,
                f"would stay Pending: {gang.pods} pods ask for {asked:f} {resource}; of {total:f}"
                f" other queues are guaranteed {kept:f}",
            )


@rule_around(
    "L158",
    Severity.ERROR,
    why="the job would stay Pending: the API server refuses the pods that exceed the quota",
    cure="raise the quota for the whole gang, or ask for less; give every container what the quota counts",
)
def gang_larger_than_quota(document: Document, around: Surroundings) -> Iterator[Finding]:
    """The pods that must start together exceed a ResourceQuota of their namespace, or leave out what it counts."""
    namespace = text(mapping(document.body.get("metadata")).get("namespace"))
    if not is_gang(document):
        return
    gang = demand(document)
    for quota in around.quotas:
        if not namespace or quota.namespace != namespace:
            continue
        for counted, most in sorted(quota.hard.items()):
            asked = _counted(gang, counted)
            if asked > most:
                yield Finding(
                    ("spec",),
                    f"would stay Pending: {gang.pods} pods come to {asked:f} {counted},"
                    f" ResourceQuota {quota.name!r} allows {most:f}",
                )
        yield from _left_out(gang, quota)


def _counted(gang: Demand, counted: str) -> Decimal:
    """Give what a quota counts of a gang under one of its names; 0 for what it counts of other things."""
    if counted in _PODS:
        return Decimal(gang.pods)
    which, point, resource = counted.partition(".")
    if point and which == "limits":
        return gang.limits_at_least(resource)
    if point and which == "requests":
        return gang.at_least(resource)
    return gang.at_least(counted) if counted in {*_ASKED_OF_ALL, "ephemeral-storage"} else Decimal(0)


def _left_out(gang: Demand, quota: Quota) -> Iterator[Finding]:
    for task in gang.tasks:
        for path, container in task.template.containers():
            requested, limited = container_request(container), resources(container, "limits")
            for counted in sorted(quota.hard):
                which, _, resource = counted.rpartition(".")
                given = limited if which == "limits" else requested
                if (
                    resource in _ASKED_OF_ALL
                    and which in {"", "limits", "requests"}
                    and resource not in given
                ):
                    yield Finding(
                        (*path, "resources"),
                        f"would stay Pending: ResourceQuota {quota.name!r} counts {counted},"
                        " so every container must name it",
                    )


RULES = (
    gang_larger_than_queue,
    gang_larger_than_quota,
    guarantees_of_others,
)
"""What a queue or a quota never lets through."""
