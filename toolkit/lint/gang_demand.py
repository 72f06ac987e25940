"""What a gang needs at the very least before Volcano starts it: pods by task, and amounts by resource.

Between `gang_document` and the rules of `gang_fit` and `gang_limits`. Everything is a lower bound: where Volcano may
choose which pods start first, the cheapest choice counts, so that no rule says of a gang that fits that it does not.
Source: volcano-sh/volcano v1.15.1, pkg/scheduler/api/job_info.go (CheckTaskReady: with a job minimum below the sum of
the tasks' minima, those are not looked at).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from toolkit.lint.document import Document
from toolkit.lint.gang_document import job_minimum, replicas, task_minimum, task_name, tasks
from toolkit.lint.pod_templates import PodTemplate, pod_templates
from toolkit.lint.requests import limit_of, request_of

NOTHING = Decimal(0)


@dataclass(frozen=True)
class TaskDemand:
    """One task of a gang: its template, what one of its pods asks for, and how many must start."""

    index: int
    name: str
    template: PodTemplate
    request: Mapping[str, Decimal]
    limit: Mapping[str, Decimal]
    replicas: int
    needed: int
    """Pods of this task without which the gang never starts; 0 where others may start in their place."""


@dataclass(frozen=True)
class Demand:
    """A whole gang."""

    tasks: tuple[TaskDemand, ...]
    pods: int
    """Pods without which it never starts."""

    def at_least(self, resource: str) -> Decimal:
        """Give the least amount of a resource that the first pods to start request together."""
        return self._sum([(task, task.request.get(resource, NOTHING)) for task in self.tasks])

    def limits_at_least(self, resource: str) -> Decimal:
        """Give the least amount of a resource to which the first pods are limited together."""
        return self._sum([(task, task.limit.get(resource, NOTHING)) for task in self.tasks])

    def resources(self) -> list[str]:
        """Name the resources that any pod of it asks for."""
        return sorted({name for task in self.tasks for name, amount in task.request.items() if amount > 0})

    def _sum(self, priced: list[tuple[TaskDemand, Decimal]]) -> Decimal:
        total, rest = NOTHING, self.pods
        for task, each in priced:
            total += each * task.needed
            rest -= task.needed
        for task, each in sorted(priced, key=lambda pair: pair[1]):
            more = min(task.replicas - task.needed, rest)
            if more > 0:
                total += each * more
                rest -= more
        return total


def demand(document: Document) -> Demand:
    """Read the demand of a Volcano Job."""
    listed, templates = tasks(document), tuple(pod_templates(document))
    pods, together = job_minimum(document), sum(map(task_minimum, listed))
    alone = len(listed) == 1
    found = [
        TaskDemand(
            index=index,
            name=task_name(task, index),
            template=template,
            request=request_of(template),
            limit=limit_of(template),
            replicas=replicas(task),
            needed=pods if alone else task_minimum(task) if pods >= together else 0,
        )
        for index, (task, template) in enumerate(zip(listed, templates, strict=True))
    ]
    return Demand(tuple(found), pods)
