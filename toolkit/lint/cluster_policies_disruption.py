"""PodDisruptionBudgets that are refused, that protect nothing, or that no drain gets past. One rule a function.

Sources: kubernetes.io/docs/tasks/run-application/configure-pdb (arbitrary selectors, zero voluntary evictions);
k8s.io/kubernetes v1.35.3, pkg/apis/policy/validation. Beside it: `cluster_policies`; `check` runs them.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.errors import Severity
from toolkit.lint.autoscaling_document import smallest
from toolkit.lint.document import Document, mapping
from toolkit.lint.neighbours import Target, is_vpa, namespace_of, pod_labels, selects
from toolkit.lint.quantity import whole
from toolkit.lint.rule import Finding, rule, rule_around
from toolkit.lint.surroundings import Surroundings

_WHOLE = 100
_REPLICATED = frozenset({"Deployment", "StatefulSet"})


def is_budget(document: Document) -> bool:
    """Whether an object is a PodDisruptionBudget."""
    return document.kind == "PodDisruptionBudget" and document.group == "policy"


@rule(
    "L436",
    Severity.ERROR,
    why="the API server refuses the budget",
    cure="write one of the two",
)
def one_number(document: Document) -> Iterator[Finding]:
    """A budget says what must stay or what may go, not both."""
    if not is_budget(document):
        return
    given = [key for key in ("minAvailable", "maxUnavailable") if document.spec.get(key) is not None]
    if len(given) > 1:
        yield Finding(("spec", "maxUnavailable"), "maxUnavailable stands beside minAvailable")


@rule_around(
    "L437",
    Severity.WARNING,
    why="the machines of these pods can never be drained: every eviction is refused, until somebody deletes the budget",
    cure="allow one pod to go (maxUnavailable: 1), or run one more",
)
def drain(document: Document, around: Surroundings) -> Iterator[Finding]:
    """A budget lets at least one pod go."""
    if not is_budget(document):
        return
    most, least = document.spec.get("maxUnavailable"), document.spec.get("minAvailable")
    if most is not None and _amount(most, _WHOLE) == 0:
        yield Finding(("spec", "maxUnavailable"), f"maxUnavailable {most} lets no pod go")
    elif isinstance(least, str) and _amount(least, _WHOLE) >= _WHOLE:
        yield Finding(("spec", "minAvailable"), f"minAvailable {least} lets no pod go")
    elif least is not None:
        for workload, replicas in _protected(document, around):
            if replicas and _amount(least, replicas) >= replicas:
                message = f"minAvailable {least} lets no pod of {workload.title} go, which has {replicas}"
                yield Finding(("spec", "minAvailable"), message)


@rule(
    "L438",
    Severity.WARNING,
    why="without a selector it protects no pod, with an empty one every pod of the namespace",
    cure="select the labels of the workload",
)
def chosen_pods(document: Document) -> Iterator[Finding]:
    """A budget says whose pods it protects."""
    if not is_budget(document):
        return
    selector = document.spec.get("selector")
    if selector is None:
        yield Finding(("spec",), "protects no pod: it has no selector")
    elif not mapping(selector).get("matchLabels") and not mapping(selector).get("matchExpressions"):
        yield Finding(("spec", "selector"), "protects every pod of the namespace: its selector is empty")


def _protected(document: Document, around: Surroundings) -> Iterator[tuple[Document, int]]:
    """Give the workloads whose pods a budget selects, with the fewest pods that each has."""
    selector, namespace = document.spec.get("selector"), namespace_of(document)
    for workload in around.neighbours.workloads_of(namespace):
        if workload.kind in _REPLICATED and mapping(selector) and selects(selector, pod_labels(workload)):
            yield workload, _fewest(workload, around)


def _fewest(workload: Document, around: Surroundings) -> int:
    here = Target(workload.group, workload.kind, namespace_of(workload), workload.name)
    scalers = [each for each in around.neighbours.scalers.get(here, ()) if not is_vpa(each)]
    if scalers:
        return max(smallest(each) for each in scalers)
    return whole(workload.spec.get("replicas"), 1)


def _amount(value: object, of: int) -> int:
    """Read a number or a per cent of `of`, rounded up, as the disruption controller does."""
    if isinstance(value, str) and value.endswith("%") and value[:-1].isdigit():
        return -(-int(value[:-1]) * of // _WHOLE)
    return whole(value, -1)


RULES = (one_number, drain, chosen_pods)
"""What is wrong with PodDisruptionBudgets, in order of code."""
