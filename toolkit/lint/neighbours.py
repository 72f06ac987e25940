"""What else stands in a run: the objects by kind, the workloads, and who scales which of them.

Between `document` and the rules that compare one object with others (`autoscaling_*`, `cluster_policies*`,
`network_policies`, `monitoring_*`). `known_from_objects` builds it once a run; a rule asks it and never walks the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar, cast

from toolkit.lint.document import Document, mapping, sequence, text

_TOPOLOGY_LABEL = "tiers.dev/topology"
_Fact = TypeVar("_Fact")
_Key = TypeVar("_Key")
_WORKLOADS = frozenset({"Deployment", "DaemonSet", "StatefulSet", "ReplicaSet"})


class Target(NamedTuple):
    """The workload that somebody means, by the parts of its name; `group` is without the version."""

    group: str
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Neighbours:
    """The objects of one run, found by what they are."""

    by_kind: Mapping[str, tuple[Document, ...]] = field(default_factory=dict)
    by_place: Mapping[tuple[str, str], tuple[Document, ...]] = field(default_factory=dict)
    """Kind and namespace → objects."""
    workloads: Mapping[Target, Document] = field(default_factory=dict)
    workloads_in: Mapping[str, tuple[Document, ...]] = field(default_factory=dict)
    """Namespace → its workloads."""
    scalers: Mapping[Target, tuple[Document, ...]] = field(default_factory=dict)
    """Target → the HorizontalPodAutoscalers, VerticalPodAutoscalers and ScaledObjects that name it."""
    facts: dict[object, object] = field(default_factory=dict, compare=False, repr=False)
    """What `once_a_run` has found out about these objects."""

    def of(self, kind: str, namespace: str | None = None) -> tuple[Document, ...]:
        """Give the objects of a kind, of one namespace or of all."""
        if namespace is None:
            return self.by_kind.get(kind, ())
        return self.by_place.get((kind, namespace), ())

    def workloads_of(self, namespace: str) -> tuple[Document, ...]:
        """Give the workloads of a namespace."""
        return self.workloads_in.get(namespace, ())

    def knows_all(self, kinds: Iterable[str], asker: Document) -> bool:
        """Whether every object of these kinds in the asker's namespace is in the run, as far as that can be told.

        It can be told of a listing of a live cluster (its objects have a uid) and of what was rendered from the same
        tiers.yaml; of files that somebody wrote it cannot.
        """
        topology, namespace = topology_of(asker), namespace_of(asker)
        if topology and any(topology_of(each) == topology for each in self.workloads_of(namespace)):
            return True
        return all(any(metadata(each).get("uid") for each in self.of(kind, namespace)) for kind in kinds)


NO_NEIGHBOURS = Neighbours()
"""Nothing else is known: every rule that compares stays silent."""


def once_a_run(find: Callable[[Neighbours], _Fact]) -> Callable[[Neighbours], _Fact]:
    """Find something out about all objects of a run the first time only: a rule asks it for each of its objects."""

    def found(around: Neighbours) -> _Fact:
        if find not in around.facts:
            around.facts[find] = find(around)
        return cast("_Fact", around.facts[find])

    return found


def neighbours(documents: Iterable[Document]) -> Neighbours:
    """Sort the objects of a run."""
    by_kind: dict[str, list[Document]] = {}
    by_place: dict[tuple[str, str], list[Document]] = {}
    workloads: dict[Target, Document] = {}
    scalers: dict[Target, list[Document]] = {}
    for each in documents:
        by_kind.setdefault(each.kind, []).append(each)
        by_place.setdefault((each.kind, namespace_of(each)), []).append(each)
        if each.kind in _WORKLOADS and each.group == "apps":
            workloads[Target("apps", each.kind, namespace_of(each), each.name)] = each
        target = target_of(each)
        if target is not None:
            scalers.setdefault(target, []).append(each)
    workloads_in: dict[str, list[Document]] = {}
    for target, each in workloads.items():
        workloads_in.setdefault(target.namespace, []).append(each)
    return Neighbours(
        by_kind=_tuples(by_kind),
        by_place=_tuples(by_place),
        workloads=workloads,
        workloads_in=_tuples(workloads_in),
        scalers=_tuples(scalers),
    )


def metadata(document: Document) -> Mapping[str, object]:
    """Give metadata."""
    return mapping(document.body.get("metadata"))


def namespace_of(document: Document) -> str:
    """Give metadata.namespace; empty where the object leaves it to whoever applies it."""
    return text(metadata(document).get("namespace"))


def topology_of(document: Document) -> str:
    """Give the name of the tiers.yaml that an object was rendered from, or an empty text."""
    return text(mapping(metadata(document).get("labels")).get(_TOPOLOGY_LABEL))


def is_hpa(document: Document) -> bool:
    """Whether an object is a HorizontalPodAutoscaler."""
    return document.kind == "HorizontalPodAutoscaler" and document.group == "autoscaling"


def is_vpa(document: Document) -> bool:
    """Whether an object is a VerticalPodAutoscaler."""
    return document.kind == "VerticalPodAutoscaler" and document.group == "autoscaling.k8s.io"


def is_scaled_object(document: Document) -> bool:
    """Whether an object is a ScaledObject of KEDA."""
    return document.kind == "ScaledObject" and document.group == "keda.sh"


def target_of(document: Document) -> Target | None:
    """Give what an autoscaler scales; None for other objects and for references without a name."""
    if is_vpa(document):
        reference = mapping(document.spec.get("targetRef"))
    elif is_hpa(document) or is_scaled_object(document):
        reference = mapping(document.spec.get("scaleTargetRef"))
    else:
        return None
    kind, version = text(reference.get("kind")), text(reference.get("apiVersion"))
    if is_scaled_object(document):  # KEDA's own defaults
        kind, version = kind or "Deployment", version or "apps/v1"
    name = text(reference.get("name"))
    group = version.partition("/")[0] if "/" in version else ""
    return Target(group, kind, namespace_of(document), name) if name else None


def selects(selector: object, labels: Mapping[str, object]) -> bool:
    """Whether a label selector (matchLabels, matchExpressions) takes these labels; an empty one takes all."""
    given = mapping(selector)
    if any(labels.get(key) != value for key, value in mapping(given.get("matchLabels")).items()):
        return False
    return all(_meets(mapping(each), labels) for each in sequence(given.get("matchExpressions")))


def pod_labels(workload: Document) -> Mapping[str, object]:
    """Give the labels of the pods that a workload makes."""
    return mapping(mapping(mapping(workload.spec.get("template")).get("metadata")).get("labels"))


def _tuples(lists: Mapping[_Key, list[Document]]) -> dict[_Key, tuple[Document, ...]]:
    return {key: tuple(listed) for key, listed in lists.items()}


def _meets(expression: Mapping[str, object], labels: Mapping[str, object]) -> bool:
    key, operator = text(expression.get("key")), text(expression.get("operator"))
    values = sequence(expression.get("values"))
    found = {
        "In": key in labels and labels[key] in values,
        "NotIn": key not in labels or labels[key] not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }
    return found.get(operator, True)
