"""Objects that ask Volcano's scheduler for what its configuration does not have. One rule a function.

Silent unless the configuration is among the objects of the same run. `scheduler_configuration` looks at it alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.errors import Severity
from toolkit.lint.document import Document, mapping
from toolkit.lint.gang_document import events, is_gang, policies
from toolkit.lint.known_from_objects import is_queue
from toolkit.lint.pod_templates import pod_templates, resources
from toolkit.lint.rule import Finding, rule_around
from toolkit.lint.scheduler_words import EVICTING
from toolkit.lint.surroundings import Surroundings
from toolkit.lint.volcano_gpus import VGPU


@rule_around(
    "L185",
    Severity.ERROR,
    why="the scheduler reads over the parent, and the limits of the queues above do not hold",
    cure="write enableHierarchy: true at the plugin capacity",
)
def parents_need_a_hierarchy(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A queue below another one means something only to capacity with enableHierarchy."""
    scheduler, parent = around.scheduler, document.spec.get("parent")
    if scheduler and not scheduler.hierarchy and is_queue(document) and parent not in (None, "", "root"):
        yield Finding(("spec", "parent"), "has a parent, and the scheduler's queues have no hierarchy")


@rule_around(
    "L186",
    Severity.WARNING,
    why="the scheduler reads over it, and jobs of the queue run on every machine",
    cure="add the plugin nodegroup and label the nodes, or let jobs select their nodes and remove affinity",
)
def affinity_needs_node_groups(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A queue's affinity is the work of the plugin nodegroup alone."""
    scheduler = around.scheduler
    if (
        scheduler
        and "nodegroup" not in scheduler.plugins
        and is_queue(document)
        and document.spec.get("affinity")
    ):
        yield Finding(("spec", "affinity"), "has an affinity, and the scheduler has no plugin nodegroup")


@rule_around(
    "L187",
    Severity.WARNING,
    why="the workers are placed as if all machines were equally near",
    cure="add the plugin network-topology-aware and HyperNodes, or remove networkTopology",
)
def topology_needs_its_plugin(document: Document, around: Surroundings) -> Iterator[Finding]:
    """The distance between machines is the work of the plugin network-topology-aware, which reads HyperNodes."""
    scheduler = around.scheduler
    if scheduler and "network-topology-aware" not in scheduler.plugins and _wants_topology(document):
        yield Finding(("spec", "networkTopology"), "the scheduler has no plugin network-topology-aware")


@rule_around(
    "L188",
    Severity.WARNING,
    why="the job never takes the place of others, whatever its priority",
    cure="use the actions gangpreempt and gangreclaim, or remove networkTopology",
)
def topology_does_not_preempt(document: Document, around: Surroundings) -> Iterator[Finding]:
    """The action preempt passes over jobs with networkTopology (issue 4374)."""
    scheduler = around.scheduler
    if scheduler and "preempt" in scheduler.actions and _wants_topology(document):
        yield Finding(("spec", "networkTopology"), "preempt passes over jobs with networkTopology")


@rule_around(
    "L189",
    Severity.ERROR,
    why="the scheduler knows nothing of vGPUs, and the pod waits for ever or gets a card that is full",
    cure="add the plugin deviceshare with deviceshare.VGPUEnable: true",
)
def shares_need_their_plugin(document: Document, around: Surroundings) -> Iterator[Finding]:
    """What asks for vGPUs is placed by the plugin deviceshare alone."""
    scheduler = around.scheduler
    for template in pod_templates(document) if scheduler and "deviceshare" not in scheduler.plugins else ():
        for path, container in template.containers():
            if VGPU in resources(container, "limits"):
                yield Finding(
                    (*path, "resources"), f"asks for {VGPU}, and the scheduler has no plugin deviceshare"
                )


@rule_around(
    "L190",
    Severity.WARNING,
    why="with these actions the scheduler evicts nobody, so only the loss of a machine does",
    cure="use the actions preempt and reclaim, or gangpreempt and gangreclaim",
)
def evictions_come_from_somewhere(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A policy for PodEvicted means that others may take the place; somebody has to do it."""
    scheduler = around.scheduler
    if not scheduler or scheduler.actions & EVICTING:
        return
    for path, listed in policies(document):
        for index, policy in enumerate(listed):
            if "PodEvicted" in events(policy):
                yield Finding(
                    (*path, index), "a policy for PodEvicted, and no action of the scheduler evicts"
                )


def _wants_topology(document: Document) -> bool:
    return is_gang(document) and bool(mapping(document.spec.get("networkTopology")))


RULES = (
    parents_need_a_hierarchy,
    affinity_needs_node_groups,
    topology_needs_its_plugin,
    topology_does_not_preempt,
    shares_need_their_plugin,
    evictions_come_from_somewhere,
)
"""What a configuration lacks for the objects beside it, in order of code."""
