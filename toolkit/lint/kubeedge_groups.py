"""NodeGroups and EdgeApplications that do something else than they seem to. One rule a function; `check` runs them.

Source: kubeedge/kubeedge v1.23.1 (cloud/pkg/controllermanager) and its issues.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toolkit.errors import Severity
from toolkit.lint.document import Document, ValuePath, mapping, sequence, text
from toolkit.lint.rule import Finding, rule, rule_around
from toolkit.lint.surroundings import Surroundings

_GROUP = "apps.kubeedge.io"
_MANIFESTS = ("spec", "workloadTemplate", "manifests")


def is_node_group(document: Document) -> bool:
    """Whether an object is a NodeGroup of KubeEdge."""
    return document.kind == "NodeGroup" and document.group == _GROUP


def _names(document: Document) -> list[str]:
    return [text(each) for each in sequence(document.spec.get("nodes"))]


def _labels(document: Document) -> Mapping[str, object]:
    return mapping(document.spec.get("matchLabels"))


@rule(
    "L254",
    Severity.ERROR,
    why="the group has no node, and pods of nodes that leave it are evicted",
    cure="name nodes, or labels that they carry",
)
def group_has_nodes(document: Document) -> Iterator[Finding]:
    """Both fields are optional in the CRD; without them the group is empty."""
    if is_node_group(document) and not _names(document) and not _labels(document):
        yield Finding(("spec",), "neither nodes nor matchLabels")


@rule(
    "L255",
    Severity.WARNING,
    why="both count: a node is in the group when it is named or has the labels, which few readers expect",
    cure="keep one of nodes and matchLabels",
)
def group_has_one_way_in(document: Document) -> Iterator[Finding]:
    """The controller takes what either of them finds."""
    if is_node_group(document) and _names(document) and _labels(document):
        yield Finding(("spec", "matchLabels"), "both nodes and matchLabels")


@rule_around(
    "L256",
    Severity.ERROR,
    why="a node belongs to one group only: the groups take it from each other, and each time its pods are evicted",
    cure="name each node in one group, and give groups labels that no node can carry both of",
)
def node_is_in_one_group(document: Document, around: Surroundings) -> Iterator[Finding]:
    """The controller writes one label belonging-to on a node."""
    if not is_node_group(document):
        return
    before = []
    for each in around.neighbours.of("NodeGroup"):
        if each is document:
            break
        before.append(each)
    for other in filter(is_node_group, before):
        shared = sorted(set(_names(document)) & set(_names(other)))
        if shared:
            yield Finding(("spec", "nodes"), f"{', '.join(shared[:3])} is also in {other.title}")
        ours, theirs = _labels(document), _labels(other)
        if ours and theirs and (ours.items() <= theirs.items() or theirs.items() <= ours.items()):
            yield Finding(("spec", "matchLabels"), f"takes nodes that {other.title} takes too")


@rule(
    "L257",
    Severity.ERROR,
    why="pods start on nodes of any architecture and without the GPU that they need (issue 7197)",
    cure="put these conditions into the NodeGroup, or render a DaemonSet a pool instead",
)
def selectors_are_kept(document: Document) -> Iterator[Finding]:
    """Targeting groups replaces the whole nodeSelector, targeting labels the whole node affinity."""
    if document.kind != "EdgeApplication" or document.group != _GROUP:
        return
    scope = mapping(document.spec.get("workloadScope"))
    for path, pod in _deployed(document):
        if scope.get("targetNodeGroups") and mapping(pod.get("nodeSelector")):
            yield Finding((*path, "nodeSelector"), "the nodeSelector is replaced by the node group's")
        if scope.get("targetNodeLabels") and mapping(mapping(pod.get("affinity")).get("nodeAffinity")):
            yield Finding((*path, "affinity", "nodeAffinity"), "the node affinity is replaced by the labels'")


def _deployed(document: Document) -> Iterator[tuple[ValuePath, Mapping[str, object]]]:
    """Give the pod specs of the Deployments in an EdgeApplication; it scopes nothing else."""
    for index, manifest in enumerate(
        map(mapping, sequence(mapping(document.spec.get("workloadTemplate")).get("manifests")))
    ):
        if manifest.get("kind") == "Deployment":
            template = mapping(mapping(manifest.get("spec")).get("template"))
            yield (*_MANIFESTS, index, "spec", "template", "spec"), mapping(template.get("spec"))


@rule(
    "L258",
    Severity.ERROR,
    why="the expressions are read over, so the application goes to more nodes than is written",
    cure="write matchLabels",
)
def only_labels_are_read(document: Document) -> Iterator[Finding]:
    """Targeting by labels looks at matchLabels alone."""
    if document.kind != "EdgeApplication" or document.group != _GROUP:
        return
    targets = sequence(mapping(document.spec.get("workloadScope")).get("targetNodeLabels"))
    for index, target in enumerate(map(mapping, targets)):
        if sequence(mapping(target.get("labelSelector")).get("matchExpressions")):
            path = ("spec", "workloadScope", "targetNodeLabels", index, "labelSelector", "matchExpressions")
            yield Finding(path, "matchExpressions in targetNodeLabels")


RULES = (
    group_has_nodes,
    group_has_one_way_in,
    node_is_in_one_group,
    selectors_are_kept,
    only_labels_are_read,
)
"""Every rule of this file, in order of code."""
