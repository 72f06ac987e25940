"""What is known around an object: the queues, priority classes, machines, services and quotas it will meet.

    objects of the same run (`known_from_objects`) + tiers.yaml (`known_from_topology`) → Surroundings → rules

A rule that lacks a fact stays silent: the sets that may be incomplete say so themselves (`all_queues`,
`all_priorities`, `Machines.complete`), and an empty `machines` means that nobody knows the machines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from toolkit.lint.neighbours import NO_NEIGHBOURS, Neighbours

Amounts = Mapping[str, Decimal]
"""Resource → amount, in the base unit of the resource: cores, bytes, pieces."""

BUILT_IN_QUEUES = ("default", "root")
"""The queues that Volcano's scheduler makes itself."""
BUILT_IN_PRIORITIES = frozenset({"system-cluster-critical", "system-node-critical"})
"""The priority classes that every API server makes itself."""


@dataclass(frozen=True)
class QueueFacts:
    """A Volcano queue. `state` is empty where it is not known."""

    name: str
    parent: str = ""
    state: str = ""
    guarantee: Amounts = field(default_factory=dict)
    deserved: Amounts = field(default_factory=dict)
    capability: Amounts = field(default_factory=dict)
    pods: Decimal = Decimal(0)
    """Pods that run in it; 0 where it is not known."""
    hierarchy: str = ""
    """Its place by the annotation volcano.sh/hierarchy, such as root/research."""


@dataclass(frozen=True)
class Taint:
    """What keeps pods without a toleration away from a machine."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True)
class Machines:
    """Machines that are all alike: how many, and what one of them has.

    With `complete` false (tiers.yaml) a machine may carry more labels, and may have more of a resource that
    `allocatable` does not name; with true (Node objects) what is not named is not there.
    """

    name: str
    count: int
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    allocatable: Amounts = field(default_factory=dict)
    complete: bool = False

    def has(self, resource: str) -> Decimal | None:
        """Give how much of a resource one machine has; None when it is not known."""
        if resource in self.allocatable:
            return self.allocatable[resource]
        return Decimal(0) if self.complete else None


@dataclass(frozen=True)
class Standing:
    """Pods that are always there, such as the fewest servers of a service, and that no gang pushes away."""

    name: str
    replicas: int
    request: Amounts
    pool: Mapping[str, str]
    """Node labels that its pods select."""


@dataclass(frozen=True)
class Quota:
    """The hard limits of a ResourceQuota without scopes, for all pods of a namespace together."""

    name: str
    namespace: str
    hard: Amounts


@dataclass(frozen=True)
class SchedulerFacts:
    """What the configuration of Volcano's scheduler names."""

    actions: frozenset[str]
    plugins: frozenset[str]
    hierarchy: bool
    """Whether queues below queues mean something to it."""


@dataclass(frozen=True)
class Surroundings:
    """Everything that is known around the objects of one run."""

    queues: Mapping[str, QueueFacts] = field(default_factory=dict)
    all_queues: bool = False
    """Whether there are no queues beside these and the built-in ones."""
    priorities: frozenset[str] = frozenset()
    all_priorities: bool = False
    """Whether there are no priority classes beside these and the built-in ones."""
    machines: tuple[Machines, ...] = ()
    standing: tuple[Standing, ...] = ()
    quotas: tuple[Quota, ...] = ()
    scheduler: SchedulerFacts | None = None
    """None where the configuration is not known."""
    neighbours: Neighbours = NO_NEIGHBOURS
    """The other objects of the run, for rules that compare two."""
    topology: str = ""
    """Name of the topology that these facts come from, when they come from one."""

    def beside(self, other: Surroundings) -> Surroundings:
        """Take what is known here and there together; for the same queue the other one holds."""
        return Surroundings(
            queues={**self.queues, **other.queues},
            all_queues=self.all_queues or other.all_queues,
            priorities=self.priorities | other.priorities,
            all_priorities=self.all_priorities or other.all_priorities,
            machines=other.machines or self.machines,
            standing=(*self.standing, *other.standing),
            quotas=(*self.quotas, *other.quotas),
            scheduler=other.scheduler or self.scheduler,
            neighbours=other.neighbours if other.neighbours.by_kind else self.neighbours,
            topology=self.topology or other.topology,
        )

    def children(self, queue: str) -> list[str]:
        """Name the queues that stand below a queue."""
        return sorted(each.name for each in self.queues.values() if each.parent == queue)


NOTHING_KNOWN = Surroundings()
"""No facts at all: every rule about surroundings stays silent."""
