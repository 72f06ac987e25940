"""Where pods hide: in a Pod, a Deployment, a DaemonSet, a CronJob, each task of a Volcano Job or JobTemplate.

Between `document` and the rules about pods: those never need to know which kind carries a pod.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.lint.document import Document, ValuePath, mapping, sequence, text

VOLCANO_BATCH = "batch.volcano.sh"
VOLCANO_JOBS = frozenset({("Job", VOLCANO_BATCH), ("JobTemplate", "flow.volcano.sh")})
"""What has the spec of a Volcano Job: one, or what a flow makes one of."""
_WORKLOADS = frozenset({"Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job"})
EDGE_LABELS = ("node-role.kubernetes.io/edge", "node-role.kubernetes.io/agent")
TIER_LABEL = "tiers.dev/tier"
GPU = "nvidia.com/gpu"


@dataclass(frozen=True)
class PodTemplate:
    """A pod spec and the path to it inside its object."""

    spec: Mapping[str, object]
    path: ValuePath

    def containers(self, *, init: bool = True) -> Iterator[tuple[ValuePath, Mapping[str, object]]]:
        """Give each container with its path; init containers come first and can be left out."""
        for field in ("initContainers", "containers") if init else ("containers",):
            for index, container in enumerate(sequence(self.spec.get(field))):
                yield (*self.path, field, index), mapping(container)

    @property
    def on_edge(self) -> bool:
        """Whether selector or required affinity put the pod on edge nodes."""
        selector = mapping(self.spec.get("nodeSelector"))
        if selector.get(TIER_LABEL) == "edge" or any(label in selector for label in EDGE_LABELS):
            return True
        return any(_names_edge(term) for term in self._required_terms())

    @property
    def gpus(self) -> int:
        """How many whole GPUs the containers ask for together."""
        total = 0
        for _, container in self.containers(init=False):
            count = str(resources(container, "limits").get(GPU, "0"))
            total += int(count) if count.isdigit() else 0
        return total

    def _required_terms(self) -> Iterator[Mapping[str, object]]:
        affinity = mapping(mapping(self.spec.get("affinity")).get("nodeAffinity"))
        required = mapping(affinity.get("requiredDuringSchedulingIgnoredDuringExecution"))
        for term in sequence(required.get("nodeSelectorTerms")):
            yield mapping(term)


def pod_templates(document: Document) -> Iterator[PodTemplate]:
    """Find every pod spec of an object; objects without pods give none."""
    if document.kind == "Pod":
        yield PodTemplate(document.spec, ("spec",))
    elif document.kind == "CronJob" and document.group == "batch":
        path: ValuePath = ("spec", "jobTemplate", "spec", "template", "spec")
        yield PodTemplate(_at(document.body, path), path)
    elif (document.kind, document.group) in VOLCANO_JOBS:
        for index, _ in enumerate(sequence(document.spec.get("tasks"))):
            path = ("spec", "tasks", index, "template", "spec")
            yield PodTemplate(_at(document.body, path), path)
    elif document.kind in _WORKLOADS:
        path = ("spec", "template", "spec")
        yield PodTemplate(_at(document.body, path), path)


def resources(container: Mapping[str, object], which: str) -> Mapping[str, object]:
    """Give a container's `requests` or `limits`."""
    return mapping(mapping(container.get("resources")).get(which))


def _at(body: Mapping[str, object], path: ValuePath) -> Mapping[str, object]:
    value: object = body
    for part in path:
        value = sequence(value)[part] if isinstance(part, int) else mapping(value).get(part)
    return mapping(value)


def _names_edge(term: Mapping[str, object]) -> bool:
    for expression in map(mapping, sequence(term.get("matchExpressions"))):
        key, operator = text(expression.get("key")), text(expression.get("operator"))
        if key in EDGE_LABELS and operator in {"Exists", "In"}:
            return True
        if key == TIER_LABEL and operator == "In" and "edge" in sequence(expression.get("values")):
            return True
    return False
