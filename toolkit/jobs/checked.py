"""Lint one job with what it will meet: queues, classes, machines and services of its tiers.yaml. For `submit`, `plan`.

Queues and classes are taken as they are rendered, because in a cluster their names begin with the topology's.
"""

from __future__ import annotations

from dataclasses import replace

from toolkit.errors import Problem
from toolkit.lint.check import lint
from toolkit.lint.document import from_objects
from toolkit.lint.known_from_objects import known_from_objects
from toolkit.lint.known_from_topology import known_from_topology
from toolkit.render.cluster_objects import priority_classes, queues
from toolkit.render.rendered import RenderedObject
from toolkit.topology.topology import Topology


def problems_of(topology: Topology, rendered: RenderedObject) -> tuple[Problem, ...]:
    """Find what Volcano would refuse of a job, and what would let it wait for ever."""
    cluster = rendered.cluster
    around = [each.body for each in (*queues(topology, cluster), *priority_classes(topology, cluster))]
    machines = replace(
        known_from_topology(topology),
        queues={},
        all_queues=False,
        priorities=frozenset(),
        all_priorities=False,
    )
    known = known_from_objects(tuple(from_objects(around)), machines)
    return lint(from_objects([rendered.body]), known)
